/** Credentials and rosters against hostile bytes: one closed set of codes, nothing hangs, nothing else is thrown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CompactSign } from 'jose';
import { hasCode } from '../../src/errors.ts';
import { readCredential } from '../../src/identity/credential.ts';
import { type Roster, readRoster } from '../../src/identity/roster.ts';
import type { Node } from '../../src/oci/oci.ts';
import { makeCluster } from '../support/cluster.ts';
import { fuzzAsync, refusedOrLater, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';

const { issuer, roster, nodes, signRoster } = await makeCluster({ nodes: ['n1'] });
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
  await fuzzAsync(fc.asyncProperty(texts, both), 200);
});

void test('any change of one character is refused', async () => {
  const change = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), fc.string({ maxLength: 2 }));
  await fuzzAsync(
    fc.asyncProperty(fc.constantFrom(credential, roster), change, async (whole, [where, by]) => {
      const at = Math.floor(where * whole.length);
      const text = whole.slice(0, at) + by + whole.slice(at + 1);
      if (text !== whole) await both(text);
    }),
    200,
  );
});

void test('any JSON under the issuer’s own signature is refused where it is not of the form', async () => {
  await fuzzAsync(
    fc.asyncProperty(fc.jsonValue(), fc.constantFrom('credential', 'roster'), async (value, kind) => {
      const header = { alg: 'EdDSA', typ: `pinnace-${kind}+jwt` };
      const bytes = Buffer.from(JSON.stringify(value));
      await both(await new CompactSign(bytes).setProtectedHeader(header).sign(issuer.key));
    }),
    100,
  );
});

smallAtTheEnd();

const claimsOf = (jwt: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(jwt.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;
const sign = (typ: string, payload: Uint8Array): Promise<string> =>
  new CompactSign(payload).setProtectedHeader({ alg: 'EdDSA', typ: `pinnace-${typ}+jwt` }).sign(issuer.key);

void test('spoilt claims under the issuer’s own signature are refused by code, or say one thing in one way', async () => {
  const full = await signRoster({ seq: 2, revoked: ['gone', nodes[0]!.peer] });
  const kinds = [
    ['credential', claimsOf(credential)],
    ['roster', claimsOf(full)],
  ] as const;
  const hostile = fc.constantFrom(...kinds).chain(([kind, claims]) =>
    fc.tuple(
      fc.constant(kind),
      fc.oneof(
        twisted(claims).map(value => Buffer.from(JSON.stringify(value))),
        spoilt(Buffer.from(JSON.stringify(claims))),
      ),
    ),
  );
  await fuzzAsync(
    fc.asyncProperty(hostile, async ([kind, payload]) => {
      const jwt = await sign(kind, payload);
      const judge = kind === 'credential' ? readCredential : readRoster;
      const read: object | undefined = await refusedOrLater(async () => {
        try {
          return await judge(jwt, issuer.cluster);
        } catch (error) {
          assert.ok(hasCode(error, ...CODES), String(error));
          throw error;
        }
      });
      if (!read) return;
      const { issuedAt, expiresAt, roles, revoked } = read as Partial<Node & Roster>;
      assert.ok(Number.isSafeInteger(issuedAt) && expiresAt! > issuedAt!);
      assert.equal(kind === 'credential', roles !== undefined && roles.size > 0);
      for (const [of, before] of revoked ?? []) assert.ok(of !== '' && Number.isSafeInteger(before));
    }),
    500,
  );
});
