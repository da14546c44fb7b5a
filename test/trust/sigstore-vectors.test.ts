/** The published vectors through the function that judges a pull: each comes out as those who wrote it say. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { digestOf } from '../../src/oci/oci.ts';
import { type Authority, type Judgement, openSigners } from '../../src/trust/trust.ts';

const VECTORS = resolve(import.meta.dirname, '../../../shared/vectors');
const SIGSTORE = join(VECTORS, 'sigstore');
const LEGACY = join(VECTORS, 'cosign-legacy');
/** What the vectors were made with, where a folder says nothing else. */
const SUBJECT =
  'https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main';
const ISSUER = 'https://token.actions.githubusercontent.com';
const NOW = Date.UTC(2026, 10, 25);

const skipUnless = (folder: string): string | false =>
  existsSync(folder) ? false : `the vectors are not there: ${folder}`;
const read = (path: string): Buffer | undefined => (existsSync(path) ? readFileSync(path) : undefined);
const foldersIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter(name => statSync(join(folder, name)).isDirectory())
    .sort();
const keyOf = (pem: string): Extract<Authority, { kind: 'key' }> => ({
  kind: 'key',
  pem,
  ctlog: 0,
  tlog: 0,
  timestamps: 0,
});

/** Accepted or refused; a root that is refused when it is loaded is a refusal. */
function sigstoreOutcome(name: string): string {
  const file = (base: string): Buffer | undefined => read(join(SIGSTORE, name, base));
  const root = file('trusted_root.json') ?? readFileSync(join(SIGSTORE, 'public-good-trusted-root.json'));
  const artifact = file('artifact') ?? readFileSync(join(SIGSTORE, 'a.txt'));
  const pem = file('key.pub')?.toString();
  const needs = { tlog: 1, timestamps: 1, trustRoot: 'root' };
  const identity = {
    issuer: file('issuer')?.toString().trim() ?? ISSUER,
    subject: file('identity')?.toString().trim() ?? SUBJECT,
  };
  const authority: Authority =
    pem === undefined
      ? { kind: 'keyless', ...needs, ctlog: 1, identities: [identity], extensions: new Map() }
      : { ...keyOf(pem), ...needs };
  try {
    const signers = openSigners(new Map([['a', authority]]), new Map([['root', root]]));
    const bytes = file('bundle.sigstore.json')!;
    const { signed, code, reason } = signers.judge({ format: 'bundle', bytes, artifact }, digestOf(artifact), NOW);
    return signed.length > 0 ? 'accepted' : `refused: ${code}, ${reason}`;
  } catch (error) {
    assert.ok(hasCode(error, 'POLICY_INVALID'), String(error));
    return `refused: ${error.code}, ${error.message}`;
  }
}

void describe('the vectors of sigstore-conformance', { skip: skipUnless(SIGSTORE) }, () => {
  const names = skipUnless(SIGSTORE) === false ? foldersIn(SIGSTORE) : [];
  const outcomes = new Map(names.map(name => [name, sigstoreOutcome(name)]));
  for (const [name, outcome] of outcomes)
    void it(`${name} is ${name.endsWith('_fail') ? 'refused' : 'accepted'}`, () => {
      assert.equal(outcome.startsWith('refused'), name.endsWith('_fail'), outcome);
    });

  void it('come out as counted: accepted and refused', t => {
    const accepted = [...outcomes.values()].filter(outcome => outcome === 'accepted').length;
    t.diagnostic(`sigstore-conformance: ${accepted} accepted, ${outcomes.size - accepted} refused`);
    assert.deepEqual([accepted, outcomes.size - accepted], [11, 24]);
  });

  void it('a root with a log that has no validFor.start is refused when it is loaded (edge h)', () => {
    assert.match(sigstoreOutcome('trust-root-tlog-missing-validity-start_fail'), /^refused: POLICY_INVALID.*validFor/);
  });
});

/** What a file holds, or the one that it names: a link that was stored as text. */
function followed(path: string): Buffer {
  const bytes = readFileSync(path);
  return bytes.subarray(0, 3).toString() === '../' ? followed(join(path, '..', bytes.toString().trim())) : bytes;
}

/** A signature in the layout of containers/image: a line that names the format, then JSON. */
function legacyJudgement(folder: string, authority: Authority): Judgement {
  const file = followed(join(LEGACY, folder, 'signature-1'));
  const line = file.subarray(file.indexOf('\n') + 1).toString();
  const { payload, annotations } = JSON.parse(line) as { payload: string; annotations: Record<string, string> };
  const manifest = readFileSync(join(LEGACY, folder, 'manifest.json'));
  const root = readFileSync(join(SIGSTORE, 'public-good-trusted-root.json'));
  const signers = openSigners(new Map([['a', authority]]), new Map([['root', root]]));
  const candidate = { format: 'legacy', payload: Buffer.from(payload, 'base64'), annotations } as const;
  return signers.judge(candidate, digestOf(manifest), NOW);
}

void describe('the legacy signatures of containers/image', { skip: skipUnless(LEGACY) || skipUnless(SIGSTORE) }, () => {
  const TABLE: readonly (readonly [folder: string, key: string, needs: Partial<Authority>, accepted: boolean])[] = [
    ['dir-img-cosign-valid', 'cosign.pub', {}, true],
    ['dir-img-cosign-valid', 'cosign2.pub', {}, false],
    ['dir-img-cosign-valid', 'cosign.pub', { tlog: 1, trustRoot: 'root' }, false],
    ['dir-img-cosign-modified-manifest', 'cosign.pub', {}, false],
    ['dir-img-cosign-key-rekor-valid', 'cosign2.pub', {}, true],
    ['dir-img-cosign-key-rekor-valid', 'cosign2.pub', { tlog: 1, timestamps: 1, trustRoot: 'root' }, true],
    ['dir-img-cosign-key-rekor-valid', 'cosign.pub', { tlog: 1, timestamps: 1, trustRoot: 'root' }, false],
  ];
  const outcomes: boolean[] = [];
  for (const [folder, key, needs, accepted] of TABLE)
    void it(`${folder} under ${key} ${JSON.stringify(needs)} is ${accepted ? 'accepted' : 'refused'}`, () => {
      const pem = readFileSync(join(LEGACY, key), 'utf8');
      const { signed, reason } = legacyJudgement(folder, { ...keyOf(pem), ...needs } as Authority);
      outcomes.push(signed.length > 0);
      assert.equal(signed.length > 0, accepted, reason ?? 'accepted');
      if (needs.timestamps) assert.equal(signed[0]?.signedAt !== undefined, accepted);
    });

  void it('come out as counted: accepted and refused', t => {
    const accepted = outcomes.filter(Boolean).length;
    t.diagnostic(`cosign-legacy: ${accepted} accepted, ${outcomes.length - accepted} refused`);
    assert.deepEqual([accepted, outcomes.length - accepted], [3, 4]);
  });
});
