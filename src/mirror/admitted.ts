/**
 * The images of the store that policy admitted, on disk: a policy that expires with `onExpiry: freeze` leaves what was
 * admitted as it is, over restarts, too. Promises: an entry counts only under the very policy that admitted it, only once
 * that has expired, and no longer than its verdict held: an exception has an end. Refuses to know why an image was admitted.
 * Spec: policy/POLICY.md, "Serial and expiry".
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { formatReference, parseReference } from '../oci/oci.ts';
import type { Policy, Ruling } from '../policy/policy.ts';
import type { Keep } from '../world.ts';
import type { Closure } from './catalogue.ts';
import type { Named } from './verdicts.ts';

const VERSION = 1;
/** Images that are remembered; a store has no more names than that. */
export const ADMITTED_MAX = 16_384;

export class Admitted {
  readonly #keep: Keep;
  #hash: string;
  /** Until when each was admitted, in ms since 1970. */
  #names: ReadonlyMap<string, number>;

  private constructor(keep: Keep, { hash, names }: File) {
    this.#keep = keep;
    this.#hash = hash;
    this.#names = names;
  }

  /** @throws STATE_INVALID, STATE_NEWER */
  static async open(keep: Keep): Promise<Admitted> {
    const bytes = await keep.read();
    return new Admitted(keep, bytes ? parse(bytes) : { hash: '', names: new Map() });
  }

  /** The ruling that stands where `ruling` says that a frozen policy has expired, and it admitted the image before. */
  over(ruling: Ruling, named: Named, { hash, onExpiry }: Policy, now: number): Ruling {
    if (ruling.code !== 'POLICY_EXPIRED' || onExpiry !== 'freeze' || hash !== this.#hash) return ruling;
    const until = this.#names.get(formatReference(named)) ?? Number.NEGATIVE_INFINITY;
    if (now >= until) return ruling;
    const stays = { allowed: true, rule: ruling.rule, detail: 'it was admitted before the policy expired' };
    return Number.isFinite(until) ? { ...stays, until } : stays;
  }

  /**
   * Keeps which images are admitted, where the policy may freeze and they changed; `untilOf` says until when, undefined where
   * nothing but the policy ends it. @throws FILE_UNREADABLE
   */
  async save(
    admitted: readonly Closure[],
    { hash, expiresAt, onExpiry }: Policy,
    untilOf: (named: Named) => number | undefined,
  ): Promise<void> {
    if (expiresAt === undefined || onExpiry !== 'freeze') return;
    const all = admitted.map(({ reference, target }): [string, number] => {
      const named = { ...reference, digest: target.digest };
      return [formatReference(named), untilOf(named) ?? Number.POSITIVE_INFINITY];
    });
    const names = new Map(all.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).slice(0, ADMITTED_MAX));
    const same = ([name, until]: [string, number]): boolean => this.#names.get(name) === until;
    if (hash === this.#hash && names.size === this.#names.size && [...names].every(same)) return;
    const images = [...names].map(([name, until]) => (Number.isFinite(until) ? `${name} ${until}` : name));
    await this.#keep.write(Buffer.from(JSON.stringify({ version: VERSION, policy: hash, images })));
    this.#hash = hash;
    this.#names = names;
  }
}

interface File {
  readonly hash: string;
  readonly names: ReadonlyMap<string, number>;
}

function parse(bytes: Uint8Array): File {
  try {
    const file = JSON.parse(Buffer.from(bytes).toString()) as { version: number; policy: unknown; images: unknown[] };
    if (file.version > VERSION)
      throw new MirrorError('STATE_NEWER', 'the file of admitted images is of a newer version');
    if (file.version !== VERSION || file.images.length > ADMITTED_MAX)
      throw new Error('it has no version, or too much');
    return {
      hash: String(file.policy),
      names: new Map(file.images.map(image => parseImage(String(image)))),
    };
  } catch (error) {
    if (error instanceof MirrorError && error.code === 'STATE_NEWER') throw error;
    const { message } = asMirrorError(error, 'STATE_INVALID', 'not read');
    throw new MirrorError('STATE_INVALID', `the file of admitted images is damaged: remove it (${message})`);
  }
}

/** A name, and after a space until when it was admitted, where it says so. */
function parseImage(text: string): [string, number] {
  const [name = '', until = 'Infinity'] = text.split(' ');
  if (Number.isNaN(Number(until))) throw new Error('a time is no number');
  return [formatReference(parseReference(name)), Number(until)];
}
