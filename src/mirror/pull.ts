/**
 * A client's pull, from request to bytes: is this name mirrored, what digest is meant, who has it, how far is it proved.
 * Promises: nothing goes out that is not proved or that policy does not allow under that name; each answer is recorded
 * first; where it cannot help, it says "not here" in good time. Refuses to know HTTP.
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import {
  type Descriptor,
  type Digest,
  formatReference,
  isManifestType,
  type PullRequest,
  type Reference,
  type TagReference,
} from '../oci/oci.ts';
import type { Content } from '../store/store.ts';
import { within } from '../world.ts';
import { ANSWER_MS, type Body, bodyOfBytes, bodyOfContent, bodyOfFetch, holdAnswer } from './body.ts';
import { refuse } from './admit.ts';
import { asksForAttached, attached } from './attached.ts';
import { ownerOf } from './catalogue.ts';
import { fetchContent } from './fetch.ts';
import { describe, manifestOf } from './manifests.ts';
import { readAhead } from './read-ahead.ts';
import { resolve } from './resolve.ts';
import type { Rooms } from './rooms.ts';
import { settle } from './settle.ts';

/** How long a manifest is waited for, through all who hold it. */
const MANIFEST_MS = 12_000;
/** The same for what is attached to one: its manifest first, then what all who hold it have about it. */
const ATTACHED_MS = 24_000;

export interface Answer {
  readonly descriptor: Descriptor;
  /** True where `body` is a part that was asked for (206), false for the whole (200). */
  readonly partial: boolean;
  /** Absent for HEAD. */
  readonly body?: Body;
}

interface Found {
  readonly descriptor: Descriptor;
  readonly partial: boolean;
  readonly body: Body;
  readonly from: string;
  /** The node that it came from, where that is known: now, or into the spool before. */
  readonly source?: () => string;
}

/** Answers a request. @throws NOT_MIRRORED, DENIED, TAG_*, CONTENT_ABSENT, SPOOL_FULL and what stores and peers throw */
export async function pull(rooms: Rooms, request: PullRequest): Promise<Answer> {
  const asked = nameOf(request, request.registry);
  try {
    const registry = rooms.policy().registry(request.registry);
    if (!registry)
      throw new MirrorError('NOT_MIRRORED', `${request.registry} is not among the registries that policy mirrors`);
    const reference = nameOf(request, registry);
    const found = await find(rooms, request, reference);
    return await answer(rooms, request, reference, found);
  } catch (error) {
    const { code } = asMirrorError(error, 'STORE_UNAVAILABLE', formatReference(asked));
    await rooms.audit.record({ event: 'pull.refused', reference: formatReference(asked), code });
    throw error;
  }
}

async function find(rooms: Rooms, request: PullRequest, reference: Reference): Promise<Found> {
  if (asksForAttached(rooms, request, reference)) {
    const name = formatReference(reference);
    const { descriptor, bytes } = await within(rooms.world, ATTACHED_MS, rooms.life, 'CONTENT_ABSENT', name, () =>
      attached(rooms, request, reference),
    );
    return { descriptor, partial: false, body: bodyOfBytes(bytes), from: 'store' };
  }
  const { judgedBy } = rooms.catalogue;
  refuse(reference, rooms.policy().pull(reference, rooms.world.now()));
  const found = request.kind === 'manifest' ? await manifest(rooms, reference) : await blob(rooms, reference, request);
  return { ...found, body: whileAllowed(rooms, judgedBy, reference, found) };
}

const nameOf = (request: PullRequest, registry: PullRequest['registry']): Reference => ({
  registry,
  repository: request.repository,
  ...request.reference,
});

async function manifest(rooms: Rooms, reference: Reference): Promise<Found> {
  const { digest } = reference;
  // What a manifest listed is a part of the image that is being pulled, not an image of its own.
  const part = digest !== undefined && rooms.catalogue.describe(ownerOf(reference), digest) !== undefined;
  const proved = await within(rooms.world, MANIFEST_MS, rooms.life, 'CONTENT_ABSENT', formatReference(reference), () =>
    digest ? manifestOf(rooms, { ...reference, digest }) : resolve(rooms, reference as TagReference),
  );
  if (!part) rooms.pulls.began(formatReference(reference), { reference, target: proved.descriptor });
  return { descriptor: proved.descriptor, partial: false, body: bodyOfBytes(proved.bytes), from: proved.from };
}

async function blob(rooms: Rooms, reference: Reference, request: PullRequest): Promise<Found> {
  const digest = reference.digest as Digest;
  const owner = ownerOf(reference);
  const descriptor = await describe(rooms, owner, digest);
  if (isManifestType(descriptor.mediaType))
    throw new MirrorError('CONTENT_ABSENT', `${digest} is a manifest; ask for it under /manifests/`);
  const { start = 0, end } = request.range ?? {};
  const whole = await openWhole(rooms, digest);
  if (whole) {
    const found = await foundWhole(whole, descriptor, request);
    const { from } = whole;
    return { ...found, source: () => (from === 'spool' && rooms.fetches.sourceOf(digest)) || from };
  }
  if (start > 0 || end !== undefined)
    throw new MirrorError('CONTENT_ABSENT', `${digest}: a part is given only of what lies whole on this node`);
  if (rooms.fetches.isCut(digest, rooms.world.monotonic()))
    throw new MirrorError('CONTENT_ABSENT', `${digest}: on its way, not yet proved; an earlier answer was cut`);
  const { vouchers } = rooms.policy().rule(reference.registry, reference.repository);
  const fetch = await fetchContent(rooms, descriptor, vouchers);
  fetch.whole().then(
    () => settle(rooms),
    () => undefined,
  );
  readAhead(rooms, { registry: reference.registry, repository: reference.repository }, digest);
  await holdAnswer(rooms.world, fetch, vouchers);
  const body = bodyOfFetch(rooms.world, rooms.fetches, fetch, vouchers);
  return { descriptor, partial: false, body, from: 'peer', source: () => fetch.source };
}

/** Whole, proved content of the store or the spool. A store's content that takes long to prove is "not here" for now. */
async function openWhole(rooms: Rooms, digest: Digest): Promise<{ content: Content; from: string } | undefined> {
  const spooled = await rooms.spool.open(digest);
  const content = spooled ?? (await openStored(rooms, digest));
  if (!content) return undefined;
  const from = spooled ? 'spool' : 'store';
  // What lay on the disk before this run is hashed first: a disk may rot. What moved from the spool into our own store
  // is the file that was proved.
  if (rooms.fetches.proved(digest) && (spooled || rooms.store.keeping)) return { content, from };
  const proving = rooms.hashes.prove(content, rooms.life);
  try {
    await within(rooms.world, ANSWER_MS, rooms.life, 'CONTENT_ABSENT', `proving ${digest}`, () => proving);
    // Once is enough for a copy in the spool: that it is used changes its stamp.
    if (spooled) rooms.fetches.note(digest);
    return { content, from };
  } catch (error) {
    const close = (): Promise<void> => content.close();
    const closed = proving.then(close, close);
    if (spooled && hasCode(error, 'STORE_CORRUPT')) await closed.then(() => rooms.spool.drop(digest));
    return unusable(rooms, digest, error);
  }
}

async function openStored(rooms: Rooms, digest: Digest): Promise<Content | undefined> {
  try {
    const stored = await rooms.store.open(digest);
    if (stored || !rooms.pulls.moving) return stored;
    await rooms.pulls.moving;
    return await rooms.store.open(digest);
  } catch (error) {
    return unusable(rooms, digest, error);
  }
}

/** What cannot be read here may still be had from others. */
async function unusable(rooms: Rooms, digest: Digest, error: unknown): Promise<undefined> {
  const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `reading ${digest} from the store`);
  if (code === 'STORE_CORRUPT') await rooms.audit.record({ event: 'store.corrupt', digest, detail: message });
  rooms.log.warn({ digest, code }, message);
}

async function foundWhole(
  { content, from }: { content: Content; from: string },
  descriptor: Descriptor,
  { range }: PullRequest,
): Promise<Found> {
  const { size } = content;
  if (!range) return { descriptor, partial: false, body: bodyOfContent(content, 0, size), from };
  if (range.start >= size) {
    await content.close();
    throw new MirrorError('RANGE_INVALID', `${descriptor.digest} has ${size} bytes; nothing lies at ${range.start}`);
  }
  const end = Math.min(size, (range.end ?? size - 1) + 1);
  return { descriptor, partial: true, body: bodyOfContent(content, range.start, end), from };
}

/** Records the answer before its first byte, and its end after the last. */
async function answer(rooms: Rooms, request: PullRequest, reference: Reference, found: Found): Promise<Answer> {
  const { descriptor, body, partial } = found;
  const { digest } = descriptor;
  if (request.method === 'HEAD') {
    await body.close(body.end);
    return { descriptor, partial: false };
  }
  const id = Buffer.from(rooms.world.random(8)).toString('hex');
  const name = formatReference(reference);
  try {
    await rooms.audit.record({ event: 'pull.started', id, reference: name, digest, size: descriptor.size });
  } catch (error) {
    await body.close(body.end);
    throw error;
  }
  const entry = rooms.pulls.add({
    id,
    reference: name,
    digest,
    size: descriptor.size,
    startedAt: rooms.world.now(),
    bytes: 0,
    from: found.source?.() ?? found.from,
  });
  const close = async (sent: number): Promise<void> => {
    await body.close(sent);
    entry.bytes = sent - body.start;
    entry.outcome = sent >= body.end ? 'whole' : 'cut';
    entry.endedAt = rooms.world.now();
    entry.from = found.source?.() ?? found.from;
    const source = found.from === 'store' || found.from === 'spool' ? found.from : 'peer';
    await rooms.audit.record({ event: 'pull.ended', id, digest, bytes: entry.bytes, outcome: entry.outcome, source });
    if (request.kind === 'manifest') settle(rooms);
  };
  return { descriptor, partial, body: { ...body, close } };
}

/** A body that ends where a reload after `judgedBy` leaves its name nothing of it; what stays allowed is not touched. */
function whileAllowed({ catalogue }: Rooms, judgedBy: string, reference: Reference, { descriptor, body }: Found): Body {
  const owner = ownerOf(reference);
  const cut = (): boolean => catalogue.judgedBy !== judgedBy && !catalogue.describe(owner, descriptor.digest);
  return { ...body, upTo: async sent => (cut() ? undefined : body.upTo(sent)) };
}
