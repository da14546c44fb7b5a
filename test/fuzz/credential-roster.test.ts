/** Credentials and rosters against hostile bytes: one closed set of codes, nothing hangs, nothing else is thrown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CompactSign } from 'jose';
import { hasCode } from '../../src/errors.ts';
import { readCredential } from '../../src/identity/credential.ts';
import { readRoster } from '../../src/identity/roster.ts';
import { makeCluster } from '../support/cluster.ts';

const { issuer, roster, nodes } = await makeCluster({ nodes: ['n1'] });
const { credential } = nodes[0]!;
const CODES = ['CREDENTIAL_INVALID', 'CREDENTIAL_FOREIGN', 'ROSTER_INVALID'] as const;

async function refused(work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, error => hasCode(error, ...CODES));
}
async function both(text: string): Promise<void> {
  await refused(readCredential(text, issuer.cluster));
  await refused(readRoster(text, issuer.cluster));
}

void test('any text is refused', async () => {
  const part = fc.base64String();
  const texts = fc.oneof(
    fc.string(),
    fc.tuple(part, part, part).map(parts => parts.join('.')),
  );
  await fc.assert(fc.asyncProperty(texts, both), { numRuns: 200 });
});

void test('any change of one character is refused', async () => {
  const change = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), fc.string({ maxLength: 2 }));
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(credential, roster), change, async (whole, [where, by]) => {
      const at = Math.floor(where * whole.length);
      const text = whole.slice(0, at) + by + whole.slice(at + 1);
      if (text !== whole) await both(text);
    }),
    { numRuns: 200 },
  );
});

void test('any JSON under the issuer’s own signature is refused where it is not of the form', async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), fc.constantFrom('credential', 'roster'), async (value, kind) => {
      const header = { alg: 'EdDSA', typ: `pinnace-${kind}+jwt` };
      const bytes = Buffer.from(JSON.stringify(value));
      await both(await new CompactSign(bytes).setProtectedHeader(header).sign(issuer.key));
    }),
    { numRuns: 100 },
  );
});
