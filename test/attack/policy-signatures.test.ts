/** Signatures that are not what they seem, through a whole node: of others, of something else, old, broken, or by tricks with names. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { loadPolicy } from '../../src/policy/parse.ts';
import { openSigners } from '../../src/trust/trust.ts';
import {
  Admission,
  ALL,
  bundleBy,
  is,
  KEYS,
  legacyBy,
  NAME,
  PLATFORM,
  policy,
  signatureBy,
  SIGNED,
} from '../mirror/admission.ts';
import { storyImage } from '../mirror/story-node.ts';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';
import { openSigstore, type Sigstore } from '../support/sigstore.ts';
import { bytesOfJson, type Json, statementOf } from '../support/sigstore-signing.ts';

const IMAGE = storyImage(NAME, { layers: [10] });
const { digest } = IMAGE.target;
const GOOD = JSON.parse(bundleBy(PLATFORM, digest).toString()) as Json & {
  dsseEnvelope: Json & { signatures: Json[] };
};
const ISSUER = 'https://issuer.example';
const SUBJECT = 'ci@registry.example';

let story: Admission;
let sigstore: Sigstore;
before(async () => {
  sigstore = await openSigstore();
});
after(() => sigstore.close());
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

/** Refused at the door of a reader, and not told by a holder. */
async function isRefused(text: string, attached: readonly BuiltAttachment[], files = KEYS): Promise<void> {
  await story.holder('open', IMAGE, ALL, attached);
  const node = await story.reader(text, files);
  await story.refuses(node, IMAGE, 'SIGNATURE_UNTRUSTED', digest);
  await story.hides(await story.holder('strict', IMAGE, text, attached, files), IMAGE);
}

const envelope = GOOD.dsseEnvelope;
for (const [what, bundle] of [
  ['of version 0.9', bytesOfJson({ ...GOOD, mediaType: 'application/vnd.dev.sigstore.bundle.v0.9+json' })],
  [
    'of two signatures',
    bytesOfJson({
      ...GOOD,
      dsseEnvelope: { ...envelope, signatures: [...envelope.signatures, ...envelope.signatures] },
    }),
  ],
  ['of no signature', bytesOfJson({ ...GOOD, dsseEnvelope: { ...envelope, signatures: [] } })],
  ['of another type of payload', bytesOfJson({ ...GOOD, dsseEnvelope: { ...envelope, payloadType: 'text/plain' } })],
  [
    'whose numbers are none',
    bytesOfJson({
      ...GOOD,
      verificationMaterial: {
        ...(GOOD.verificationMaterial as Json),
        tlogEntries: [{ logIndex: 'NaN', integratedTime: -1 }],
      },
    }),
  ],
  [
    'with the key of a prototype',
    Buffer.from(JSON.stringify({ ...GOOD, dsseEnvelope: null }).replace('{', `{"__proto__":${JSON.stringify(GOOD)},`)),
  ],
  ['whose envelope is a list', bytesOfJson({ ...GOOD, dsseEnvelope: [] })],
  ['that is null', Buffer.from('null')],
  ['nested without end', Buffer.from('['.repeat(200_000))],
  ['that is not UTF-8', Buffer.from([0xff, 0xfe, 0x7b])],
] as const)
  void test(`a bundle ${what} counts for nothing, and ends no node (SIGNATURE_UNTRUSTED)`, () =>
    isRefused(SIGNED, [buildAttachment(digest, bundle)]));

void test('a signature of another digest, put beside this one, counts for nothing in either form (SIGNATURE_UNTRUSTED)', async () => {
  const other = storyImage('r.test/team/other:1').target.digest;
  await isRefused(SIGNED, [signatureBy(PLATFORM, digest, other), legacyBy(PLATFORM, digest, other)]);
});

/** A policy that trusts one identity of the private sigstore, and its files. */
function keyless(identity: string): { text: string; files: ReadonlyMap<string, Uint8Array> } {
  const root = bytesOfJson(sigstore.root());
  const sha256 = createHash('sha256').update(root).digest('hex');
  const text = policy('share: cluster, tags: {min: 1, keep: 7d}, signatures: {anyOf: [ci]}').replace(
    'authorities:',
    `trustRoots: { corp: { file: root.json, sha256: ${sha256} } }\nauthorities:\n  ci: { keyless: { trustRoot: corp, identities: [${identity}] } }`,
  );
  return { text, files: new Map([...KEYS, ['root.json', root]]) };
}
const signedAs = async (subject: string, issuer = ISSUER): Promise<BuiltAttachment> =>
  buildAttachment(
    digest,
    bytesOfJson(await sigstore.statement(statementOf(digest), { signer: sigstore.keyless(subject, issuer) })),
  );
const EXACT = `{issuer: "${ISSUER}", subject: "${SUBJECT}"}`;

void test('a keyless signature by the identity that policy names is admitted, told and travels', async () => {
  const { text, files } = keyless(EXACT);
  await story.holder('open', IMAGE, ALL, [await signedAs(SUBJECT)]);
  const node = await story.reader(text, files);
  await story.pullAll(node, IMAGE);
  assert.ok(node.told.holdings.includes(digest));
  assert.equal(node.audit.of('image.admitted').length > 0, true);
});

for (const [what, subject, issuer, identity] of [
  ['another identity', 'eve@registry.example', ISSUER, EXACT],
  ['an identity with more before it', `x${SUBJECT}`, ISSUER, EXACT],
  ['an identity with more behind it', `${SUBJECT}.evil.example`, ISSUER, EXACT],
  ['an identity in other letters', SUBJECT.toUpperCase(), ISSUER, EXACT],
  ['another issuer', SUBJECT, 'https://evil.example', EXACT],
  ['an issuer with a slash behind it', SUBJECT, `${ISSUER}/`, EXACT],
  [
    'more than a pattern says',
    `${SUBJECT}.evil.example`,
    ISSUER,
    `{issuer: "${ISSUER}", subjectPattern: "[a-z]+@registry[.]example"}`,
  ],
] as const)
  void test(`a keyless signature by ${what} is refused (SIGNATURE_UNTRUSTED)`, async () => {
    const { text, files } = keyless(identity);
    await isRefused(text, [await signedAs(subject, issuer)], files);
  });

void test('a signature of a sigstore that is not the policy’s is refused (SIGNATURE_UNTRUSTED)', async () => {
  const { text, files } = keyless(EXACT);
  const other = await openSigstore();
  try {
    const bundle = await other.statement(statementOf(digest), { signer: other.keyless(SUBJECT) });
    await isRefused(text, [buildAttachment(digest, bytesOfJson(bundle))], files);
  } finally {
    other.close();
  }
});

for (const [what, spoil] of [
  [
    'without the beginning of a log’s validity',
    (root: Json) => (root.tlogs as { publicKey: Json }[]).forEach(({ publicKey }) => delete publicKey.validFor),
  ],
  ['without any log', (root: Json) => (root.tlogs = [])],
  ['without a certificate authority', (root: Json) => (root.certificateAuthorities = [])],
] as const)
  void test(`a trust root ${what} is refused with its policy, whatever its hash is (POLICY_INVALID)`, () => {
    const json = sigstore.root();
    spoil(json);
    const root = bytesOfJson(json);
    const { text } = keyless(EXACT);
    const sha256 = createHash('sha256').update(root).digest('hex');
    const loaded = loadPolicy(
      text.replace(/sha256: [0-9a-f]{64}/, `sha256: ${sha256}`),
      'p.yaml',
      new Map([...KEYS, ['root.json', root]]),
    );
    assert.throws(() => openSigners(loaded.authorities, loaded.trustRoots), is('POLICY_INVALID'));
  });

void test('a trust root with one authority more than was written down is refused by its hash (POLICY_INVALID)', () => {
  const { text, files } = keyless(EXACT);
  const more = bytesOfJson({ ...sigstore.root(), certificateAuthorities: [] });
  assert.throws(
    () => loadPolicy(text, 'p.yaml', new Map([...files, ['root.json', more]])),
    (error: unknown) => hasCode(error, 'POLICY_INVALID'),
  );
});

void test('HEAD of what is refused is refused like GET, and promises nothing (SIGNATURE_UNTRUSTED)', async () => {
  await story.holder('open', IMAGE, ALL, [buildAttachment(digest, bytesOfJson({ ...GOOD, mediaType: 'x' }))]);
  const node = await story.reader(SIGNED);
  for (const method of ['HEAD', 'GET'])
    await assert.rejects(
      story.until(story.ask(node, story.manifest(IMAGE, digest), { method })),
      is('SIGNATURE_UNTRUSTED'),
    );
  assert.deepEqual(
    node.audit.of('pull.refused').map(({ code }) => code),
    ['SIGNATURE_UNTRUSTED', 'SIGNATURE_UNTRUSTED'],
  );
});
