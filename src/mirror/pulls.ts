/**
 * What was asked of the mirror lately: for `status`, and to know which images the embedded store may complete. Memory
 * only, bounded.
 */
import type { Descriptor, Digest, Reference } from '../oci/oci.ts';

const RECENT_MAX = 100;
const ROOTS_MAX = 256;

/** One answer with content. */
export interface Pull {
  readonly id: string;
  readonly reference: string;
  readonly digest: Digest;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  endedAt?: number;
  bytes: number;
  /** `store`, `spool`, or the node that the last chunk came from. */
  from: string;
  outcome?: 'whole' | 'cut' | 'failed';
}

/** An image that somebody began to pull: its name and the manifest or index it starts from. */
export interface Root {
  readonly reference: Reference;
  readonly target: Descriptor;
  /** True once the embedded store has the name. */
  named?: boolean;
}

export class Pulls {
  readonly #recent: Pull[] = [];
  readonly #roots = new Map<string, Root>();
  /** A content that is just now moving from the spool into the store, and for a moment is in neither. */
  moving: Promise<void> | undefined;

  add(pull: Pull): Pull {
    this.#recent.push(pull);
    if (this.#recent.length > RECENT_MAX) this.#recent.shift();
    return pull;
  }

  /** Newest last. */
  recent(): readonly Pull[] {
    return this.#recent;
  }

  /** Notes that an image is being pulled under `key`, its formatted reference. */
  began(key: string, root: Root): void {
    this.#roots.delete(key);
    this.#roots.set(key, root);
    for (const oldest of this.#roots.keys()) if (this.#roots.size > ROOTS_MAX) this.#roots.delete(oldest);
  }

  roots(): ReadonlyMap<string, Root> {
    return this.#roots;
  }

  /** Forgets an image that waits for nothing more. */
  settled(key: string): void {
    this.#roots.delete(key);
  }
}
