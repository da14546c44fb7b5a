/**
 * `index.json` of the attachments: which manifest is about which subject, in the order in which they came. Promises: strict;
 * an index that another program wrote is refused, never guessed at. Refuses to know files.
 * Spec: OCI image-spec image-layout.md; the annotations are Pinnace's own.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { type Descriptor, type Digest, isDigest, isImageType, OCI_INDEX } from '../oci/oci.ts';
import { ATTACHMENTS_MAX } from './attachments-table.ts';
import { ATTACHMENT_MAX_BYTES, type Bond } from './store.ts';

/** The largest index, in bytes: all entries, with long digests. */
export const ATTACHMENTS_INDEX_MAX_BYTES = 48 << 20;

const SUBJECT = 'dev.pinnace.subject';
const BOND = 'dev.pinnace.bond';
/** When it was kept, or kept once more, in ISO 8601. */
const KEPT_AT = 'dev.pinnace.kept';

export interface AttachmentEntry {
  readonly subject: Digest;
  readonly bond: Bond;
  readonly manifest: Descriptor;
  /** Milliseconds since 1970. */
  readonly keptAt: number;
}

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json =>
  value !== null && typeof value === 'object' && !Array.isArray(value);
const isBond = (value: unknown): value is Bond => value === 'subject' || value === 'sig' || value === 'att';
const isDigestText = (value: unknown): value is Digest => typeof value === 'string' && isDigest(value);

/** The bytes of an index. */
export const formatAttachments = (entries: readonly AttachmentEntry[]): Buffer =>
  Buffer.from(
    `${JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: entries.map(({ manifest: { mediaType, digest, size }, subject, bond, keptAt }) => ({
        mediaType,
        digest,
        size,
        annotations: { [SUBJECT]: subject, [BOND]: bond, [KEPT_AT]: new Date(keptAt).toISOString() },
      })),
    })}\n`,
  );

/** Reads the bytes of an index. @throws STATE_INVALID */
export function parseAttachments(bytes: Uint8Array): readonly AttachmentEntry[] {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw asMirrorError(error, 'STATE_INVALID', 'the index is damaged');
  }
  if (!isObject(json) || json.schemaVersion !== 2 || !Array.isArray(json.manifests))
    throw new MirrorError('STATE_INVALID', 'it is not an image index of schema version 2');
  if (json.manifests.length > ATTACHMENTS_MAX)
    throw new MirrorError('STATE_INVALID', `it has more than ${ATTACHMENTS_MAX} entries`);
  return json.manifests.map(readEntry);
}

function readEntry(raw: unknown, at: number): AttachmentEntry {
  const { mediaType, digest, size, annotations } = isObject(raw) ? raw : {};
  const said = isObject(annotations) ? annotations : {};
  const [subject, bond, keptAt] = [said[SUBJECT], said[BOND], Date.parse(String(said[KEPT_AT]))];
  if (
    typeof mediaType !== 'string' ||
    !isImageType(mediaType) ||
    !isDigestText(digest) ||
    typeof size !== 'number' ||
    !Number.isSafeInteger(size) ||
    size < 0 ||
    size > ATTACHMENT_MAX_BYTES ||
    !isDigestText(subject) ||
    !isBond(bond) ||
    !Number.isFinite(keptAt)
  )
    throw new MirrorError('STATE_INVALID', `its entry ${at + 1} is not one of an attachment`);
  return { subject, bond, manifest: { mediaType, digest, size }, keptAt };
}
