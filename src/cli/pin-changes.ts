/** What images mean for a list of pins: which are pinned, which moved, which are named by none. Pure. */
import { MirrorError } from '../errors.ts';
import { type Digest, formatReference, type Reference } from '../oci/oci.ts';
import type { Pin, Pins } from '../policy/pins.ts';
import type { Sourced } from './image-sources.ts';

/** An image that no pin can be made of, or that has none. */
export interface Unpinned {
  readonly image: string;
  readonly from: string;
  readonly why: string;
}

/** A pin, and the other digest that the image has now. */
export interface Move {
  readonly reference: string;
  readonly pinned: Digest;
  readonly found: Digest;
  readonly from: string;
}

/** A tag with the digest that a source says it has. */
interface Locked {
  readonly name: string;
  readonly digest: Digest;
  readonly from: string;
}

const tagName = ({ registry, repository, tag }: Reference): string | undefined =>
  tag === undefined ? undefined : formatReference({ registry, repository, tag });

const unpinned = ({ text, from }: Sourced, why: string): Unpinned => ({ image: text, from, why });

/** Tags and their digests in `images`, and what has not both. @throws PINS_INVALID where two sources differ about a tag */
export function lockable(images: readonly Sourced[]): { locked: readonly Locked[]; skipped: readonly Unpinned[] } {
  const locked = new Map<string, Locked>();
  const skipped: Unpinned[] = [];
  for (const image of images) {
    const { reference, from } = image;
    const name = reference && tagName(reference);
    if (!reference || !name || !reference.digest) {
      const lacks = name ? 'no digest: nobody says which one it is' : 'no tag: a pin says what a tag is';
      skipped.push(unpinned(image, reference ? lacks : (image.why ?? 'no reference')));
      continue;
    }
    const before = locked.get(name);
    if (before && before.digest !== reference.digest)
      throw new MirrorError(
        'PINS_INVALID',
        `${name} is ${before.digest} in ${before.from}, and ${reference.digest} in ${from}: say which one it is`,
      );
    if (!before) locked.set(name, { name, digest: reference.digest, from });
  }
  return { locked: [...locked.values()], skipped };
}

/** The new pins of `images`, each with `note`. @throws PINS_INVALID */
export const pinsOf = (locked: readonly Locked[], note: string): readonly Pin[] =>
  locked.map(({ name, digest }) => ({ reference: name, digest, note }));

/** Where `locked` says otherwise than `pins`, and what of it has no pin. */
export function compare(pins: Pins, locked: readonly Locked[]): { moves: readonly Move[]; added: readonly Locked[] } {
  const moves: Move[] = [];
  const added: Locked[] = [];
  for (const one of locked) {
    const pinned = pins.find(one.name);
    if (pinned === undefined) added.push(one);
    else if (pinned !== one.digest) moves.push({ reference: one.name, pinned, found: one.digest, from: one.from });
  }
  return { moves, added };
}

/** Images that no pin covers, and those that are another digest than their pin. */
export function checkImages(pins: Pins, images: readonly Sourced[]): { unpinned: Unpinned[]; moved: Move[] } {
  const found = { unpinned: [] as Unpinned[], moved: [] as Move[] };
  for (const image of images) {
    const { reference, from } = image;
    if (!reference) {
      found.unpinned.push(unpinned(image, image.why ?? 'no reference'));
      continue;
    }
    const { registry, repository, digest } = reference;
    const name = tagName(reference);
    const pinned = name && pins.find(name);
    if (name && pinned && digest && pinned !== digest)
      found.moved.push({ reference: name, pinned, found: digest, from });
    else if (name && !pinned) found.unpinned.push(unpinned(image, 'no pin names this tag'));
    else if (!name && !(digest && pins.of(`${registry}/${repository}`).has(digest)))
      found.unpinned.push(
        unpinned(image, digest ? 'no pin of the repository has this digest' : 'neither tag nor digest'),
      );
  }
  return found;
}

/** The pins that none of `images` names, by tag or by digest. */
export function unnamed(pins: Pins, images: readonly Sourced[]): readonly Pin[] {
  const named = new Set<string>();
  for (const { reference } of images) {
    if (!reference) continue;
    const { registry, repository, tag, digest } = reference;
    if (tag !== undefined) named.add(formatReference({ registry, repository, tag }));
    else if (digest) named.add(`${registry}/${repository}@${digest}`);
  }
  return pins.list.filter(({ reference, digest }) => {
    const repository = reference.slice(0, reference.lastIndexOf(':'));
    return !named.has(reference) && !named.has(`${repository}@${digest}`);
  });
}
