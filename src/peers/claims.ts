/**
 * What nodes say they hold, by digest. Promises: each distinct claim lies in memory once however many say it, a lookup
 * touches only those who hold its digest, and no node counts twice for one digest. Refuses to know how it was said and
 * whether it was judged.
 */
import { MirrorError } from '../errors.ts';
import type { Digest, PeerId } from '../oci/oci.ts';
import type { Root } from '../proof/proof.ts';
import { encodeSigned, type Signed } from './envelope.ts';
import type { Holding } from './peers.ts';

/** Distinct (digest, size, root) that are kept, of all signers together; about 300 bytes each. */
export const CLAIMS_MAX = 262_144;

/** One thing that nodes say, kept once however many say it. */
export class Claim implements Holding {
  readonly digest: Digest;
  readonly size: number;
  readonly root: Root;
  readonly holders: Claimant[] = [];
  /** Another claim about the same digest. */
  next: Claim | undefined;

  constructor({ digest, size, root }: Holding) {
    this.digest = digest;
    this.size = size;
    this.root = root;
  }
}

/** Somebody who says what it holds, to everybody or to this node alone. */
export interface Claimant {
  readonly peer: PeerId;
  /** Said to this node alone. */
  readonly limited: boolean;
  held: readonly Claim[];
  /** Until when it counts; ms since 1970. */
  notAfter: number;
  /** The statement that says so. */
  says(claim: Holding): Signed;
}

export interface Found {
  readonly peer: PeerId;
  readonly holding: Holding;
  /** The signed statement that says so. */
  statement(): Uint8Array;
}

export class Claims {
  readonly #index = new Map<Digest, Claim>();
  #count = 0;

  /** Who holds `digest` by statements valid at `now`, each once, by what it tells everybody; ms since 1970. */
  find(digest: Digest, now: number): Found[] {
    const found: Found[] = [];
    const limited: Found[] = [];
    for (let claim = this.#index.get(digest); claim; claim = claim.next) {
      const holding = claim;
      for (const one of claim.holders)
        if (one.notAfter > now)
          (one.limited ? limited : found).push({
            peer: one.peer,
            holding,
            statement: () => encodeSigned(one.says(holding)),
          });
    }
    if (limited.length === 0) return found;
    const told = new Set(found.map(({ peer }) => peer));
    return [...found, ...limited.filter(({ peer }) => !told.has(peer))];
  }

  /** @throws LIMIT_EXCEEDED where there is no room for `entries` */
  room(entries: readonly Holding[]): void {
    let fresh = 0;
    for (const entry of entries) if (!this.#known(entry)) fresh++;
    if (this.#count + fresh > CLAIMS_MAX)
      throw new MirrorError('LIMIT_EXCEEDED', `the cluster states more than ${CLAIMS_MAX} different contents`);
  }

  /** The one claim that says the same; to be held by somebody, or it stays for ever. */
  intern(entry: Holding): Claim {
    const known = this.#known(entry);
    if (known) return known;
    const claim = new Claim(entry);
    claim.next = this.#index.get(entry.digest);
    this.#index.set(entry.digest, claim);
    this.#count++;
    return claim;
  }

  /** Makes `claims` all that `who` holds. */
  hold(who: Claimant, claims: readonly Claim[]): void {
    const wanted = new Set(claims);
    const had = new Set(who.held);
    for (const claim of wanted) if (!had.has(claim)) claim.holders.push(who);
    for (const claim of had) if (!wanted.has(claim)) this.#release(claim, who);
    who.held = claims;
  }

  #known({ digest, size, root }: Holding): Claim | undefined {
    let claim = this.#index.get(digest);
    while (claim && (claim.size !== size || claim.root !== root)) claim = claim.next;
    return claim;
  }

  #release(claim: Claim, who: Claimant): void {
    const last = claim.holders.pop();
    if (last !== who && last) claim.holders[claim.holders.indexOf(who)] = last;
    if (claim.holders.length > 0) return;
    const first = this.#index.get(claim.digest);
    if (first === claim) {
      if (claim.next) this.#index.set(claim.digest, claim.next);
      else this.#index.delete(claim.digest);
    } else {
      let before = first;
      while (before && before.next !== claim) before = before.next;
      if (before) before.next = claim.next;
    }
    this.#count--;
  }
}
