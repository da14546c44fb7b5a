/**
 * What was decided about digests, and what each artifact was found to show, so that neither is judged twice. Promises: a
 * verdict holds under the policy that made it, until the time that it names; bounded. Refuses to know how one is reached.
 */
import { type Digest, formatReference, type Reference } from '../oci/oci.ts';
import type { Ruling } from '../policy/policy.ts';
import type { Bond } from '../store/store.ts';
import type { Judgement } from '../trust/trust.ts';

/** Verdicts that are kept; the oldest goes first. */
export const VERDICTS_MAX = 16_384;
/** Judgements of artifacts that are kept; the oldest goes first. */
export const JUDGED_MAX = 65_536;
/** All of them, in characters of JSON: what is attested may be large. The oldest goes first. */
export const JUDGED_MAX_CHARACTERS = 32 << 20;
/** A no for want of signatures is asked again after so many ms: one may have come. */
export const REFUSED_MS = 10_000;

/** Other nodes are asked for all that they have about a digest once in so many ms. */
const COLLECT_MS = 60_000;

/** A reference whose digest is known: asked for, or what its tag was resolved to. */
export type Named = Reference & { readonly digest: Digest };

interface Verdict {
  readonly ruling: Ruling;
  /** Of the policy that made it. */
  readonly hash: string;
  /** Milliseconds since 1970. */
  readonly madeAt: number;
  readonly round: number;
}

export class Verdicts {
  /** Hears when a verdict ends that was just made; ms since 1970. */
  ends: (until: number) => void = () => undefined;
  readonly #verdicts = new Map<string, Verdict>();
  readonly #collected = new Map<Digest, number>();
  #round = 0;
  readonly #judged = new Map<string, { readonly found: readonly Judgement[]; readonly characters: number }>();
  #characters = 0;
  readonly #useful = new Map<string, true>();
  readonly #running = new Map<string, Promise<Ruling>>();

  /** The ruling on a digest under a name, if one holds at `now` (ms since 1970) under the policy with `hash`. */
  of(named: Named, hash: string, now: number): Ruling | undefined {
    const found = this.#verdicts.get(formatReference(named));
    if (!found || found.hash !== hash || now >= (found.ruling.until ?? Infinity)) return undefined;
    const fresh = found.round === this.#round && now < found.madeAt + REFUSED_MS;
    return found.ruling.allowed || fresh ? found.ruling : undefined;
  }

  /** The last ruling, whether or not it holds still. */
  last(named: Named): Ruling | undefined {
    return this.#verdicts.get(formatReference(named))?.ruling;
  }

  /** Something new may show what was missing: every no is asked again. */
  askAgain(): void {
    this.#round += 1;
  }

  keep(named: Named, ruling: Ruling, hash: string, now: number): void {
    put(this.#verdicts, formatReference(named), { ruling, hash, madeAt: now, round: this.#round }, VERDICTS_MAX);
    if (ruling.until !== undefined) this.ends(ruling.until);
  }

  /** The ruling that is being reached, or the one that `decide` begins to reach. */
  async share(named: Named, hash: string, decide: () => Promise<Ruling>): Promise<Ruling> {
    const key = `${formatReference(named)} ${hash}`;
    const running = this.#running.get(key);
    if (running) return running;
    const begun = decide().finally(() => this.#running.delete(key));
    this.#running.set(key, begun);
    return begun;
  }

  /** True where nobody has asked other nodes for all that they have about `subject` for a while; `now` in monotonic ms. */
  mayCollect(subject: Digest, now: number): boolean {
    if (now < (this.#collected.get(subject) ?? -Infinity) + COLLECT_MS) return false;
    put(this.#collected, subject, now, VERDICTS_MAX);
    return true;
  }

  /** What an artifact about `subject` showed to the authorities `by`, judged now if it was not before. */
  judged(artifact: Bonded, subject: Digest, by: string, judge: () => readonly Judgement[]): readonly Judgement[] {
    const known = this.known(artifact, subject, by);
    if (known) return known;
    const found = judge();
    this.#remember(`${bondedKey(artifact)} ${subject} ${by}`, found);
    if (found.some(({ signed }) => signed.length))
      put(this.#useful, `${bondedKey(artifact)} ${subject}`, true, JUDGED_MAX);
    return found;
  }

  /** The same, where it was judged before. */
  known(artifact: Bonded, subject: Digest, by: string): readonly Judgement[] | undefined {
    return this.#judged.get(`${bondedKey(artifact)} ${subject} ${by}`)?.found;
  }

  #remember(key: string, found: readonly Judgement[]): void {
    const characters = JSON.stringify(found).length;
    this.#judged.set(key, { found, characters });
    this.#characters += characters;
    for (const [oldest, one] of this.#judged) {
      if (this.#judged.size <= JUDGED_MAX && this.#characters <= JUDGED_MAX_CHARACTERS) return;
      this.#judged.delete(oldest);
      this.#characters -= one.characters;
    }
  }

  /** True where the artifact once showed something to some authority of a policy here. */
  isUseful(artifact: Bonded, subject: Digest): boolean {
    return this.#useful.has(`${bondedKey(artifact)} ${subject}`);
  }
}

/** An artifact as it is bound to its subject: bound otherwise it is read otherwise. */
export interface Bonded {
  readonly bond: Bond;
  readonly digest: Digest;
}

export const bondedKey = ({ bond, digest }: Bonded): string => `${bond} ${digest}`;

function put<V>(map: Map<string, V>, key: string, value: V, most: number): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= most) return;
    map.delete(oldest);
  }
}
