/** `pinnace verify-image`: what a node would do with an image, by the same functions, from a layout folder or a node's own. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Descriptor, type Digest, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/oci.ts';
import { codeIn, exits, freshFolder, pinnaceAt, type Printed } from '../support/command-line.ts';
import { blobPath, buildImage, nameInLayout, putContent } from '../support/images.ts';
import { IN_TOTO, payloadOf, statementOf } from '../support/sigstore-signing.ts';
import { policyText } from './policy-ground.ts';

const folder = await freshFolder();
const NOW = Date.parse('2026-12-01T00:00:00Z');
const NAME = 'r.test/team/app:1';
const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const pair = () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const [team, stranger] = [pair(), pair()];
await folder.put('team.pub', team.publicKey.export({ type: 'spki', format: 'pem' }).toString());

let made = 0;
interface Layout {
  readonly dir: string;
  readonly digest: Digest;
}
/** A layout with one image, called `name`. */
async function layout(name = NAME): Promise<Layout> {
  const dir = folder.at(`layout-${made}`);
  const image = await buildImage(dir, { reference: name, layers: [{ randomBytes: 1000, seed: made++ }] });
  return { dir, digest: image.digest };
}

/** Puts an artifact with one layer into a layout. */
async function artifact(
  dir: string,
  type: string,
  bytes: Buffer,
  annotations: object,
  more: object = {},
): Promise<Descriptor> {
  const config = await putContent(dir, 'application/vnd.oci.empty.v1+json', Buffer.from('{}'));
  const layers = [{ ...(await putContent(dir, type, bytes)), annotations }];
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers, ...more };
  return putContent(dir, OCI_MANIFEST, Buffer.from(JSON.stringify(manifest)));
}

/** Cosign's older signature of `digest`. */
function legacy(dir: string, digest: Digest, key: KeyObject): Promise<Descriptor> {
  const payload = payloadOf(digest);
  const signature = sign('sha256', payload, key).toString('base64');
  return artifact(dir, 'application/vnd.dev.cosign.simplesigning.v1+json', payload, {
    'dev.cosignproject.cosign/signature': signature,
  });
}

/** A bundle about `digest`, as cosign 3 writes one with a key. */
function bundle(
  dir: string,
  digest: Digest,
  key: KeyObject,
  predicateType?: string,
  predicate?: unknown,
): Promise<Descriptor> {
  const statement = Buffer.from(statementOf(digest, predicateType, predicate));
  const pae = Buffer.concat([Buffer.from(`DSSEv1 ${IN_TOTO.length} ${IN_TOTO} ${statement.length} `), statement]);
  const json = {
    mediaType: BUNDLE,
    verificationMaterial: { publicKey: { hint: 'k' } },
    dsseEnvelope: {
      payload: statement.toString('base64'),
      payloadType: IN_TOTO,
      signatures: [{ sig: sign('sha256', pae, key).toString('base64') }],
    },
  };
  const subject = { mediaType: OCI_MANIFEST, digest, size: 1 };
  return artifact(dir, BUNDLE, Buffer.from(JSON.stringify(json)), {}, { artifactType: BUNDLE, subject });
}

const tagged = (digest: Digest, suffix = ''): string => `r.test/team/app:${digest.replace(':', '-')}${suffix}`;
const POLICY = await folder.put(
  'policy.yaml',
  policyText(`
authorities: {team: {key: {file: team.pub}}}
rules:
  - {name: team, match: r.test/team/*, signatures: {anyOf: [team]}}
  - {name: free, match: r.test/free/*}
  - name: attested
    match: r.test/attested/*
    attestations: [{predicateType: "https://p.test/v1", anyOf: [team], where: {/ok: true}}]
`),
);
const verify = (reference: string, dir: string, ...more: string[]): Promise<Printed> =>
  pinnaceAt(NOW, 'verify-image', reference, '--policy', POLICY, '--layout', dir, '--json', ...more);
/** The code with which it is refused, which exits with 3. */
async function refusal(reference: string, dir: string): Promise<unknown> {
  const { json } = exits(await verify(reference, dir), 3);
  assert.equal(json.allowed, false);
  return json.code;
}

void test('a signature under the .sig tag, a bundle by its subject, and one under the fallback tag each admit', async () => {
  for (const put of [
    async ({ dir, digest }: Layout) =>
      nameInLayout(dir, tagged(digest, '.sig'), await legacy(dir, digest, team.privateKey)),
    async ({ dir, digest }: Layout) => nameInLayout(dir, 'any', await bundle(dir, digest, team.privateKey)),
    async ({ dir, digest }: Layout) => {
      const listed = await bundle(dir, digest, team.privateKey);
      const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [listed] };
      await nameInLayout(dir, tagged(digest), await putContent(dir, OCI_INDEX, Buffer.from(JSON.stringify(index))));
    },
  ]) {
    const one = await layout();
    assert.equal(await refusal(NAME, one.dir), 'SIGNATURE_MISSING');
    await put(one);
    const { json } = exits(await verify(NAME, one.dir), 0);
    assert.deepEqual([json.allowed, json.rule, json.digest], [true, 'team', one.digest]);
    const [signature] = json.signatures as { signed: { authority: string }[] }[];
    assert.equal(signature?.signed[0]?.authority, 'team');
  }
});

void test('a layout of cosign save is judged as it lies, and its image without a name is the one that is asked for', async () => {
  const { dir, digest } = await layout();
  const signature = await legacy(dir, digest, team.privateKey);
  const kind = (name: string): object => ({ annotations: { kind: `dev.cosignproject.cosign/${name}` } });
  const manifests = [
    { mediaType: OCI_MANIFEST, digest, size: (await stat(blobPath(dir, digest))).size, ...kind('image') },
    { ...signature, ...kind('sigs') },
  ];
  await writeFile(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
  assert.equal(exits(await verify(NAME, dir), 0).json.digest, digest);
});

void test('a signature by another key, or about another digest, counts for nothing, and says so', async () => {
  const { dir, digest } = await layout();
  const other = await layout();
  await nameInLayout(dir, tagged(digest, '.sig'), await legacy(dir, other.digest, team.privateKey));
  assert.equal(await refusal(NAME, dir), 'SIGNATURE_UNTRUSTED');
  await nameInLayout(dir, 'strange', await bundle(dir, digest, stranger.privateKey));
  assert.equal(await refusal(NAME, dir), 'SIGNATURE_UNTRUSTED');
  const { out } = exits(await pinnaceAt(NOW, 'verify-image', NAME, '--policy', POLICY, '--layout', dir), 3);
  assert.equal(out.match(/counts for nobody/g)?.length, 2);
  assert.match(out, /REFUSED by team \(SIGNATURE_UNTRUSTED\)/);
});

void test('what lies beside it about another image is not looked at', async () => {
  const { dir } = await layout();
  const other = await layout();
  await nameInLayout(dir, tagged(other.digest, '.sig'), await legacy(dir, other.digest, team.privateKey));
  await nameInLayout(dir, 'other', await bundle(dir, other.digest, team.privateKey));
  assert.equal(await refusal(NAME, dir), 'SIGNATURE_MISSING');
});

void test('an attestation counts by its type and what it says', async () => {
  const name = 'r.test/attested/app:1';
  for (const [predicate, exit] of [
    [{ ok: true }, 0],
    [{ ok: false }, 3],
  ] as const) {
    const { dir, digest } = await layout(name);
    await nameInLayout(dir, 'att', await bundle(dir, digest, team.privateKey, 'https://p.test/v1', predicate));
    exits(await verify(name, dir), exit);
  }
});

void test('a signature that is damaged on the disk is told, and hides no good one', async () => {
  const { dir, digest } = await layout();
  const bad = await bundle(dir, digest, stranger.privateKey);
  await nameInLayout(dir, 'bad', bad);
  await nameInLayout(dir, 'good', await bundle(dir, digest, team.privateKey));
  const manifest = JSON.parse(String(await folder.text(blobPath(dir, bad.digest).slice(folder.dir.length + 1)))) as {
    layers: { digest: Digest }[];
  };
  await rm(blobPath(dir, manifest.layers[0]!.digest));
  const { json } = exits(await verify(NAME, dir), 0);
  assert.equal((json.unread as string[]).length, 1);
});

void test('what is not there is absent, and a name is taken with its digest; what needs no signature is not searched for any', async () => {
  const { dir, digest } = await layout();
  assert.equal(codeIn(exits(await verify('r.test/team/other:1', dir), 4)), 'CONTENT_ABSENT');
  assert.equal(await refusal(`r.test/team/other@${digest}`, dir), 'SIGNATURE_MISSING');
  assert.deepEqual(exits(await verify(`r.test/free/app@${digest}`, dir), 0).json.signatures, []);
  assert.equal(exits(await verify(`q.test/free/app@${digest}`, dir), 4).json.code, 'NOT_MIRRORED');
  assert.equal(exits(await verify(`r.test/denied/app@${digest}`, dir), 3).json.code, 'DENIED');
});

void test('a node’s own folder is judged as its layout was, after an import', async () => {
  const { dir, digest } = await layout();
  await nameInLayout(dir, tagged(digest, '.sig'), await legacy(dir, digest, team.privateKey));
  const config = await folder.put(
    'config.yaml',
    `node: n1\nstateDir: state\npolicyFile: policy.yaml\nmirror: {listen: "127.0.0.1:5000"}\npeers: {listen: "127.0.0.1:5001"}\n`,
  );
  exits(await pinnaceAt(NOW, 'import', `oci:${dir}`, '--config', config), 0);
  for (const where of [
    ['--config', config],
    ['--state-dir', folder.at('state')],
  ]) {
    const { json } = exits(await pinnaceAt(NOW, 'verify-image', NAME, '--policy', POLICY, ...where, '--json'), 0);
    assert.deepEqual([json.allowed, json.digest], [true, digest]);
  }
  const wrong = await pinnaceAt(
    NOW,
    'verify-image',
    NAME,
    '--policy',
    POLICY,
    '--state-dir',
    folder.at('none'),
    '--json',
  );
  assert.equal(codeIn(exits(wrong, 69)), 'FILE_UNREADABLE');
});

void test('wrong use is said to be that', async () => {
  const { dir } = await layout();
  for (const argv of [
    [NAME, '--layout', dir],
    [NAME, '--policy', POLICY],
    [NAME, '--policy', POLICY, '--layout', dir, '--state-dir', dir],
    ['--policy', POLICY, '--layout', dir],
  ])
    assert.equal(codeIn(exits(await pinnaceAt(NOW, 'verify-image', ...argv, '--json'), 64)), 'USAGE');
  assert.equal(codeIn(exits(await verify('r.test/team/app', dir), 64)), 'REFERENCE_INVALID');
});
