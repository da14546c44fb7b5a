/**
 * Lock files: which digest a tag is, by a person's word. Promises: sorted, each reference once, so that a change is a
 * change of its own line; parse ∘ format = identity. Refuses to know which rule looks at them. Spec: POLICY.md, "Pins".
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { type Digest, parseDigest, parseTagReference } from '../oci/oci.ts';
import { isPrintable } from './parse-values.ts';

/** The largest lock file, in bytes. */
export const PINS_MAX_BYTES = 64 << 20;
/** The longest note of a pin, in characters. */
export const NOTE_MAX = 512;

const FIRST_LINE = /^pinnace-pins 1 serial ([1-9][0-9]{0,14})$/;
const NOTHING: ReadonlySet<Digest> = new Set();

export interface Pin {
  /** registry/repository:tag, as it is written. */
  readonly reference: string;
  readonly digest: Digest;
  /** Who, when and why, on one line; empty where nothing was said. */
  readonly note: string;
}

const byReference = (a: Pin, b: Pin): number => (a.reference < b.reference ? -1 : a.reference > b.reference ? 1 : 0);

/** Pins in the order of their references. */
export class Pins {
  /** Sorted, each reference once. */
  readonly list: readonly Pin[];
  readonly #sets = new Map<string, ReadonlySet<Digest>>();

  private constructor(list: readonly Pin[]) {
    this.list = list;
  }

  /** Of a list that is sorted, each reference once. */
  static sorted(list: readonly Pin[]): Pins {
    return new Pins(list);
  }

  /** All of several. @throws PINS_INVALID where they differ about a reference */
  static of(several: readonly Pins[]): Pins {
    const [first] = several;
    if (first && several.length === 1) return first;
    const all = several.flatMap(({ list }) => list).toSorted(byReference);
    const list = all.filter((pin, at) => {
      const before = all[at - 1];
      if (before?.reference !== pin.reference) return true;
      if (before.digest !== pin.digest)
        throw new MirrorError('PINS_INVALID', `${pin.reference} is pinned to two digests, in two files of one rule`);
      return false;
    });
    return new Pins(list);
  }

  /** The digest to which `reference` is pinned. */
  find(reference: string): Digest | undefined {
    const pin = this.list[this.#from(reference)];
    return pin?.reference === reference ? pin.digest : undefined;
  }

  /** All digests to which tags of `repository`, with its registry, are pinned. */
  of(repository: string): ReadonlySet<Digest> {
    const known = this.#sets.get(repository);
    if (known) return known;
    const prefix = `${repository}:`;
    const digests = new Set<Digest>();
    for (let at = this.#from(prefix); this.list[at]?.reference.startsWith(prefix); at += 1)
      digests.add(this.list[at]!.digest);
    // Only what is pinned is kept: others choose what is asked for.
    if (!digests.size) return NOTHING;
    this.#sets.set(repository, digests);
    return digests;
  }

  /** Where `reference` stands, or would. */
  #from(reference: string): number {
    let [low, high] = [0, this.list.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.list[middle]!.reference < reference) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** What a lock file says. */
export interface LockFile {
  readonly serial: number;
  readonly pins: Pins;
}

/** Reads the lock file `file`. @throws PINS_INVALID with file and line */
export function parsePins(bytes: Uint8Array, file: string): LockFile {
  const fail = (line: number, what: string): never => {
    throw new MirrorError('PINS_INVALID', `${file}:${line}: ${what}`);
  };
  if (bytes.length > PINS_MAX_BYTES) fail(1, `larger than ${PINS_MAX_BYTES} bytes`);
  const text = decode(bytes, file);
  const end = text.indexOf('\n');
  const serial = Number(
    FIRST_LINE.exec(text.slice(0, Math.max(0, end)))?.[1] ?? fail(1, 'must be `pinnace-pins 1 serial N`'),
  );
  if (!text.endsWith('\n')) fail(1, 'the last line must end in a line feed');
  const list: Pin[] = [];
  let before = '';
  for (let line = 2, at = end + 1; at < text.length; line += 1) {
    const next = text.indexOf('\n', at);
    const pin = parseLine(text.slice(at, next), why => fail(line, why));
    if (pin.reference === before) fail(line, `${before} stands twice`);
    if (pin.reference < before) fail(line, `must stand before ${before}: lines are sorted`);
    before = pin.reference;
    list.push(pin);
    at = next + 1;
  }
  return { serial, pins: Pins.sorted(list) };
}

function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new MirrorError('PINS_INVALID', `${file}: is not UTF-8`, { cause: error });
  }
}

function parseLine(line: string, fail: (why: string) => never): Pin {
  const space = line.indexOf(' ');
  if (space < 1) return fail('must be a reference, a space and a digest');
  try {
    const reference = line.slice(0, space);
    parseTagReference(reference);
    const hash = line.indexOf(' # ', space + 1);
    const digest = parseDigest(hash < 0 ? line.slice(space + 1) : line.slice(space + 1, hash));
    return { reference, digest, note: hash < 0 ? '' : checkNote(line.slice(hash + 3)) };
  } catch (error) {
    return fail(asMirrorError(error, 'PINS_INVALID', 'not read').message);
  }
}

/** `note` itself. @throws PINS_INVALID where it is no note of one line */
export function checkNote(note: string): string {
  if (!note || note.length > NOTE_MAX || note.trim() !== note || !isPrintable(note))
    throw new MirrorError(
      'PINS_INVALID',
      `a note is one line of at most ${NOTE_MAX} characters, without spaces around it`,
    );
  return note;
}

/** The text of a lock file. @throws PINS_INVALID where a reference stands twice or a note is none */
export function formatPins(serial: number, pins: readonly Pin[]): string {
  const sorted = pins.toSorted(byReference);
  const lines = sorted.map(({ reference, digest, note }, at) => {
    if (sorted[at - 1]?.reference === reference) throw new MirrorError('PINS_INVALID', `${reference} stands twice`);
    return `${reference} ${digest}${note && ` # ${checkNote(note)}`}\n`;
  });
  return `pinnace-pins 1 serial ${serial}\n${lines.join('')}`;
}
