/** What is signed: what @sigstore/verify lets through by default, edge by edge. Each of these fails without our wrapper. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { keyPair, openSigstore, type Sigstore } from '../support/sigstore.ts';
import { bundle, digestAt, holds, IMAGE, key, keyless, refused, SUBJECT } from '../support/sigstore-judging.ts';
import { leafAuthority, uri } from '../support/sigstore-leaf.ts';
import { byKey, byLeaf, IN_TOTO, type Json, pemOf, statementOf } from '../support/sigstore-signing.ts';

const UNTRUSTED = 'SIGNATURE_UNTRUSTED';
const INVALID = 'BUNDLE_INVALID';
const PAIR = keyPair();
const KEY = key(pemOf(PAIR.publicKey));
const leaves = leafAuthority();
let sigstore: Sigstore;
let root: Json;
let plain: Json;

before(async () => {
  sigstore = await openSigstore();
  root = sigstore.root(leaves.certificate);
  plain = await sigstore.statement(statementOf(IMAGE), { signer: sigstore.keyless(SUBJECT) });
});
after(() => sigstore.close());

const keyed = (text: string | Uint8Array, type = IN_TOTO): Promise<Json> =>
  sigstore.statement(text, { signer: byKey(PAIR), witnesses: [] }, type);

void describe('edge c: what a statement is about, and that it is one', () => {
  const statement = (changes: Json): string =>
    JSON.stringify({ ...(JSON.parse(statementOf(IMAGE)) as Json), ...changes });
  const other = digestAt('other');

  void it('a good signature for another digest is refused', async () => {
    refused({ authority: KEY, candidate: bundle(await keyed(statementOf(other))) }, UNTRUSTED, /another digest/);
  });

  for (const [what, subject] of [
    ['in upper case', { sha256: IMAGE.slice(7).toUpperCase() }],
    ['with its algorithm', { sha256: IMAGE }],
    ['under another algorithm', { sha512: IMAGE.slice(7) }],
    ['cut short', { sha256: IMAGE.slice(7, -1) }],
    ['in a list', { sha256: [IMAGE.slice(7)] }],
    ['that is not there', {}],
  ] as const)
    void it(`a subject with a digest ${what} names nothing`, async () => {
      const made = await keyed(statement({ subject: [{ name: 'app', digest: subject }] }));
      refused({ authority: KEY, candidate: bundle(made) }, UNTRUSTED, /another digest/);
    });

  void it('a digest in the name, the predicate or an annotation is no subject', async () => {
    const digest = { sha256: other.slice(7) };
    const made = await keyed(statement({ subject: [{ name: IMAGE, digest }], predicate: { digest: IMAGE } }));
    refused({ authority: KEY, candidate: bundle(made) }, UNTRUSTED, /another digest/);
  });

  void it('one of several subjects is enough, in both versions of the statement', async () => {
    const subject = [{ name: 'x', digest: { sha256: other.slice(7) } }, { digest: { sha256: IMAGE.slice(7) } }];
    for (const _type of ['https://in-toto.io/Statement/v0.1', 'https://in-toto.io/Statement/v1'])
      holds({ authority: KEY, candidate: bundle(await keyed(statement({ subject, _type }))) });
  });

  for (const [what, changes] of [
    ['of another version', { _type: 'https://in-toto.io/Statement/v2' }],
    ['without a version', { _type: undefined }],
    ['without subjects', { subject: undefined }],
    ['with a subject that is no list', { subject: { digest: { sha256: IMAGE.slice(7) } } }],
    ['with too many subjects', { subject: Array.from({ length: 1025 }, () => ({})) }],
    ['without a predicate type', { predicateType: undefined }],
    ['with a predicate type that is no text', { predicateType: ['https://sigstore.dev/cosign/sign/v1'] }],
  ] as const)
    void it(`a signed statement ${what} is refused`, async () => {
      refused({ authority: KEY, candidate: bundle(await keyed(statement(changes))) }, INVALID);
    });

  void it('a signed payload of another type is no statement, whatever it looks like', async () => {
    for (const type of [
      'application/json',
      'application/vnd.in-toto+json2',
      'application/vnd.dsse.envelope.v1+json',
      '',
    ])
      refused({ authority: KEY, candidate: bundle(await keyed(statementOf(IMAGE), type)) }, INVALID, /no in-toto/);
  });

  void it('an attestation is never a plain signature', async () => {
    const made = await keyed(statementOf(IMAGE, 'https://sigstore.dev/cosign/sign/v1/'));
    const { predicateType } = holds({ authority: KEY, candidate: bundle(made) });
    assert.equal(predicateType, 'https://sigstore.dev/cosign/sign/v1/');
  });
});

void describe('edge g: four versions of a bundle, and no other', () => {
  const of = (mediaType: string): string => `application/vnd.dev.sigstore.bundle${mediaType}`;
  for (const mediaType of [
    of('.v0.9+json'),
    of('.v0.4+json'),
    of('.v0.3+json; charset=utf-8'),
    of('+json;version=0.9'),
    of('+json;version=0.33'),
    of('.v0.3+jsonx'),
    `x${of('.v0.3+json')}`,
    '',
  ])
    void it(`${JSON.stringify(mediaType)} is refused`, () => {
      const candidate = bundle({ ...plain, mediaType });
      refused({ authority: keyless(), root, candidate }, INVALID, /unknown version/);
    });

  void it('the other way to write version 0.3 holds', () => {
    holds({ authority: keyless(), root, candidate: bundle({ ...plain, mediaType: of('+json;version=0.3') }) });
  });
});

void describe('edge j: a certificate without any proved time', () => {
  void it('is refused, whatever its authority', async () => {
    const signer = byLeaf(leaves.issue({ names: [uri(SUBJECT)] }));
    const made = await sigstore.statement(statementOf(IMAGE), { signer, witnesses: [] });
    const authority = keyless({ ctlog: 0, tlog: 0 });
    refused({ authority, root, candidate: bundle(made) }, UNTRUSTED, /TIMESTAMP/);
  });
});

void describe('edge k: a log entry belongs to its signature', () => {
  void it('the entry of another signature by the same identity is refused', async () => {
    const other = await sigstore.statement(statementOf(IMAGE), { signer: sigstore.keyless(SUBJECT) });
    const { tlogEntries } = other.verificationMaterial as Json;
    const swapped = { ...plain, verificationMaterial: { ...(plain.verificationMaterial as Json), tlogEntries } };
    refused({ authority: keyless(), root, candidate: bundle(swapped) }, UNTRUSTED);
  });
});

void describe('edge m: a timestamp is by an authority of the root', () => {
  void it('one of another sigstore is refused', async () => {
    const other = await openSigstore();
    try {
      const signer = sigstore.keyless(SUBJECT);
      const made = await sigstore.statement(statementOf(IMAGE), { signer, witnesses: ['rekor1', 'tsa'] });
      holds({ authority: keyless(), root, candidate: bundle(made) });
      const { timestampAuthorities } = other.root();
      refused({ authority: keyless(), root: { ...root, timestampAuthorities }, candidate: bundle(made) }, UNTRUSTED);
    } finally {
      other.close();
    }
  });
});
