/** Authorities of one policy and what they make of a bundle, in one call; for tests that spoil one thing at a time. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Digest } from '../../src/oci/oci.ts';
import { type Authority, type Candidate, type Judgement, openSigners, type Signed } from '../../src/trust/trust.ts';
import { bytesOfJson, type Json } from './sigstore-signing.ts';

export const ISSUER = 'https://issuer.example';
export const SUBJECT = 'https://forge.example/app/build@refs/heads/main';

export type Key = Extract<Authority, { kind: 'key' }>;
export type Keyless = Extract<Authority, { kind: 'keyless' }>;

/** A digest of nothing that exists. */
export const digestAt = (name: string): Digest => `sha256:${createHash('sha256').update(name).digest('hex')}` as Digest;
/** What the bundles of a test are about. */
export const IMAGE = digestAt('image');

/** An authority by certificate, of the one identity of the tests. */
export const keyless = (changes: Partial<Keyless> = {}): Keyless => ({
  kind: 'keyless',
  trustRoot: 'root',
  ctlog: 1,
  tlog: 1,
  timestamps: 1,
  identities: [{ issuer: ISSUER, subject: SUBJECT }],
  extensions: new Map(),
  ...changes,
});

/** An authority by key. */
export const key = (pem: string, changes: Partial<Key> = {}): Key => ({
  kind: 'key',
  pem,
  ctlog: 0,
  tlog: 0,
  timestamps: 0,
  ...changes,
});

/** What is to be judged, and under what. */
export interface Case {
  readonly authority: Authority;
  readonly root?: Json;
  readonly candidate: Candidate;
  readonly subject?: Digest;
  readonly now?: number;
}

/** A bundle as a candidate. */
export const bundle = (json: unknown): Candidate => ({ format: 'bundle', bytes: bytesOfJson(json) });

/** What one authority makes of a candidate. */
export function judged({ authority, root, candidate, subject = IMAGE, now = Date.now() }: Case): Judgement {
  const roots = new Map(root ? [['root', bytesOfJson(root)]] : []);
  return openSigners(new Map([['authority', authority]]), roots).judge(candidate, subject, now);
}

/** Asserts that it holds, and answers as what. */
export function holds(one: Case): Signed {
  const { signed, reason } = judged(one);
  assert.equal(signed.length, 1, reason ?? 'it holds');
  return signed[0]!;
}

/** Asserts that it is refused by that code, for a reason that matches. */
export function refused(one: Case, code: Judgement['code'], reason?: RegExp): void {
  const judgement = judged(one);
  assert.deepEqual(judgement.signed, []);
  assert.equal(judgement.code, code, judgement.reason ?? 'no reason');
  if (reason) assert.match(judgement.reason ?? '', reason);
}
