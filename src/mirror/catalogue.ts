/**
 * Which content belongs to which name. Promises: keyed by digest *and* owner, so that content known under one name is
 * not found under another; bounded. What is in it was read from proved manifests. Refuses to know where bytes are.
 */
import {
  isManifestType,
  type Descriptor,
  type Digest,
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
/** Descriptors learnt of one name; the oldest goes. */
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
}

type Descriptors = Map<Digest, Descriptor>;

/** What was learnt of a name through the mirror. */
interface Learnt {
  readonly listed: Descriptors;
  /** Manifests whose lists are in `listed`. */
  readonly opened: Set<Digest>;
}

export class Catalogue {
  readonly #learnt = new Map<Owner, Learnt>();
  #held = new Map<Owner, Descriptors>();
  #shared = new Map<Digest, Shared[]>();

  /** Remembers what a manifest that was proved under this name lists; `manifest` is its own descriptor. */
  learn(owner: Owner, manifest: Descriptor, children: readonly Descriptor[]): void {
    const known = this.#learnt.get(owner) ?? { listed: new Map<Digest, Descriptor>(), opened: new Set<Digest>() };
    this.#learnt.delete(owner);
    this.#learnt.set(owner, known);
    for (const descriptor of [manifest, ...children]) {
      known.listed.delete(descriptor.digest);
      known.listed.set(descriptor.digest, descriptor);
    }
    known.opened.add(manifest.digest);
    trim(known.listed, LEARNT_MAX_PER_OWNER);
    for (const digest of known.opened) if (!known.listed.has(digest)) known.opened.delete(digest);
    trim(this.#learnt, LEARNT_MAX_OWNERS);
  }

  /** Replaces what the store's images reach. */
  hold(closures: readonly Closure[]): void {
    const held = new Map<Owner, Descriptors>();
    for (const { reference, contents } of closures) {
      const owner = ownerOf(reference);
      const known = held.get(owner) ?? new Map<Digest, Descriptor>();
      held.set(owner, known);
      for (const descriptor of contents) known.set(descriptor.digest, descriptor);
    }
    this.#held = held;
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
    const { listed, opened } = this.#learnt.get(owner) ?? {};
    const held = this.#held.get(owner);
    return [...(listed?.values() ?? [])].filter(
      ({ mediaType, digest }) => isManifestType(mediaType) && !opened?.has(digest) && !held?.has(digest),
    );
  }

  /** The shared images that reach the digest. */
  sharers(digest: Digest): readonly Shared[] {
    return this.#shared.get(digest) ?? [];
  }
}

function trim<K>(map: Map<K, unknown>, most: number): void {
  for (const key of map.keys()) {
    if (map.size <= most) return;
    map.delete(key);
  }
}
