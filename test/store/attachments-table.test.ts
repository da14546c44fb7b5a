/** Attachments in memory: bounded in bytes and number, and who stays with whom. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { digestOf, parseDigest } from '../../src/oci/oci.ts';
import {
  ATTACHMENT_MANIFESTS_MAX_BYTES,
  ATTACHMENTS_MAX,
  AttachmentTable,
  staying,
} from '../../src/store/attachments-table.ts';
import { ATTACHMENT_MAX_BYTES, ATTACHMENTS_MAX_BYTES, type Attachment } from '../../src/store/store.ts';

const SUBJECT = parseDigest(`sha256:${'ab'.repeat(32)}`);

void describe('the table of attachments', () => {
  const made = (at: number, size: number, manifestSize: number): Attachment => ({
    subject: SUBJECT,
    bond: 'subject',
    manifest: { mediaType: 'm', digest: digestOf(Buffer.from(`manifest ${at}`)), size: manifestSize },
    artifactType: '',
    annotations: {},
    contents: [{ mediaType: 'c', digest: digestOf(Buffer.from(`content ${at}`)), size, annotations: {} }],
  });

  void it('holds 2 GiB and not a byte more', () => {
    const table = new AttachmentTable();
    const count = ATTACHMENTS_MAX_BYTES / ATTACHMENT_MAX_BYTES;
    for (let at = 0; at < count; at++) {
      const one = made(at, ATTACHMENT_MAX_BYTES - 100, 100);
      table.demandRoom(one);
      assert.ok(table.take(one));
    }
    const more = made(count, 0, 1);
    assert.throws(
      () => table.demandRoom(more),
      error => hasCode(error, 'LIMIT_EXCEEDED'),
    );
    assert.equal(table.take(more), false);
  });

  void it('holds manifests that memory has room for, and no more', () => {
    const table = new AttachmentTable();
    const count = ATTACHMENT_MANIFESTS_MAX_BYTES / ATTACHMENT_MAX_BYTES;
    for (let at = 0; at < count; at++) assert.ok(table.take(made(at, 0, ATTACHMENT_MAX_BYTES)));
    assert.throws(
      () => table.demandRoom(made(count, 0, 1)),
      error => hasCode(error, 'LIMIT_EXCEEDED'),
    );
  });

  void it('holds 65,536 and not one more, and a content that many share counts once', () => {
    const table = new AttachmentTable();
    const shared = made(0, ATTACHMENT_MAX_BYTES - 1, 1).contents;
    for (let at = 0; at < ATTACHMENTS_MAX; at++) assert.ok(table.take({ ...made(at, 0, 1), contents: shared }));
    assert.throws(
      () => table.demandRoom(made(ATTACHMENTS_MAX, 0, 1)),
      error => hasCode(error, 'LIMIT_EXCEEDED'),
    );
  });

  void it('decides in bounded time who stays, however long the chains are', () => {
    const chain = Array.from({ length: 20_000 }, (_, at) => ({
      subject: digestOf(Buffer.from(`${at}`)),
      manifest: { digest: digestOf(Buffer.from(`${at + 1}`)) },
    }));
    const wanted = (subject: string): boolean => subject === chain[0]!.subject;
    assert.equal(staying(chain, wanted).length, chain.length);
    const backwards = staying(chain.toReversed(), wanted).length;
    assert.ok(backwards >= 8 && backwards < 100, `${backwards}`);
    assert.deepEqual(
      staying(chain, () => false),
      [],
    );
  });
});
