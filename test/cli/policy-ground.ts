/** Texts for the tests of `pinnace policy` and `verify-image`: a head for policies, and keys that are made while they run. */
import { generateKeyPairSync } from 'node:crypto';

/** A policy that mirrors r.test, with `rest` below its head. */
export const policyText = (rest: string, metadata = 'name: p, serial: 3, issuedAt: 2026-11-20T00:00:00Z'): string =>
  `apiVersion: pinnace.policy/v1\nkind: MirrorPolicy\nmetadata: {${metadata}}\nregistries: [r.test]\n${rest}`;

/** A new public key, PEM. */
export const keyText = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey.export({ type: 'spki', format: 'pem' }).toString();
