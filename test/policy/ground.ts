/** What the tests of the policy room share: texts and files of a policy, and what is said of a reference. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { type Code, hasCode, type MirrorError } from '../../src/errors.ts';
import { type Digest, parseDigest, parseReference, parseTagReference } from '../../src/oci/oci.ts';
import { loadPolicy } from '../../src/policy/parse.ts';
import type { Policy, Rule, Signed } from '../../src/policy/policy.ts';
import { ISSUED_AT, whole } from '../support/policies.ts';

export { ISSUED_AT, whole };
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** A day after the policies of `whole` were issued. */
export const NOW = ISSUED_AT + DAY_MS;
export const [D1, D2, D3] = ['1', '2', '3'].map(digit => parseDigest(`sha256:${digit.repeat(64)}`)) as [
  Digest,
  Digest,
  Digest,
];

const pem = (): string => generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString();
/** Files that policies of tests may name. */
export const FILES: ReadonlyMap<string, Uint8Array> = new Map(
  Object.entries({
    'a.pub': pem(),
    'b.pub': pem(),
    'c.pub': pem(),
    'root.json': '{"root":1}',
    'app.lock': `pinnace-pins 1 serial 7\nr.test/team/app:1 ${D1}\nr.test/team/app:2 ${D2}\n`,
    'db.lock': `pinnace-pins 1 serial 3\nr.test/team/db:1 ${D3} # alice 2026-11-20\n`,
    'moved.lock': `pinnace-pins 1 serial 8\nr.test/team/app:1 ${D2}\n`,
    'broken.lock': `pinnace-pins 1 serial 8\nr.test/team/app:1 ${D2}\nr.test/team/app ${D2}\n`,
  }).map(([name, text]) => [name, Buffer.from(text)]),
);
/** Of root.json. */
export const ROOT_SHA256 = '299c91466bfabe47afb4ca6f073ec3569e8e26cb99d00aeac5367eb33ae49f38';

export const KEYS = 'authorities: {a: {key: {file: a.pub}}, b: {key: {file: b.pub}}, c: {key: {file: c.pub}}}\n';

/** The policy whose text below its head is `rest`. */
export const load = (rest: string, metadata = '', files = FILES): Policy =>
  loadPolicy(whole(rest, metadata), 'p.yaml', files);

/** The rule that decides for a reference. */
export const ruleFor = (policy: Policy, name: string): Rule => {
  const { registry, repository } = parseReference(name);
  return policy.rule(registry, repository);
};
export const ref = parseReference;
export const tag = parseTagReference;

/** Each of `texts` is refused with `code`, at the place that stands beside it. */
export function refuses(code: Code, texts: readonly (readonly [rest: string, place: string])[]): void {
  for (const [rest, place] of texts)
    assert.throws(
      () => load(rest),
      (error: MirrorError) => {
        assert.ok(hasCode(error, code), `${rest}: ${String(error)}`);
        assert.ok(error.message.startsWith(`p.yaml: ${place}`), `${rest}: ${error.message}`);
        return true;
      },
      rest,
    );
}

/** A signature of `authority` that holds. */
export const by = (authority: string, more: Partial<Signed> = {}): Signed => ({
  authority,
  format: 'bundle',
  signer: `the key of ${authority}`,
  ...more,
});
