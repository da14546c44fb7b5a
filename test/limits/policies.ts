/** Tries of the limits of the policy language: lists, texts, times and numbers. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readDemand, formatDemand } from '../../src/identity/policy-demand.ts';
import { parseRegistry, parseRepository } from '../../src/oci/oci.ts';
import { loadPolicy, readPolicy } from '../../src/policy/parse.ts';
import { parsePins } from '../../src/policy/pins.ts';
import type { Rule } from '../../src/policy/policy.ts';
import { parseCases } from '../../src/cli/policy-cases.ts';
import { Fields } from '../../src/yaml.ts';
import { ISSUED_AT, whole } from '../support/policies.ts';
import { person, spkiOf } from '../support/signed-policies.ts';
import { digestAt, key } from '../support/sigstore-judging.ts';
import { pemOf } from '../support/sigstore-signing.ts';
import { openSigners } from '../../src/trust/trust.ts';
import { refused, type Row, type Tries } from './table.ts';

/** The one rule of a policy, that says `text`. */
const ruleOf = (text: string): Rule =>
  loadPolicy(whole(`rules: [{name: a, match: r.test/a, ${text}}]`), 'p', new Map()).rule(
    parseRegistry('r.test'),
    parseRepository('a'),
  );

/** Reads a policy of `fields` of the top level, without the files that it names. */
const read = (fields: object): unknown =>
  readPolicy(
    whole(
      Object.entries(fields)
        .map(field => `${field[0]}: ${JSON.stringify(field[1])}\n`)
        .join(''),
    ),
    'p',
  );
const rule = (fields: object): object => ({ name: 'a', match: 'r.test/a', ...fields });
const list = <T>(count: number, one: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => one(at));
const mapping = (count: number, one: unknown, name = (at: number): string => `n${at}`): object =>
  Object.fromEntries(list(count, at => [name(at), one]));

const KEY = { key: { file: 'k.pub' } };
const ROOT = { file: 'r.json', sha256: 'a'.repeat(64) };
const IDENTITY = { issuer: 'https://issuer.example', subject: 'x' };
const keyless = (fields: object, more: object = {}): unknown =>
  read({
    trustRoots: { r: ROOT },
    authorities: { a: { keyless: { trustRoot: 'r', identities: [IDENTITY], ...fields }, ...more } },
  });
const attested = (fields: object, count = 1): unknown =>
  read({
    authorities: { a: KEY },
    rules: [rule({ attestations: list(count, () => ({ predicateType: 't', anyOf: ['a'], ...fields })) })],
  });
const exception = (fields: object, at = 0): object => ({
  match: `r.test/a${at}`,
  digest: digestAt('x'),
  reason: 'r',
  approvedBy: 'a',
  expiresAt: '2026-11-21T00:00:00Z',
  ...fields,
});

/** Each of `reads` takes as many as the row's number in its place, and not one more. */
function each({ numbers, codes: [code] }: Row, ...reads: readonly ((count: number) => unknown)[]): void {
  assert.equal(numbers.length, reads.length, 'a number of the row is not tried');
  for (const [at, take] of reads.entries()) {
    take(numbers[at]!);
    refused(code, () => take(numbers[at]! + 1));
  }
}

/** A public key of RSA with so many bits; nobody has the private one. */
function rsaOf(bits: number): string {
  const modulus = Buffer.alloc(Math.ceil(bits / 8), 0xff);
  modulus[0] = 0xff >> (modulus.length * 8 - bits);
  const jwk = { kty: 'RSA', n: modulus.toString('base64url'), e: 'AQAB' };
  return pemOf(createPublicKey({ key: jwk, format: 'jwk' }));
}

export const policyTries: Tries = {
  patterns: row =>
    each(row, count =>
      read({ rules: [rule({ match: list(count - 1, at => `r.test/a${at}`) }), rule({ name: 'b', match: '**' })] }),
    ),
  registries: row =>
    each(row, count => read({ registries: [{ name: 'r.test', aliases: list(count - 1, at => `a${at}`) }] })),
  vouchers: ({ numbers: [least, most], codes: [code] }) => {
    for (const vouchers of [least, most]) assert.equal(ruleOf(`vouchers: ${vouchers}`).vouchers, vouchers);
    for (const vouchers of [least - 1, most + 1]) refused(code, () => ruleOf(`vouchers: ${vouchers}`));
  },
  'tag-signers': ({ numbers: [least, most], codes: [code] }) => {
    for (const min of [least, most]) ruleOf(`tags: {min: ${min}}`);
    for (const min of [least - 1, most + 1]) refused(code, () => ruleOf(`tags: {min: ${min}}`));
  },
  'tag-keep': ({ numbers: [least, most], codes: [code] }) => {
    const keep = (ms: number): string => `tags: {min: 1, keep: ${ms / 1000}s}`;
    for (const ms of [least, most]) ruleOf(keep(ms));
    for (const ms of [least - 1000, most + 1000]) refused(code, () => ruleOf(keep(ms)));
  },
  'rule-lists': row =>
    each(
      row,
      count => read({ rules: [rule({ pins: { files: list(count, at => `${at}.lock`) } })] }),
      count => read({ rules: [rule({ share: { zones: list(count, at => `z${at}`) } })] }),
    ),
  authorities: row =>
    each(
      row,
      count => read({ authorities: mapping(count, KEY) }),
      count => read({ trustRoots: mapping(count, ROOT) }),
      count => keyless({ identities: list(count, () => IDENTITY) }),
      count => keyless({ extensions: mapping(count, 'x', at => `1.2.${at}`) }),
    ),
  identities: row =>
    each(
      row,
      length => keyless({ identities: [{ issuer: 'i'.repeat(length), subject: 's'.repeat(length) }] }),
      length => keyless({ identities: [{ issuer: 'i', subjectPattern: 's'.repeat(length) }] }),
    ),
  'subject-ways': ({ numbers: [most], codes: [code] }) => {
    const choices = (count: number): unknown =>
      keyless({ identities: [{ issuer: 'i', subjectPattern: '(a|b)'.repeat(count) }] });
    choices(Math.log2(most));
    refused(code, () => choices(Math.log2(most) + 1));
  },
  'log-entries': row =>
    each(row, count => {
      for (const log of ['ctlog', 'tlog', 'timestamps']) keyless({}, { [log]: count });
    }),
  'public-key': ({ numbers: [bytes, least, most], codes: [code] }) => {
    const pem = pemOf(generateKeyPairSync('ed25519').publicKey);
    const load = (size: number): unknown =>
      loadPolicy(
        whole('authorities: {a: {key: {file: k.pub}}}'),
        'p',
        new Map([['k.pub', Buffer.from(pem.padEnd(size, '\n'))]]),
      );
    load(bytes);
    refused(code, () => load(bytes + 1));
    const open = (bits: number): unknown => openSigners(new Map([['a', key(rsaOf(bits))]]), new Map());
    for (const bits of [least, most]) open(bits);
    for (const bits of [least - 1, most + 1]) refused(code, () => open(bits));
  },
  requirements: row =>
    each(
      row,
      count =>
        read({
          authorities: mapping(count, KEY),
          rules: [rule({ signatures: { anyOf: list(count, at => `n${at}`) } })],
        }),
      count => attested({}, count),
      count => attested({ where: mapping(count, 1, at => `/${at}`) }),
      count => attested({ where: { '/a': { in: list(count, at => at) } } }),
    ),
  'signature-age': ({ numbers: [least, most], codes: [code] }) => {
    const aged = (ms: number): unknown => attested({ maxAge: `${ms / 1000}s` });
    for (const ms of [least, most]) aged(ms);
    for (const ms of [least - 1000, most + 1000]) refused(code, () => aged(ms));
  },
  'policy-texts': row =>
    each(
      row,
      length => read({ rules: [rule({ name: 'n'.repeat(length) })] }),
      length => read({ trustRoots: { r: { ...ROOT, file: 'f'.repeat(length) } } }),
      length => read({ exceptions: [exception({ reason: 'r'.repeat(length), approvedBy: 'a'.repeat(length) })] }),
      length =>
        attested({ predicateType: 't'.repeat(length), where: { [`/${'p'.repeat(length - 1)}`]: 'v'.repeat(length) } }),
    ),
  exceptions: ({ numbers: [most, ms], codes: [code] }) => {
    const many = (count: number): unknown => read({ exceptions: list(count, at => exception({}, at)) });
    many(most);
    refused(code, () => many(most + 1));
    const until = (at: number): unknown => read({ exceptions: [exception({ expiresAt: new Date(at).toISOString() })] });
    until(ISSUED_AT + ms);
    refused(code, () => until(ISSUED_AT + ms + 1));
  },
  serials: ({ numbers: [policy, lock], codes: [code, lockCode] }) => {
    const read = (serial: number): unknown => readPolicy(whole('').replace('serial: 1', `serial: ${serial}`), 'p');
    const pins = (serial: number): unknown => parsePins(Buffer.from(`pinnace-pins 1 serial ${serial}\n`), 'p');
    read(policy);
    refused(code, () => read(policy + 1));
    pins(lock);
    refused(lockCode!, () => pins(lock + 1));
  },
  'policy-keys': row => {
    const keys = list(row.numbers[0] + 1, () => spkiOf(person()));
    each(row, count => {
      const policy = formatDemand({ keys: keys.slice(0, count), threshold: 1, requireSigned: true, lowestSerial: 1 });
      return readDemand(new Fields({ policy }, '', row.codes[0]));
    });
  },
  cases: row =>
    each(row, count => {
      const one = '{reference: r.test/a:1, expect: {decision: deny, rule: a}}';
      return parseCases(`cases:\n${`- ${one}\n`.repeat(count)}`, 'c');
    }),
};
