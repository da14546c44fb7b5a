/**
 * Many tiny images in one OCI layout, each with a sigstore bundle about it, and the policies that ask for these signatures.
 * Promises: all keys and certificates are made at run time; every bundle is its own. Refuses to know who judges them, and when.
 */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { listInLayout, putAttachment } from '../support/attachment-layouts.ts';
import { buildImage } from '../support/images.ts';
import { buildAttachment } from '../support/memory-attachments.ts';
import { keyPair, openSigstore, type Sigstore } from '../support/sigstore.ts';
import { ISSUER, SUBJECT } from '../support/sigstore-judging.ts';
import { byKey, bytesOfJson, pemOf, statementOf } from '../support/sigstore-signing.ts';

/** Every so many images one lies where the name of the rule changes with the serial: that it was judged is on record. */
const MARK_EVERY = 20;
/** A manifest, a config, a layer. */
const CONTENTS_OF_IMAGE = 3;
/** How an image may be signed. */
export type SignedBy = 'key' | 'keyless';

export interface SignedImages {
  /** The layout with the images and their bundles. */
  readonly dir: string;
  /** Contents of all images; the bundles are none. */
  readonly contents: number;
  /** How many of the images are marks. */
  readonly marks: number;
  /** The policy that allows the images, where `asks` for their signatures alone, and all of `registry.test/bench`. */
  readonly policy: (serial: number, asks: boolean) => string;
  /** What that policy names, by its path. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** What the rule of the marks is called under a policy. */
export const markRule = (serial: number): string => `marked-${serial}`;

/** Builds `count` images in the layout `dir`, which must not be there yet. */
export async function buildSignedImages(dir: string, signedBy: SignedBy, count: number): Promise<SignedImages> {
  const sigstore = await openSigstore();
  try {
    const { sign, files, ...judge } = signedBy === 'key' ? keySigning(sigstore) : keylessSigning(sigstore);
    for (let at = 1; at <= count; at++) {
      const repository = at % MARK_EVERY === 0 ? 'marked' : 'signed';
      const reference = `registry.test/${repository}/app-${at}:1`;
      const { digest } = await buildImage(dir, { reference, layers: [{ files: { number: `${at}` } }] });
      const bundle = buildAttachment(digest, bytesOfJson(await sign(statementOf(digest))));
      await listInLayout(dir, await putAttachment(dir, bundle));
    }
    const policy = (serial: number, asks: boolean): string => policyText(serial, judge, asks);
    return { dir, contents: count * CONTENTS_OF_IMAGE, marks: Math.floor(count / MARK_EVERY), policy, files };
  } finally {
    sigstore.close();
  }
}

/** Writes what the policy names into `folder`, where the policy itself will be. */
export async function writeNamed(folder: string, { files }: SignedImages): Promise<void> {
  for (const [name, bytes] of files) await writeFile(join(folder, name), bytes);
}

interface Signing {
  readonly sign: (statement: string) => Promise<unknown>;
  /** What stands in the policy before its authority, and that. */
  readonly roots: string;
  readonly authority: string;
  readonly files: SignedImages['files'];
}

function keySigning(sigstore: Sigstore): Signing {
  const pair = keyPair();
  return {
    sign: statement => sigstore.statement(statement, { signer: byKey(pair), witnesses: [] }),
    roots: '',
    authority: '{key: {file: signer.pub}}',
    files: new Map([['signer.pub', Buffer.from(pemOf(pair.publicKey))]]),
  };
}

function keylessSigning(sigstore: Sigstore): Signing {
  const root = bytesOfJson(sigstore.root());
  const identity = `{issuer: "${ISSUER}", subject: "${SUBJECT}"}`;
  return {
    sign: statement => sigstore.statement(statement, { signer: sigstore.keyless(SUBJECT), witnesses: ['rekor1'] }),
    roots: `trustRoots: {own: {file: root.json, sha256: ${createHash('sha256').update(root).digest('hex')}}}\n`,
    authority: `{keyless: {trustRoot: own, identities: [${identity}]}}`,
    files: new Map([['root.json', root]]),
  };
}

/** What the only authority is called: with another one nothing that was judged before counts. */
const signer = (serial: number): string => `signer-${serial}`;
const asked = (serial: number): string => `, signatures: {anyOf: [${signer(serial)}]}`;
const policyText = (serial: number, { roots, authority }: Pick<Signing, 'roots' | 'authority'>, asks: boolean) =>
  `apiVersion: pinnace.policy/v1
kind: MirrorPolicy
metadata: {name: bench, serial: ${serial}, issuedAt: 2026-11-20T00:00:00Z}
registries: [registry.test]
${roots}authorities: {${signer(serial)}: ${authority}}
defaults: {share: cluster}
rules:
  - {name: bench, match: registry.test/bench/**}
  - {name: signed, match: registry.test/signed/*${asks ? asked(serial) : ''}}
  - {name: ${markRule(serial)}, match: registry.test/marked/*${asks ? asked(serial) : ''}}
`;
