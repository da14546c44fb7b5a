/** What attachments must do: those on a disk, and the fake in memory, pass the same suite. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { digestOf, OCI_MANIFEST, parseDigest } from '../../src/oci/oci.ts';
import { ATTACHMENT_GRACE_MS, ATTACHMENT_MAX_BYTES, type Attachment, type Attachments } from '../../src/store/store.ts';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';

/** An empty set of attachments, and its clock in milliseconds since 1970. */
export interface AttachmentsUnderTest {
  readonly attachments: Attachments;
  readonly clock: { now: number };
}

const SUBJECT = parseDigest(`sha256:${'ab'.repeat(32)}`);
const OTHER = parseDigest(`sha256:${'cd'.repeat(32)}`);
const none = (): boolean => false;
const digests = (all: readonly Attachment[]): string[] => all.map(({ manifest }) => manifest.digest);

/** `make` gives an empty one that is gone with the test. */
export function attachmentsConformance(name: string, make: (t: TestContext) => Promise<AttachmentsUnderTest>): void {
  void describe(`attachments: ${name}`, () => {
    const keep = (attachments: Attachments, { artifact, contents }: BuiltAttachment): Promise<Attachment> =>
      attachments.keep(artifact, contents);

    void it('are none at first', async t => {
      const { attachments } = await make(t);
      assert.deepEqual([attachments.of(SUBJECT), attachments.subjects(), attachments.owners(SUBJECT)], [[], [], []]);
      assert.equal(await attachments.open(SUBJECT), undefined);
      await attachments.retain(none);
    });

    void it('are told by subject, in the order in which they came, as their manifests describe themselves', async t => {
      const { attachments } = await make(t);
      const built = [
        buildAttachment(SUBJECT, 'one', { annotations: { said: 'here' } }),
        buildAttachment(SUBJECT, 'two', { bond: 'sig' }),
        buildAttachment(SUBJECT, 'three', { bond: 'att' }),
      ];
      for (const each of built) {
        const kept = await keep(attachments, each);
        assert.equal(kept.manifest.digest, each.digest);
      }
      await keep(attachments, buildAttachment(OTHER, 'four'));
      const of = attachments.of(SUBJECT);
      assert.deepEqual(
        digests(of),
        built.map(({ digest }) => digest),
      );
      assert.deepEqual(
        of.map(({ bond }) => bond),
        ['subject', 'sig', 'att'],
      );
      const [first] = of;
      assert.deepEqual(first!.annotations, { said: 'here' });
      assert.equal(first!.artifactType, 'application/vnd.dev.sigstore.bundle.v0.3+json');
      assert.deepEqual(first!.manifest, {
        mediaType: OCI_MANIFEST,
        digest: built[0]!.digest,
        size: built[0]!.artifact.manifest.length,
      });
      assert.equal(first!.contents.length, 2);
      assert.deepEqual(first!.contents[1]!.annotations, { 'dev.example.of': 'layer' });
      assert.deepEqual([...attachments.subjects()], [SUBJECT, OTHER]);
    });

    void it('open to the bytes that were kept, and tell whose they are', async t => {
      const { attachments } = await make(t);
      const [one, two] = [buildAttachment(SUBJECT, 'one'), buildAttachment(OTHER, 'two')];
      await keep(attachments, one);
      await keep(attachments, two);
      const files = new Map<string, Uint8Array>([...one.contents, [one.digest, one.artifact.manifest]]);
      for (const [digest, bytes] of files) {
        const content = await attachments.open(parseDigest(digest));
        assert.ok(content, digest);
        assert.equal(content.size, bytes.length);
        const read = Buffer.alloc(content.size + 1);
        assert.equal(await content.read(read, 0), bytes.length);
        assert.ok(read.subarray(0, bytes.length).equals(bytes));
        assert.ok(content.stamp);
        await content.close();
      }
      assert.deepEqual(digests(attachments.owners(one.digest)), [one.digest]);
      assert.deepEqual(digests(attachments.owners(digestOf(Buffer.from('{}')))), [one.digest, two.digest]);
      assert.deepEqual(digests(attachments.owners(digestOf(Buffer.from('two')))), [two.digest]);
    });

    void it('are one where they are kept twice, and two where they hang by two bonds', async t => {
      const { attachments } = await make(t);
      const both = buildAttachment(SUBJECT, 'one', {
        bond: 'sig',
        subject: { mediaType: OCI_MANIFEST, digest: SUBJECT, size: 7 },
      });
      const kept = await Promise.all([keep(attachments, both), keep(attachments, both)]);
      assert.deepEqual(kept[0], kept[1]);
      await keep(attachments, both);
      assert.equal(attachments.of(SUBJECT).length, 1);
      await attachments.keep({ ...both.artifact, bond: 'subject' }, both.contents);
      assert.deepEqual(
        attachments.of(SUBJECT).map(({ bond }) => bond),
        ['sig', 'subject'],
      );
    });

    void it('are refused where the manifest is about another, or of another kind', async t => {
      const { attachments } = await make(t);
      const other = buildAttachment(OTHER, 'one');
      const bad: BuiltAttachment[] = [
        { ...other, artifact: { ...other.artifact, subject: SUBJECT } },
        buildAttachment(SUBJECT, 'one', { subject: undefined }),
        buildAttachment(SUBJECT, 'one', { manifests: [] }),
        buildAttachment(SUBJECT, 'one', { mediaType: 'application/vnd.oci.image.index.v1+json' }),
        buildAttachment(SUBJECT, 'one', { layers: [1, 2].map(size => ({ mediaType: 'x', digest: OTHER, size })) }),
        { ...other, artifact: { subject: SUBJECT, bond: 'sig', manifest: other.artifact.manifest } },
        { ...other, artifact: { subject: SUBJECT, bond: 'att', manifest: other.artifact.manifest } },
        { ...other, artifact: { subject: SUBJECT, bond: 'subject', manifest: Buffer.from('no manifest') } },
      ];
      for (const each of bad)
        await assert.rejects(keep(attachments, each), error => hasCode(error, 'MANIFEST_INVALID'));
      assert.deepEqual(attachments.subjects(), []);
    });

    void it('are refused where a content is absent or another than the manifest says', async t => {
      const { attachments } = await make(t);
      const built = buildAttachment(SUBJECT, 'right');
      const layer = digestOf(Buffer.from('right'));
      for (const [bytes, code] of [
        [Buffer.from('wrong'), 'DIGEST_MISMATCH'],
        [Buffer.from('right and more'), 'SIZE_MISMATCH'],
        [undefined, 'CONTENT_ABSENT'],
      ] as const) {
        const contents = new Map(built.contents);
        if (bytes) contents.set(layer, bytes);
        else contents.delete(layer);
        await assert.rejects(attachments.keep(built.artifact, contents), error => hasCode(error, code));
      }
      assert.equal(await attachments.open(layer), undefined);
      assert.deepEqual(attachments.of(SUBJECT), []);
    });

    void it('have at most 1 MiB, manifest and contents together', async t => {
      const { attachments } = await make(t);
      const room = ATTACHMENT_MAX_BYTES - buildAttachment(SUBJECT, Buffer.alloc(900_000)).artifact.manifest.length - 2;
      const fits = buildAttachment(SUBJECT, Buffer.alloc(room - 1));
      assert.ok((await keep(attachments, fits)).contents[1]!.size > 1_000_000);
      const long = (times: number): object => ({ annotations: { long: 'x'.repeat(times * ATTACHMENT_MAX_BYTES) } });
      for (const large of [
        buildAttachment(SUBJECT, Buffer.alloc(room + 2)),
        buildAttachment(SUBJECT, 'x', { ...long(1) }),
        buildAttachment(SUBJECT, 'x', { ...long(5) }),
      ])
        await assert.rejects(keep(attachments, large), error => hasCode(error, 'LIMIT_EXCEEDED'));
      assert.equal(attachments.of(SUBJECT).length, 1);
    });

    void it('keep what was hashed, whatever becomes of the caller’s bytes', async t => {
      const { attachments } = await make(t);
      const built = buildAttachment(SUBJECT, 'right');
      const [manifest, layer] = [
        built.artifact.manifest.toString(),
        built.contents.get(digestOf(Buffer.from('right')))!,
      ];
      const keeping = keep(attachments, built);
      built.artifact.manifest.fill(0);
      layer.fill(0);
      await keeping;
      for (const text of [manifest, 'right']) {
        const content = await attachments.open(digestOf(Buffer.from(text)));
        const read = Buffer.alloc(content!.size);
        await content!.read(read, 0);
        assert.equal(read.toString(), text);
        await content!.close();
      }
    });

    void it('go with their subjects, but for young ones', async t => {
      const { attachments, clock } = await make(t);
      const [one, two, again] = [
        buildAttachment(SUBJECT, 'one'),
        buildAttachment(OTHER, 'two'),
        buildAttachment(OTHER, 'again'),
      ];
      for (const each of [one, two, again]) await keep(attachments, each);
      await attachments.retain(none);
      assert.equal(attachments.of(OTHER).length, 2);
      clock.now += ATTACHMENT_GRACE_MS + 1;
      await keep(attachments, again);
      await attachments.retain(subject => subject === SUBJECT);
      assert.deepEqual(
        [digests(attachments.of(SUBJECT)), digests(attachments.of(OTHER))],
        [[one.digest], [again.digest]],
      );
      assert.equal(await attachments.open(two.digest), undefined);
      const shared = await attachments.open(digestOf(Buffer.from('{}')));
      assert.equal(shared?.size, 2);
      await shared.close();
      clock.now += ATTACHMENT_GRACE_MS + 1;
      await attachments.retain(none);
      assert.deepEqual([attachments.subjects(), attachments.owners(one.digest)], [[], []]);
      await keep(attachments, one);
      assert.equal(attachments.of(SUBJECT).length, 1);
    });

    void it('stay with an attachment that they are about', async t => {
      const { attachments, clock } = await make(t);
      const list = buildAttachment(SUBJECT, 'a bill of materials');
      const signature = buildAttachment(list.digest, 'its signature');
      await keep(attachments, signature);
      await keep(attachments, list);
      clock.now += ATTACHMENT_GRACE_MS + 1;
      await attachments.retain(subject => subject === SUBJECT);
      assert.deepEqual(digests(attachments.of(list.digest)), [signature.digest]);
      await attachments.retain(none);
      assert.deepEqual(attachments.subjects(), []);
    });

    void it('open ones stay readable when they go', async t => {
      const { attachments, clock } = await make(t);
      const built = buildAttachment(SUBJECT, 'one');
      await keep(attachments, built);
      const content = await attachments.open(built.digest);
      clock.now += ATTACHMENT_GRACE_MS + 1;
      await attachments.retain(none);
      const read = Buffer.alloc(content!.size);
      await content!.read(read, 0);
      assert.equal(digestOf(read), built.digest);
      await content!.close();
    });
  });
}
