/**
 * `index.json` of a layout: names and what they name. Promises: an entry that this program does not understand is left as
 * it is. Refuses to know files. Spec: OCI image-spec image-layout.md, annotations.md.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import {
  type Descriptor,
  formatReference,
  isDigest,
  OCI_INDEX,
  parseReference,
  type Platform,
  type Reference,
} from '../oci/oci.ts';
import type { Image } from './store.ts';

/** The largest `index.json`, and the most entries in it. */
export const INDEX_MAX_BYTES = 8 << 20;
export const INDEX_MAX_ENTRIES = 8192;

const REF_NAME = 'org.opencontainers.image.ref.name';
const CONTAINERD_NAME = 'io.containerd.image.name';
/** When the name was given, in ISO 8601, and whether the mirror fetched the image. */
const NAMED_AT = 'dev.pinnace.named';
const FETCHED = 'dev.pinnace.fetched';

type Json = Readonly<Record<string, unknown>>;

/** One entry: as it stands there, and what was understood of it. */
export interface IndexEntry {
  readonly raw: Json;
  readonly target?: Descriptor;
  /** Names that it carries, as they are spelt, the most telling first. */
  readonly names: readonly string[];
  readonly namedAt?: number;
  readonly fetched: boolean;
}

const isObject = (value: unknown): value is Json =>
  value !== null && typeof value === 'object' && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= 1024;

/** Reads the bytes of an index. @throws STATE_INVALID */
export function parseIndex(bytes: Uint8Array): readonly IndexEntry[] {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw asMirrorError(error, 'STATE_INVALID', 'index.json is damaged');
  }
  if (!isObject(json) || json.schemaVersion !== 2 || !Array.isArray(json.manifests))
    throw new MirrorError('STATE_INVALID', 'index.json is not an image index of schema version 2');
  if (json.manifests.length > INDEX_MAX_ENTRIES)
    throw new MirrorError('STATE_INVALID', `index.json has more than ${INDEX_MAX_ENTRIES} entries`);
  return json.manifests.filter(isObject).map(readEntry);
}

/** The bytes of an index. */
export const formatIndex = (entries: readonly IndexEntry[]): Uint8Array =>
  Buffer.from(
    `${JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: entries.map(({ raw }) => raw) })}\n`,
  );

/** An entry for a name; `namedAt` in milliseconds since 1970. */
export function entryOf(reference: Reference, target: Descriptor, namedAt: number, fetched: boolean): IndexEntry {
  const name = formatReference(reference);
  const annotations = {
    [REF_NAME]: name,
    [CONTAINERD_NAME]: name,
    [NAMED_AT]: new Date(namedAt).toISOString(),
    ...(fetched ? { [FETCHED]: 'true' } : {}),
  };
  return readEntry({ ...target, annotations });
}

/** The images whose names are full references; of one name, the last entry. Undated ones are of `otherwise` (ms). */
export function imagesOf(entries: readonly IndexEntry[], otherwise: number): readonly Image[] {
  const images = new Map<string, Image>();
  for (const { target, names, namedAt, fetched } of entries) {
    const reference = fullName(names);
    if (target && reference)
      images.set(formatReference(reference), { reference, target, createdAt: namedAt ?? otherwise, fetched });
  }
  return [...images.values()];
}

/** The first of `names` that spells a registry out; `app:1` and `team/app:1` do not. */
export function fullName(names: readonly string[]): Reference | undefined {
  for (const name of names) {
    try {
      const reference = parseReference(name);
      if (/[.:]|^localhost$/.test(reference.registry) && (reference.tag ?? reference.digest)) return reference;
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
    }
  }
  return undefined;
}

function readEntry(raw: Json): IndexEntry {
  const annotations = isObject(raw.annotations) ? raw.annotations : {};
  const target = readTarget(raw);
  const namedAt = isText(annotations[NAMED_AT]) ? Date.parse(annotations[NAMED_AT]) : Number.NaN;
  return {
    raw,
    names: [annotations[REF_NAME], annotations[CONTAINERD_NAME]].filter(isText),
    fetched: annotations[FETCHED] === 'true',
    ...(target ? { target } : {}),
    ...(Number.isFinite(namedAt) ? { namedAt } : {}),
  };
}

function readTarget({ mediaType, digest, size, platform }: Json): Descriptor | undefined {
  if (!isText(mediaType) || !isText(digest) || !isDigest(digest)) return undefined;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  return { mediaType, digest, size, ...readPlatform(platform) };
}

function readPlatform(value: unknown): { platform?: Platform } {
  if (!isObject(value) || !isText(value.os) || !isText(value.architecture)) return {};
  const { os, architecture, variant } = value;
  return { platform: { os, architecture, ...(isText(variant) ? { variant } : {}) } };
}
