/** Authorities and trust roots: who is named is who may sign, and nobody else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load, refuses, ROOT_SHA256 } from './ground.ts';

const ROOT = `trustRoots: {corp: {file: root.json, sha256: ${ROOT_SHA256}}}\n`;
const read = (text: string) => load(`${ROOT}authorities: {x: ${text}}`).authorities.get('x');
const IDENTITY = '{issuer: https://issuer.example, subject: ci@r.test}';

void test('a key asks for no logs unless it says so', () => {
  const key = read('{key: {file: a.pub}}');
  assert.ok(key?.kind === 'key');
  assert.match(key.pem, /^-----BEGIN PUBLIC KEY-----/);
  const { pem: _, ...rest } = key;
  assert.deepEqual(rest, { kind: 'key', ctlog: 0, tlog: 0, timestamps: 0 });
  const { pem: __, ...logged } = read(
    '{key: {file: a.pub, notBefore: 2026-01-01T00:00:00Z, notAfter: 2027-01-01T00:00:00Z}, trustRoot: corp, tlog: 1}',
  ) as { pem: string };
  assert.deepEqual(logged, {
    kind: 'key',
    ctlog: 0,
    tlog: 1,
    timestamps: 0,
    trustRoot: 'corp',
    notBefore: Date.UTC(2026, 0),
    notAfter: Date.UTC(2027, 0),
  });
});

void test('keyless names a root and identities, and needs a log of certificates, a log and a proven time', () => {
  assert.deepEqual(read(`{keyless: {trustRoot: corp, identities: [${IDENTITY}]}}`), {
    kind: 'keyless',
    trustRoot: 'corp',
    identities: [{ issuer: 'https://issuer.example', subject: 'ci@r.test' }],
    extensions: new Map(),
    ctlog: 1,
    tlog: 1,
    timestamps: 1,
  });
  const other = read(
    '{keyless: {trustRoot: corp, identities: [{issuer: i, subjectPattern: "ci-[0-9]+@r\\\\.test"}], extensions: {"1.3.6.1.4.1.57264.1.12": v}}, tlog: 2, ctlog: 0, timestamps: 3}',
  );
  assert.ok(other?.kind === 'keyless');
  assert.deepEqual([other.ctlog, other.tlog, other.timestamps], [0, 2, 3]);
  assert.equal(other.extensions.get('1.3.6.1.4.1.57264.1.12'), 'v');
  const pattern = other.identities[0]!.subject;
  assert.ok(pattern instanceof RegExp && pattern.test('ci-12@r.test') && !pattern.test('ci-12@r.test.evil'));
});

void test('what could let in anybody, or nobody, is refused with its place', () => {
  const at = (text: string, place: string): readonly [string, string] => [`${ROOT}authorities: {x: ${text}}`, place];
  const keyless = (inside: string, more = ''): string => `{keyless: {trustRoot: corp, ${inside}}${more}}`;
  refuses('POLICY_INVALID', [
    at('{}', 'authorities.x: must have either'),
    at(
      `{key: {file: a.pub}, keyless: {trustRoot: corp, identities: [${IDENTITY}]}}`,
      'authorities.x: must have either',
    ),
    at('{static: pass}', 'authorities.x: must have either'),
    at('null', 'authorities.x: must be a mapping'),
    at('{key: {}}', 'authorities.x.key.file: '),
    at('{key: {file: /a.pub}}', 'authorities.x.key.file: '),
    at('{key: {data: AAAA}}', 'authorities.x.key.file: '),
    at('{key: {file: a.pub, notAfter: 2026}}', 'authorities.x.key.notAfter: '),
    at(
      '{key: {file: a.pub, notBefore: 2026-01-02T00:00:00Z, notAfter: 2026-01-01T00:00:00Z}}',
      'authorities.x.key.notAfter: ',
    ),
    at('{key: {file: a.pub, kms: x}}', 'authorities.x.key.kms: is not a known key'),
    at('{key: {file: a.pub}, tlog: 1}', 'authorities.x.trustRoot: '),
    at('{key: {file: a.pub}, tlog: 1, trustRoot: other}', 'authorities.x.trustRoot: there is no'),
    at('{key: {file: a.pub}, trustRoot: corp}', 'authorities.x.trustRoot: is for'),
    at('{key: {file: a.pub}, ctlog: 1}', 'authorities.x.ctlog: is not a known key'),
    at('{key: {file: a.pub}, tlog: -1}', 'authorities.x.tlog: '),
    at('{key: {file: a.pub}, tlog: 9}', 'authorities.x.tlog: '),
    at(`{keyless: {identities: [${IDENTITY}]}}`, 'authorities.x.keyless.trustRoot: '),
    at(`{keyless: {trustRoot: public, identities: [${IDENTITY}]}}`, 'authorities.x.keyless.trustRoot: there is no'),
    at('{keyless: {trustRoot: corp}}', 'authorities.x.keyless.identities: '),
    at(keyless('identities: []'), 'authorities.x.keyless.identities: '),
    at(keyless('identities: [{issuer: i}]'), 'authorities.x.keyless.identities[0]: '),
    at(keyless('identities: [{subject: s}]'), 'authorities.x.keyless.identities[0].issuer: '),
    at(keyless('identities: [{issuer: "", subject: s}]'), 'authorities.x.keyless.identities[0].issuer: '),
    at(keyless('identities: [{issuer: i, subject: ""}]'), 'authorities.x.keyless.identities[0].subject: '),
    at(keyless('identities: [{issuer: i, subject: s, subjectPattern: s}]'), 'authorities.x.keyless.identities[0]: '),
    at(
      keyless('identities: [{issuer: i, subjectPattern: "(a"}]'),
      'authorities.x.keyless.identities[0].subjectPattern: ',
    ),
    at(keyless('identities: [{issuerPattern: i, subject: s}]'), 'authorities.x.keyless.identities[0].issuer: '),
    at(keyless(`identities: [${IDENTITY}], extensions: {workflow: v}`), 'authorities.x.keyless.extensions.workflow: '),
    at(keyless(`identities: [${IDENTITY}], extensions: {"1.3.6": 7}`), 'authorities.x.keyless.extensions.1.3.6: '),
    at(keyless(`identities: [${IDENTITY}]`, ', timestamps: 0'), 'authorities.x.timestamps: '),
    at(keyless(`identities: [${IDENTITY}]`, ', trustRoot: corp'), 'authorities.x.trustRoot: is not a known key'),
    [`${ROOT}authorities: {"X y": {key: {file: a.pub}}}`, 'authorities: '],
    ['trustRoots: {corp: {file: root.json}}', 'trustRoots.corp.sha256: '],
    ['trustRoots: {corp: {file: root.json, sha256: AB}}', 'trustRoots.corp.sha256: '],
    [`trustRoots: {corp: {sha256: ${ROOT_SHA256}}}`, 'trustRoots.corp.file: '],
    [`trustRoots: {corp: {file: root.json, sha256: "${'0'.repeat(64)}"}}`, 'trustRoots.corp.sha256: root.json has'],
  ]);
});
