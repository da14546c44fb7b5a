/** The index of the attachments: read as it was written, and refused in bounded time whatever stands in it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import { digestOf, OCI_MANIFEST } from '../../src/oci/oci.ts';
import { type AttachmentEntry, formatAttachments, parseAttachments } from '../../src/store/attachments-index.ts';
import { ATTACHMENTS_MAX } from '../../src/store/attachments-table.ts';
import { fuzz, refusedOr, spoilt, twisted } from '../support/fuzz.ts';

const entry = (at: number): AttachmentEntry => ({
  subject: digestOf(Buffer.from(`subject ${at}`), at % 2 ? 'sha512' : 'sha256'),
  bond: (['subject', 'sig', 'att'] as const)[at % 3]!,
  manifest: { mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from(`${at}`)), size: at },
  keptAt: Date.parse('2026-11-25T00:00:00.123Z') + at,
});

void test('what is written is read again, in its order', () => {
  const entries = Array.from({ length: 50 }, (_, at) => entry(at));
  assert.deepEqual(parseAttachments(formatAttachments(entries)), entries);
  assert.deepEqual(parseAttachments(formatAttachments([])), []);
});

void test('as many entries as a node keeps are read, and not one more', () => {
  const entries = Array.from({ length: ATTACHMENTS_MAX }, () => entry(1));
  assert.equal(parseAttachments(formatAttachments(entries)).length, ATTACHMENTS_MAX);
  assert.throws(
    () => parseAttachments(formatAttachments([...entries, entry(2)])),
    error => hasCode(error, 'STATE_INVALID'),
  );
});

void test('whatever stands in it, it is read or refused', () => {
  const good = formatAttachments([entry(1), entry(2), entry(3)]);
  fuzz(fc.property(spoilt(good), input => void refusedOr(() => parseAttachments(input))));
  const json = JSON.parse(good.toString()) as object;
  fuzz(fc.property(twisted(json), value => void refusedOr(() => parseAttachments(Buffer.from(JSON.stringify(value))))));
});
