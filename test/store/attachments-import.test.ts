/** Attachments in archives and layout folders: found however they are told of, kept by what they say themselves. */
import assert from 'node:assert/strict';
import { appendFile, cp, mkdtemp, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import {
  type Digest,
  digestOf,
  formatReference,
  formatReferrers,
  hexOf,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
  parseReference,
} from '../../src/oci/oci.ts';
import { type OpenAttachments, openAttachments } from '../../src/store/attachments.ts';
import { realDisk } from '../../src/store/disk.ts';
import { openLayout } from '../../src/store/layout.ts';
import { importAll, type ImportedAll } from '../../src/store/layout-import.ts';
import { ATTACHMENT_MAX_BYTES, type Attachment } from '../../src/store/store.ts';
import { realWorld } from '../../src/world.ts';
import { listInLayout, putAttachment, REF_NAME, tarFolder } from '../support/attachment-layouts.ts';
import { type BuiltImage, blobPath, buildImage, putContent } from '../support/images.ts';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';

const NAME = 'registry.example/team/app:1';
const REPOSITORY = 'registry.example/team/app';
const live = new AbortController().signal;
type Annotations = Readonly<Record<string, string>>;

void describe('an import of attachments', () => {
  let dir: string;
  let image: BuiltImage;
  let count = 0;
  const fresh = (): string => join(dir, `made-${++count}`);

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pinnace-attached-'));
    image = await buildImage(join(dir, 'image'), { reference: NAME, layers: [{ randomBytes: 5_000_000, seed: 1 }] });
  });
  after(() => rm(dir, { recursive: true }));

  /** A folder with the image, or with none. */
  async function source({ images = true }: { images?: boolean } = {}): Promise<string> {
    const folder = fresh();
    await cp(image.dir, folder, { recursive: true });
    if (!images) await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [] }));
    return folder;
  }
  const tarOf = (folder: string): Promise<string> => tarFolder(folder, fresh());

  interface Brought extends ImportedAll {
    readonly into: string;
    readonly now: OpenAttachments;
  }
  async function bring(from: string, { name = '', images = true, into = fresh() } = {}): Promise<Brought> {
    const attachments = await openAttachments(realDisk, join(into, 'attachments'), realWorld);
    const layout = images ? await openLayout(realDisk, join(into, 'layout'), realWorld) : undefined;
    const options = name ? { reference: parseReference(name) } : {};
    const stores = layout ? { layout, attachments } : { attachments };
    const all = await importAll(realDisk, stores, from, options, () => undefined, live);
    return { ...all, into, now: await openAttachments(realDisk, join(into, 'attachments'), realWorld) };
  }
  const kept = (all: readonly Attachment[]): string[][] => all.map(({ bond, manifest }) => [bond, manifest.digest]);

  /** Fails with that code, keeps no attachment and names no image. */
  async function refused(folder: string, code: Code): Promise<void> {
    for (const from of [`oci:${folder}`, await tarOf(folder)]) {
      const into = fresh();
      await assert.rejects(bring(from, { into }), error => hasCode(error, code), from);
      assert.deepEqual((await openAttachments(realDisk, join(into, 'attachments'), realWorld)).subjects(), []);
      assert.deepEqual(await (await openLayout(realDisk, join(into, 'layout'), realWorld)).images(), []);
      for (const store of ['attachments', 'layout'])
        assert.deepEqual(await realDisk.list(join(into, store, '.pinnace/staging')), []);
    }
  }
  const sig = (subject: Digest, payload = 'signed'): BuiltAttachment =>
    buildAttachment(subject, payload, { bond: 'sig' });

  void it('finds them by the tags of registries, beside their image', async () => {
    const folder = await source();
    const tag = `sha256-${hexOf(image.digest)}`;
    const [signed, attested] = [sig(image.digest), buildAttachment(image.digest, 'said', { bond: 'att' })];
    await listInLayout(folder, await putAttachment(folder, signed), { [REF_NAME]: `${REPOSITORY}:${tag}.sig` });
    await listInLayout(folder, await putAttachment(folder, attested), { 'io.containerd.image.name': `${tag}.att` });
    for (const from of [`oci:${folder}`, await tarOf(folder)]) {
      const { images, attachments, leftOut, now } = await bring(from);
      assert.deepEqual(
        images.map(({ reference }) => formatReference(reference)),
        [NAME],
      );
      const expected = [
        ['sig', signed.digest],
        ['att', attested.digest],
      ];
      assert.deepEqual([kept(attachments), kept(now.of(image.digest)), leftOut], [expected, expected, []]);
    }
  });

  void it('finds them in what cosign saved, whose image gets its name on the command line', async () => {
    const folder = await source({ images: false });
    const cosign = (kind: string): Annotations => ({ kind: `dev.cosignproject.cosign/${kind}` });
    await listInLayout(folder, image.target, cosign('image'));
    const [signed, attested] = [sig(image.digest), buildAttachment(image.digest, 'said', { bond: 'att' })];
    await listInLayout(folder, await putAttachment(folder, signed), cosign('sigs'));
    await listInLayout(folder, await putAttachment(folder, attested), cosign('atts'));
    const { images, now } = await bring(`oci:${folder}`, { name: NAME });
    assert.equal(images[0]!.digest, image.digest);
    assert.deepEqual(kept(now.of(image.digest)), [
      ['sig', signed.digest],
      ['att', attested.digest],
    ]);
    const other = await source({ images: false });
    await listInLayout(other, await putAttachment(other, signed), cosign('sigs'));
    await refused(other, 'ARCHIVE_INVALID');
    await listInLayout(other, image.target, cosign('image'));
    await listInLayout(other, { ...image.target, digest: signed.digest }, cosign('imageIndex'));
    await refused(other, 'ARCHIVE_INVALID');
  });

  void it('finds artifacts that name their subject, whatever the listing says that they are', async () => {
    const folder = await source();
    const bundle = buildAttachment(image.digest, 'bundle');
    const target = { ...(await putAttachment(folder, bundle)), artifactType: 'application/vnd.other' };
    await listInLayout(folder, target);
    const { images, attachments } = await bring(await tarOf(folder));
    assert.deepEqual([images.length, kept(attachments)], [1, [['subject', bundle.digest]]]);
    assert.equal(attachments[0]!.artifactType, 'application/vnd.dev.sigstore.bundle.v0.3+json');
  });

  void it('takes an image that names a subject as an image', async () => {
    const folder = fresh();
    const built = await buildImage(folder, { reference: NAME, layers: [{ randomBytes: 10 }] });
    const manifest = JSON.parse(await readFile(blobPath(folder, built.digest), 'utf8')) as object;
    const bytes = Buffer.from(JSON.stringify({ ...manifest, subject: image.target }));
    const index = { schemaVersion: 2, manifests: [] };
    await writeFile(join(folder, 'index.json'), JSON.stringify(index));
    await listInLayout(folder, await putContent(folder, OCI_MANIFEST, bytes), { [REF_NAME]: NAME });
    const { images, attachments } = await bring(`oci:${folder}`);
    assert.deepEqual([images[0]!.digest, attachments], [digestOf(bytes), []]);
  });

  void it('of a listing under the fallback tag keeps what is about its subject, and says what it left out', async () => {
    const folder = await source();
    const good = [buildAttachment(image.digest, 'one'), buildAttachment(image.digest, 'two')];
    const targets = await Promise.all(good.map(each => putAttachment(folder, each)));
    const foreign = await putAttachment(folder, buildAttachment(good[0]!.digest, 'about another'));
    const both = await putAttachment(folder, buildAttachment(image.digest, 'both', { manifests: [] }));
    const long = { annotations: { long: 'x'.repeat(ATTACHMENT_MAX_BYTES) } };
    const large = await putAttachment(folder, buildAttachment(image.digest, 'large', long));
    const absent = { mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from('absent')), size: 6 };
    const manifests = [foreign, both, large, absent, image.target, ...targets].map(each => ({
      ...each,
      artifactType: 'application/vnd.oci.empty.v1+json',
    }));
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
    const name = `${REPOSITORY}:sha256-${hexOf(image.digest)}`;
    await listInLayout(folder, await putContent(folder, OCI_INDEX, index), { [REF_NAME]: name });
    for (const from of [`oci:${folder}`, await tarOf(folder)]) {
      const { images, now, leftOut } = await bring(from);
      assert.equal(images.length, 1);
      assert.deepEqual(
        kept(now.of(image.digest)),
        good.map(({ digest }) => ['subject', digest]),
      );
      assert.deepEqual(now.subjects(), [image.digest]);
      assert.deepEqual(
        leftOut,
        [foreign, both, large, absent, image.target].map(({ digest }) => digest),
      );
    }
  });

  void it('reads back the listing that this node itself gives', async () => {
    const built = buildAttachment(image.digest, 'one', { annotations: { said: 'here' } });
    const folder = await source();
    const manifest = await putAttachment(folder, built);
    const listing = formatReferrers([
      { manifest, artifactType: 'application/vnd.example', annotations: { said: 'here' } },
    ]);
    const name = `sha256-${hexOf(image.digest)}`;
    await listInLayout(folder, await putContent(folder, OCI_INDEX, listing), { [REF_NAME]: name });
    assert.deepEqual(kept((await bring(`oci:${folder}`)).attachments), [['subject', built.digest]]);
  });

  void it('refuses files that have not their digest or size, and listed parts that are absent', async () => {
    const spoilt = async (
      spoil: (path: string) => Promise<void>,
      part: (built: BuiltAttachment) => Digest,
    ): Promise<string> => {
      const folder = await source();
      const built = sig(image.digest);
      await listInLayout(folder, await putAttachment(folder, built), {
        [REF_NAME]: `sha256-${hexOf(image.digest)}.sig`,
      });
      await spoil(blobPath(folder, part(built)));
      return folder;
    };
    const layer = (): Digest => digestOf(Buffer.from('signed'));
    const manifest = ({ digest }: BuiltAttachment): Digest => digest;
    for (const part of [layer, manifest]) {
      const rot = async (path: string): Promise<void> => {
        const bytes = await readFile(path);
        bytes[1]! ^= 1;
        await writeFile(path, bytes);
      };
      await refused(await spoilt(rot, part), 'DIGEST_MISMATCH');
      await refused(await spoilt(unlink, part), 'CONTENT_ABSENT');
    }
    for (const change of [(path: string) => appendFile(path, 'x'), (path: string) => truncate(path, 3)]) {
      const folder = await spoilt(change, layer);
      await assert.rejects(bring(`oci:${folder}`), error => hasCode(error, 'SIZE_MISMATCH'));
    }
  });

  void it('refuses what stands under a signature’s tag and is none, or is too large', async () => {
    const tagged = async (built: BuiltAttachment, suffix: string): Promise<string> => {
      const folder = await source();
      await listInLayout(folder, await putAttachment(folder, built), {
        [REF_NAME]: `sha256-${hexOf(image.digest)}${suffix}`,
      });
      return folder;
    };
    await refused(await tagged(buildAttachment(image.digest, 'no signature'), '.sig'), 'MANIFEST_INVALID');
    await refused(await tagged(sig(image.digest), '.att'), 'MANIFEST_INVALID');
    await refused(await tagged(buildAttachment(digestOf(Buffer.from('x')), 'another'), ''), 'MANIFEST_INVALID');
    await refused(
      await tagged(buildAttachment(image.digest, 'x', { bond: 'sig', manifests: [] }), '.sig'),
      'MANIFEST_INVALID',
    );
    const large = buildAttachment(image.digest, Buffer.alloc(ATTACHMENT_MAX_BYTES), { bond: 'sig' });
    await refused(await tagged(large, '.sig'), 'LIMIT_EXCEEDED');
    const folder = await source();
    await listInLayout(folder, image.target, { [REF_NAME]: `sha256-${hexOf(image.digest)}.sig` });
    await refused(folder, 'MANIFEST_INVALID');
  });

  void it('fetches nothing from elsewhere, though a descriptor says where it could', async () => {
    const folder = await source();
    const layer = digestOf(Buffer.from('elsewhere'));
    const mediaType = 'application/vnd.dev.cosign.simplesigning.v1+json';
    const layers = [
      { mediaType, digest: layer, size: 9, urls: ['http://registry.example/elsewhere'], data: 'ZWxzZXdoZXJl' },
    ];
    const built = buildAttachment(image.digest, 'x', { bond: 'sig', layers });
    await listInLayout(folder, await putAttachment(folder, built), { [REF_NAME]: `sha256-${hexOf(image.digest)}.sig` });
    await refused(folder, 'CONTENT_ABSENT');
  });

  void it('without a store of images takes attachments alone, says what it did not take, and stages no layer', async () => {
    const folder = await source();
    const built = sig(image.digest);
    await listInLayout(folder, await putAttachment(folder, built), { [REF_NAME]: `sha256-${hexOf(image.digest)}.sig` });
    const path = await tarOf(folder);
    for (const from of [`oci:${folder}`, path]) {
      const { attachments, images, notTaken, into } = await bring(from, { images: false });
      assert.deepEqual([kept(attachments), images, notTaken], [[['sig', built.digest]], [], [NAME]]);
      assert.deepEqual(await realDisk.list(join(into, 'attachments/.pinnace/staging')), []);
    }
    let largest = 0;
    const attachments = await openAttachments(realDisk, join(fresh(), 'attachments'), realWorld);
    const watch = ({ size }: { readonly size: number }): void => void (largest = Math.max(largest, size));
    await importAll(realDisk, { attachments }, path, {}, watch, live);
    assert.ok(largest > 0 && largest < 100_000, `${largest} bytes`);
    await assert.rejects(bring(`oci:${image.dir}`, { images: false }), error => hasCode(error, 'USAGE'));
  });

  void it('of attachments alone needs no name, and keeping them again is nothing new', async () => {
    const folder = await source({ images: false });
    const subject = digestOf(Buffer.from('an image that is elsewhere'));
    await listInLayout(folder, await putAttachment(folder, sig(subject)), {
      [REF_NAME]: `sha256-${hexOf(subject)}.sig`,
    });
    const into = fresh();
    for (let times = 0; times < 2; times++) {
      const { images, attachments, now } = await bring(`oci:${folder}`, { into });
      assert.deepEqual([images.length, attachments.length, now.of(subject).length], [0, 1, 1]);
    }
    const empty = await source({ images: false });
    await refused(empty, 'ARCHIVE_INVALID');
    assert.equal(
      (await bring(`oci:${folder}`, { name: `${REPOSITORY}:sha256-${hexOf(subject)}.sig` })).attachments.length,
      1,
    );
  });

  void it('keeps cosign’s own config, which looks like an image’s', async () => {
    const folder = await source();
    const bytes = Buffer.from('{"architecture":"","os":""}');
    const config = await putContent(folder, OCI_CONFIG, bytes);
    const built = buildAttachment(image.digest, '{"signed":true}', { bond: 'sig', config });
    await listInLayout(folder, await putAttachment(folder, built), { [REF_NAME]: `sha256-${hexOf(image.digest)}.sig` });
    const { attachments } = await bring(`oci:${folder}`);
    assert.equal(attachments[0]!.artifactType, OCI_CONFIG);
  });
});
