/**
 * From a name down to all that it reaches. Promises: bounded, whatever manifests say; of an index, the platforms that are
 * whole. Refuses to know where contents lie.
 */
import { MirrorError } from '../errors.ts';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  INDEX_MAX_DEPTH,
  isManifestType,
  parseManifest,
} from '../oci/oci.ts';

/** The most contents that one name may reach. */
const REACHED_MAX = 20_000;

export interface Contents {
  /** True where the content is there in that size; called once for each digest. */
  find(descriptor: Descriptor): Promise<boolean>;
  /** The bytes of a manifest that was found, hashed. */
  read(descriptor: Descriptor): Promise<Uint8Array>;
}

/**
 * Walks from `target` down. Answers with the digests of all that makes it whole, each after those that it names; undefined
 * where something lacks. An index is whole when one of its manifests is. @throws MANIFEST_INVALID, and what `contents` throws
 */
export async function walkImage(contents: Contents, target: Descriptor): Promise<readonly Digest[] | undefined> {
  const walked = new Map<Digest, { readonly size: number; whole?: readonly Digest[] }>();
  const walk = async (descriptor: Descriptor, depth: number): Promise<readonly Digest[] | undefined> => {
    const { digest, mediaType, size } = descriptor;
    const before = walked.get(digest);
    if (before && before.size !== size)
      throw new MirrorError('MANIFEST_INVALID', `${digest} is said to have ${before.size} bytes, and ${size}`);
    if (before) return before.whole;
    if (walked.size >= REACHED_MAX)
      throw new MirrorError('MANIFEST_INVALID', `${target.digest} names more than ${REACHED_MAX} contents`);
    walked.set(digest, { size });
    const found = await contents.find(descriptor);
    const below = found && isManifestType(mediaType) ? await walkManifest(descriptor, depth) : [];
    if (!found || !below) return undefined;
    const whole = [...below, digest];
    walked.set(digest, { size, whole });
    return whole;
  };
  const walkManifest = async (descriptor: Descriptor, depth: number): Promise<readonly Digest[] | undefined> => {
    const manifest = parseManifest(await contents.read(descriptor));
    if (manifest.kind === 'index' && depth >= INDEX_MAX_DEPTH)
      throw new MirrorError('MANIFEST_INVALID', `${target.digest} nests indexes deeper than ${INDEX_MAX_DEPTH}`);
    const below = new Set<Digest>();
    const children = childrenOf(manifest);
    let whole = 0;
    // To the end, also where something lacks: who asks what is reached must hear of all of it.
    for (const child of children) {
      const reached = await walk(child, depth + 1);
      if (reached) whole += 1;
      for (const digest of reached ?? []) below.add(digest);
    }
    return whole === children.length || (manifest.kind === 'index' && whole > 0) ? [...below] : undefined;
  };
  return walk(target, 0);
}
