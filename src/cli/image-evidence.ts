/**
 * Where `pinnace verify-image` finds an image and what is signed about it: a layout folder, or what a node keeps. Promises:
 * every byte that is judged was hashed; what cannot be read is told, and hides nothing beside it. Refuses to judge.
 */
import { join } from 'node:path';
import { asMirrorError, MirrorError } from '../errors.ts';
import { candidatesIn, readAttachment } from '../mirror/candidates.ts';
import { type Digest, formatReference, parseArtifact, type Reference } from '../oci/oci.ts';
import { openAttachments } from '../store/attachments.ts';
import { checkAttachment } from '../store/attachments-checked.ts';
import { keepOffered, type Offered, sortOffered } from '../store/attachments-import.ts';
import { realDisk } from '../store/disk.ts';
import { LayoutBlobs } from '../store/layout-blobs.ts';
import { fullName, INDEX_MAX_BYTES, parseIndex } from '../store/layout-index.ts';
import type { Attachments } from '../store/store.ts';
import type { Candidate } from '../trust/trust.ts';
import { readBytes } from './bounded-file.ts';
import type { Io } from './command.ts';
import { ATTACHMENTS_DIR, type Config } from './config.ts';
import { openStoreOf } from './image-sources.ts';

/** An artifact about the image, and what in it may be a signature. */
export interface Found {
  readonly digest: Digest;
  readonly candidates: readonly Candidate[];
}

export interface Evidence {
  /** The digest that the name has there; undefined where it is not there. */
  digestOf(reference: Reference): Promise<Digest | undefined>;
  /** All artifacts about a digest; `told` gets what could not be read. */
  about(subject: Digest, told: (text: string) => void): Promise<readonly Found[]>;
}

/** What an OCI layout folder has: signatures under their tags, beside the image as `cosign save` puts them, or by subject. @throws FILE_UNREADABLE, STATE_INVALID */
export async function evidenceInLayout(dir: string, { world }: Io): Promise<Evidence> {
  const offered = offeredBy(await readBytes(join(dir, 'index.json'), INDEX_MAX_BYTES));
  const stage = (): string => {
    throw new Error('defect: a layout that is only read gets no files');
  };
  const contents = new LayoutBlobs(realDisk, dir, world, stage).contents();
  const { images, attachments } = await sortOffered(contents, offered);
  return {
    digestOf: reference => Promise.resolve(namedIn(images, reference)),
    async about(subject, told) {
      const found: Found[] = [];
      for (const one of attachments.filter(attachment => attachment.subject === subject))
        await telling(told, async () => void (await keepOffered(contents, collecting(found), [one])));
      return found;
    },
  };
}

function offeredBy(index: Uint8Array): readonly Offered[] {
  return parseIndex(index).flatMap(({ target, names, raw }) => {
    const { kind } = (raw.annotations ?? {}) as { readonly kind?: unknown };
    return target ? [{ target, names, ...(typeof kind === 'string' ? { kind } : {}) }] : [];
  });
}

/** The name without a digest. */
const nameOf = ({ registry, repository, tag }: Reference): string =>
  formatReference({ registry, repository, ...(tag === undefined ? {} : { tag }) });

/** By its full name, or as the only image where none has one. */
function namedIn(images: readonly Offered[], reference: Reference): Digest | undefined {
  const named = images.filter(({ names }) => {
    const full = fullName(names);
    return full && formatReference(full) === nameOf(reference);
  });
  const [only, ...others] = images.filter(({ names }) => !fullName(names));
  const digests =
    named.length || others.length || !only ? named.map(({ target }) => target.digest) : [only.target.digest];
  return digests.at(-1);
}

/** Takes what is offered instead of keeping it; all of it is checked as what is kept. */
function collecting(found: Found[]): Pick<Attachments, 'keep'> {
  return {
    keep(bound, contents) {
      const attachment = checkAttachment(bound, contents);
      const artifact = parseArtifact(bound.manifest);
      found.push({
        digest: attachment.manifest.digest,
        candidates: candidatesIn({ bond: bound.bond, artifact, contents }),
      });
      return Promise.resolve(attachment);
    },
  };
}

/** What a node has in its store, and keeps of signatures. @throws FILE_UNREADABLE, STATE_INVALID, STATE_NEWER, STORE_UNAVAILABLE */
export async function evidenceOfNode(config: Pick<Config, 'store' | 'stateDir'>, io: Io): Promise<Evidence> {
  const { stateDir } = config;
  // What is opened below is made where it is missing: not in a folder that is no node's.
  if ((await realDisk.facts(stateDir))?.kind !== 'folder')
    throw new MirrorError('FILE_UNREADABLE', `there is no folder ${stateDir}`);
  const store = await openStoreOf(config, io);
  const attachments = await openAttachments(realDisk, join(stateDir, ATTACHMENTS_DIR), io.world);
  return {
    async digestOf(reference) {
      const text = nameOf(reference);
      return (await store.images()).find(({ reference }) => formatReference(reference) === text)?.target.digest;
    },
    async about(subject, told) {
      const found: Found[] = [];
      for (const one of attachments.of(subject))
        await telling(told, async () => {
          found.push({ digest: one.manifest.digest, candidates: candidatesIn(await readAttachment(attachments, one)) });
        });
      return found;
    },
  };
}

/** Runs `work`; what it refuses is told. */
async function telling(told: (text: string) => void, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', 'reading a signature');
    told(`${message} (${code})`);
  }
}
