/** Tries of the limits on what is attached to images, and on what clients ask of it. */
import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { Catalogue, ownerOf } from '../../src/mirror/catalogue.ts';
import { describe } from '../../src/mirror/manifests.ts';
import { pull } from '../../src/mirror/mirror.ts';
import { formatReferrers } from '../../src/oci/artifact.ts';
import { digestOf, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/oci.ts';
import { parseRequest } from '../../src/oci/request.ts';
import { openAttachments } from '../../src/store/attachments.ts';
import { AttachmentTable } from '../../src/store/attachments-table.ts';
import type { Attachment } from '../../src/store/store.ts';
import { ALL, attach, junk, NAME, PINNED, withPins } from '../mirror/admission.ts';
import { MIB, type StoryImage, storyImage } from '../mirror/story-node.ts';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { digestAt } from '../support/sigstore-judging.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { digest, GOOD, IMAGE, list, numbered, offering, staged } from './admission-stage.ts';
import { is, refused, type Row, type Tries } from './table.ts';

/** An attachment that is listed with those sizes. */
const attachment = (at: number, size: number, manifest: number): Attachment => ({
  subject: digest,
  bond: 'subject',
  manifest: { mediaType: OCI_MANIFEST, digest: numbered(2 * at), size: manifest },
  artifactType: '',
  annotations: {},
  contents: [{ mediaType: 'c', digest: numbered(2 * at + 1), size, annotations: {} }],
});

export const attachmentTries: Tries = {
  'attachment-bytes': async ({ numbers: [most, annotations], codes: [code, invalid] }) => {
    const attachments = await openAttachments(new MemoryDisk(), '/a', simulatedWorld());
    const keep = ({ artifact, contents }: BuiltAttachment): Promise<Attachment> => attachments.keep(artifact, contents);
    // The empty config counts, too.
    const around = buildAttachment(digest, Buffer.alloc(most - 1_000)).artifact.manifest.length + 2;
    const whole = (size: number): BuiltAttachment => buildAttachment(digest, Buffer.alloc(size - around));
    await keep(whole(most));
    await assert.rejects(keep(whole(most + 1)), is(code));
    const noted = (count: number): BuiltAttachment =>
      buildAttachment(digest, 'x', { annotations: Object.fromEntries(list(count, at => [`a${at}`, ''])) });
    await keep(noted(annotations));
    await assert.rejects(keep(noted(annotations + 1)), is(invalid!));
  },
  attachments: ({ numbers: [most, bytes, manifests], codes: [code] }) => {
    const full = (sizes: readonly (readonly [size: number, manifest: number])[]): void => {
      const table = new AttachmentTable();
      for (const [at, [size, manifest]] of sizes.entries()) {
        table.demandRoom(attachment(at, size, manifest));
        assert.ok(table.take(attachment(at, size, manifest)));
      }
      refused(code, () => table.demandRoom(attachment(sizes.length, 0, 1)));
    };
    /** Of a MiB each, and the last of what is left. */
    const pieces = (all: number): number[] => list(Math.ceil(all / MIB), at => Math.min(MIB, all - at * MIB));
    full(list(most, () => [1, 1]));
    full(pieces(bytes).map(size => [size - 1, 1]));
    full(pieces(manifests).map(size => [0, size]));
  },
  'attachments-kept': async ({ numbers: [ms] }) => {
    const world = simulatedWorld();
    const attachments = await openAttachments(new MemoryDisk(), '/a', world);
    await attachments.keep(GOOD.artifact, GOOD.contents);
    const left = async (): Promise<number> => {
      await attachments.retain(() => false);
      return attachments.of(digest).length;
    };
    await world.advance(ms);
    assert.equal(await left(), 1);
    await world.advance(1);
    assert.equal(await left(), 0);
  },
  collected: staged(async (story, { numbers: [most, ms] }) => {
    const half = Math.ceil((most + 2) / 2);
    for (const at of [0, 1])
      await offering(
        story,
        `n${at}`,
        list(half, number => junk(digest, at * half + number)),
      );
    const node = await story.reader(ALL);
    const ask = async (): Promise<number> => {
      await story.get(node, `team/app/referrers/${digest}`);
      return node.rooms.attachments.of(digest).length;
    };
    assert.equal(await ask(), most);
    await story.world.advance(ms - 1);
    assert.equal(await ask(), most);
    await story.world.advance(1);
    assert.equal(await ask(), 2 * half);
  }),
  'attached-wait': staged(async (story, { numbers: [ms], codes: [code] }) => {
    for (const at of list(12, number => number)) {
      await offering(story, `slow${at}`, []);
      story.hub.tamper(`slow${at}`, () => new Promise(() => undefined));
    }
    const node = await story.reader(ALL);
    const ended: unknown[] = [];
    pull(node.rooms, parseRequest('GET', `/v2/team/app/referrers/${digest}?ns=r.test`)).catch(error =>
      ended.push(error),
    );
    await story.world.advance(ms - 1);
    assert.equal(ended.length, 0);
    await story.world.advance(1);
    assert.ok(is(code)(ended[0]));
  }),
  'attached-images': staged(async (story, { numbers: [most], codes: [code] }) => {
    const node = await story.reader(ALL);
    await attach(node, ...list(most + 1, at => buildAttachment(numbered(at), `${at}`)));
    const holders = mock.method(node.rooms.peers, 'holders');
    await assert.rejects(story.get(node, `team/app/blobs/${digestOf(Buffer.from('{}'))}`), is(code));
    const asked = new Set(holders.mock.calls.map(({ arguments: [of] }) => of));
    assert.equal(asked.size, most);
  }),
  'unjudged-room': async ({ numbers: [share] }) => {
    const taken = (fill: number): Promise<number> => {
      let count = 0;
      return staged(async story => {
        await offering(story, 'other', [GOOD]);
        const node = await story.reader(ALL);
        Object.defineProperty(node.rooms.attachments, 'fill', { value: fill });
        await story.get(node, `team/app/referrers/${digest}`);
        count = node.rooms.attachments.of(digest).length;
      })({} as Row).then(() => count);
    };
    assert.deepEqual([await taken(share - 0.001), await taken(share)], [1, 0]);
  },
  listing: ({ numbers: [most, characters] }) => {
    const listed = (at: number, length: number) => ({
      manifest: { mediaType: OCI_MANIFEST, digest: numbered(at), size: 1 },
      artifactType: 't',
      // Written as [["a","…"]].
      annotations: { a: 'x'.repeat(length - 10) },
    });
    const read = (all: readonly ReturnType<typeof listed>[]) =>
      JSON.parse(formatReferrers(all).toString()) as { manifests: { annotations?: object }[] };
    assert.equal(read(list(most + 1, at => listed(at, 20))).manifests.length, most);
    const noted = (length: number): boolean => read([listed(1, length)]).manifests[0]!.annotations !== undefined;
    assert.deepEqual([noted(characters), noted(characters + 1)], [true, false]);
  },
  'artifact-type': ({ numbers: [most], codes: [code] }) => {
    const ask = (length: number): unknown =>
      parseRequest('GET', `/v2/a/referrers/${digest}?ns=r.test&artifactType=${'t'.repeat(length)}`);
    ask(most);
    refused(code, () => ask(most + 1));
  },
  'pinned-indexes': staged(async (story, { numbers: [most], codes: [code] }) => {
    const images: readonly StoryImage[] = list(most + 1, at =>
      storyImage(`r.test/team/app:${String(at).padStart(3, '0')}`, { layers: [10], platforms: ['linux/amd64'] }),
    );
    const holder = await story.node('holder', { policy: ALL, files: withPins({}) });
    for (const image of images) holder.keep(image);
    await story.share();
    const pins = withPins(Object.fromEntries(images.map(({ name, target }) => [name, target.digest])));
    const ask = async (at: number): Promise<boolean> => {
      const node = await story.reader(PINNED, pins, `reader${at}`);
      return (await story.get(node, story.manifest(images[at]!, images[at]!.images[0]!.manifest.digest))).whole;
    };
    assert.ok(await ask(1));
    await assert.rejects(ask(0), is(code));
  }),
  'listing-manifests': async ({ numbers: [most], codes: [code] }) => {
    const store = new MemoryStore({ kind: 'layout' });
    const owner = ownerOf(IMAGE.reference);
    const images = list(most + 1, at => storyImage(NAME, { layers: [10], seed: `${at}` }));
    for (const { target, contents } of images) store.put(contents.get(target.digest)!, target.mediaType);
    const index = { mediaType: OCI_INDEX, digest: digestAt('index'), size: 1 };
    const targets = images.map(({ target }) => target);
    const log = { info: () => undefined, warn: () => undefined };
    const find = (at: number, catalogue = new Catalogue()) => {
      catalogue.learn(owner, index, targets);
      return describe({ store, catalogue, log }, owner, images[at]!.layers[0]!.digest);
    };
    assert.equal((await find(1)).size, 10);
    const catalogue = new Catalogue();
    await assert.rejects(find(0, catalogue), is(code));
    assert.equal((await find(0, catalogue)).size, 10, 'who asks again finds it among those that are left');
  },
};
