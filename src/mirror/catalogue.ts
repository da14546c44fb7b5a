/**
 * Which content belongs to which name. Promises: keyed by digest *and* owner, so that content known under one name is
 * not found under another; bounded. What is in it was read from proved manifests. Refuses to know where bytes are.
 */
import type { Descriptor, Digest, Reference, Registry, Repository } from '../oci/oci.ts';

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

export class Catalogue {
  readonly #learnt = new Map<Owner, Descriptors>();
  #held = new Map<Owner, Descriptors>();
  #shared = new Map<Digest, Shared[]>();

  /** Remembers what a manifest that was proved under this name lists. */
  learn(owner: Owner, descriptors: readonly Descriptor[]): void {
    const known = this.#learnt.get(owner) ?? new Map<Digest, Descriptor>();
    this.#learnt.delete(owner);
    this.#learnt.set(owner, known);
    for (const descriptor of descriptors) {
      known.delete(descriptor.digest);
      known.set(descriptor.digest, descriptor);
    }
    trim(known, LEARNT_MAX_PER_OWNER);
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
    return this.#held.get(owner)?.get(digest) ?? this.#learnt.get(owner)?.get(digest);
  }

  /** True where an image of that name in the store reaches the digest. */
  holds(owner: Owner, digest: Digest): boolean {
    return this.#held.get(owner)?.has(digest) ?? false;
  }

  /** Everything known under a name. */
  under(owner: Owner): readonly Descriptor[] {
    return [...(this.#held.get(owner)?.values() ?? []), ...(this.#learnt.get(owner)?.values() ?? [])];
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
