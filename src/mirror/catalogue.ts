/**
 * Which content belongs to which name. Promises: keyed by digest *and* owner, so that content known under one name is
 * not found under another; bounded. What is described under a name was read from proved manifests that policy admitted
 * there. Refuses to know where bytes are.
 */
import {
  isManifestType,
  type Descriptor,
  type Digest,
  type Node,
  type Reference,
  type Registry,
  type Repository,
} from '../oci/oci.ts';

/** `registry/repository`. */
export type Owner = string & { readonly __brand: 'Owner' };

export const ownerOf = (name: { readonly registry: Registry; readonly repository: Repository }): Owner =>
  `${name.registry}/${name.repository}` as Owner;

/** Names of which something was learnt through the mirror; the one longest unused goes. */
const LEARNT_MAX_OWNERS = 1024;
/** Descriptors learnt of one name; the root longest unused goes, with what only it lists. */
const LEARNT_MAX_PER_OWNER = 8192;

/** An image in the store, and all that its manifests reach. */
export interface Closure {
  readonly reference: Reference;
  readonly target: Descriptor;
  /** The target and everything under it that is named by a manifest the store holds. */
  readonly contents: readonly Descriptor[];
}

/** An image that policy lets be shared, with the rule that said so. */
export interface Shared extends Closure {
  readonly rule: string;
  /** May this node know of it? Missing where all may. */
  readonly audience?: (node: Node) => boolean;
}

type Descriptors = Map<Digest, Descriptor>;

/** What was learnt of a name through the mirror. */
interface Learnt {
  /** Admitted by themselves; everything else in `listed` is listed by one of them, or by what they list. */
  readonly roots: Map<Digest, Descriptor>;
  /** What manifests list, by their digests. */
  readonly lists: Map<Digest, readonly Descriptor[]>;
  readonly listed: Descriptors;
}

export class Catalogue {
  readonly #learnt = new Map<Owner, Learnt>();
  #held = new Map<Owner, Descriptors>();
  #reached = new Map<Owner, Descriptors>();
  #shared = new Map<Digest, Shared[]>();
  /** The hash of the policy under which all that is known here was last judged. */
  judgedBy = '';

  /** Remembers what an admitted manifest that was proved under this name lists; `manifest` is its own descriptor. */
  learn(owner: Owner, manifest: Descriptor, children: readonly Descriptor[]): void {
    const known = this.#learnt.get(owner) ?? { roots: new Map(), lists: new Map(), listed: new Map() };
    this.#learnt.delete(owner);
    if (!known.listed.has(manifest.digest)) known.roots.set(manifest.digest, manifest);
    list(known, manifest, children);
    this.#learnt.set(owner, shed(known, manifest.digest));
    trim(this.#learnt, LEARNT_MAX_OWNERS);
  }

  /** Roots that were learnt, to be judged again under another policy. */
  roots(): readonly { readonly owner: Owner; readonly digest: Digest }[] {
    return [...this.#learnt].flatMap(([owner, { roots }]) => [...roots.keys()].map(digest => ({ owner, digest })));
  }

  /** Forgets a root that is no longer admitted, and what nothing else lists. */
  forget(owner: Owner, digest: Digest): void {
    const known = this.#learnt.get(owner);
    if (!known?.roots.delete(digest)) return;
    const left = rooted(known);
    if (left.listed.size) this.#learnt.set(owner, left);
    else this.#learnt.delete(owner);
  }

  /** Replaces what the store's images reach: `admitted` are those that policy lets be used under their names. */
  hold(closures: readonly Closure[], admitted: readonly Closure[]): void {
    this.#reached = byOwner(closures);
    this.#held = byOwner(admitted);
  }

  /** True where an image of that name in the store reaches the digest, admitted or not. */
  reaches(owner: Owner, digest: Digest): boolean {
    return this.#reached.get(owner)?.has(digest) === true || this.describe(owner, digest) !== undefined;
  }

  /** Replaces what may be given to other nodes. */
  share(images: readonly Shared[]): void {
    const shared = new Map<Digest, Shared[]>();
    for (const image of images)
      for (const { digest } of image.contents) shared.set(digest, [...(shared.get(digest) ?? []), image]);
    this.#shared = shared;
  }

  /** The descriptor of a digest under a name, from a proved manifest; undefined where none lists it. */
  describe(owner: Owner, digest: Digest): Descriptor | undefined {
    return this.#held.get(owner)?.get(digest) ?? this.#learnt.get(owner)?.listed.get(digest);
  }

  /** True where an image of that name in the store reaches the digest. */
  holds(owner: Owner, digest: Digest): boolean {
    return this.#held.get(owner)?.has(digest) ?? false;
  }

  /** Everything known under a name. */
  under(owner: Owner): readonly Descriptor[] {
    return [...(this.#held.get(owner)?.values() ?? []), ...(this.#learnt.get(owner)?.listed.values() ?? [])];
  }

  /** Manifests that were listed under a name, but of which nobody read here what they list. */
  unopened(owner: Owner): readonly Descriptor[] {
    const { listed, lists } = this.#learnt.get(owner) ?? {};
    const held = this.#held.get(owner);
    return [...(listed?.values() ?? [])].filter(
      ({ mediaType, digest }) => isManifestType(mediaType) && !lists?.has(digest) && !held?.has(digest),
    );
  }

  /** The shared images that reach the digest and of which `node` may know; of all where it is left out. */
  sharers(digest: Digest, node?: Node): readonly Shared[] {
    const all = this.#shared.get(digest) ?? [];
    return node ? all.filter(({ audience }) => audience?.(node) ?? true) : all;
  }
}

/** Who may know of a content that is in these images; undefined: everybody. */
export function audienceOf(images: readonly Shared[]): ((node: Node) => boolean) | undefined {
  const audiences = images.flatMap(({ audience }) => (audience ? [audience] : []));
  return audiences.length < images.length || !images.length
    ? undefined
    : node => audiences.some(audience => audience(node));
}

function list(known: Learnt, manifest: Descriptor, children: readonly Descriptor[]): void {
  for (const descriptor of [manifest, ...children]) {
    known.listed.delete(descriptor.digest);
    known.listed.set(descriptor.digest, descriptor);
  }
  known.lists.set(manifest.digest, children);
}

/** What the roots reach. */
function rooted({ roots, lists, listed }: Learnt): Learnt {
  const reached = new Set<Digest>();
  const walk = (digest: Digest): void => {
    if (reached.has(digest)) return;
    reached.add(digest);
    for (const child of lists.get(digest) ?? []) walk(child.digest);
  };
  for (const root of roots.keys()) walk(root);
  const keep = <V>(map: Map<Digest, V>): Map<Digest, V> => new Map([...map].filter(([digest]) => reached.has(digest)));
  return { roots, lists: keep(lists), listed: keep(listed) };
}

/**
 * No more than may be known of one name. The roots longest unused go, each with what only it lists: what has no root would
 * be judged by nobody. That of `used` stays, and only where it is too large alone, its oldest parts go.
 */
function shed(known: Learnt, used: Digest): Learnt {
  const isUsed = (root: Digest): boolean =>
    root === used || known.lists.get(root)?.some(({ digest }) => digest === used) === true;
  let left = known;
  for (const digest of known.listed.keys()) {
    if (left.listed.size <= LEARNT_MAX_PER_OWNER) return left;
    if (!known.roots.has(digest) || isUsed(digest)) continue;
    known.roots.delete(digest);
    left = rooted(known);
  }
  for (const digest of left.listed.keys()) {
    if (left.listed.size <= LEARNT_MAX_PER_OWNER) break;
    if (!left.roots.has(digest)) left.listed.delete(digest);
  }
  for (const digest of left.lists.keys()) if (!left.listed.has(digest)) left.lists.delete(digest);
  return left;
}

function byOwner(closures: readonly Closure[]): Map<Owner, Descriptors> {
  const owners = new Map<Owner, Descriptors>();
  for (const { reference, contents } of closures) {
    const owner = ownerOf(reference);
    const known = owners.get(owner) ?? new Map<Digest, Descriptor>();
    owners.set(owner, known);
    for (const descriptor of contents) known.set(descriptor.digest, descriptor);
  }
  return owners;
}

function trim<K>(map: Map<K, unknown>, most: number): void {
  for (const key of map.keys()) {
    if (map.size <= most) return;
    map.delete(key);
  }
}
