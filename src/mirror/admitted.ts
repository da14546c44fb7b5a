/**
 * The images of the store that policy admitted, on disk: a policy that expires with `onExpiry: freeze` leaves what was
 * admitted as it is, over restarts, too. Promises: an entry counts only under the very policy that admitted it, and only
 * once that has expired. Refuses to know why an image was admitted. Spec: policy/POLICY.md, "Serial and expiry".
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
  #names: ReadonlySet<string>;

  private constructor(keep: Keep, { hash, names }: File) {
    this.#keep = keep;
    this.#hash = hash;
    this.#names = names;
  }

  /** @throws STATE_INVALID, STATE_NEWER */
  static async open(keep: Keep): Promise<Admitted> {
    const bytes = await keep.read();
    return new Admitted(keep, bytes ? parse(bytes) : { hash: '', names: new Set() });
  }

  /** The ruling that stands where `ruling` says that a frozen policy has expired, and it admitted the image before. */
  over(ruling: Ruling, named: Named, { hash, onExpiry }: Policy): Ruling {
    const stays = ruling.code === 'POLICY_EXPIRED' && onExpiry === 'freeze' && hash === this.#hash;
    return stays && this.#names.has(formatReference(named))
      ? { allowed: true, rule: ruling.rule, detail: 'it was admitted before the policy expired' }
      : ruling;
  }

  /** Keeps which images are admitted, where the policy may freeze and they changed. @throws FILE_UNREADABLE */
  async save(admitted: readonly Closure[], { hash, expiresAt, onExpiry }: Policy): Promise<void> {
    if (expiresAt === undefined || onExpiry !== 'freeze') return;
    const all = admitted.map(({ reference, target }) => formatReference({ ...reference, digest: target.digest }));
    const names = new Set(all.sort().slice(0, ADMITTED_MAX));
    if (hash === this.#hash && names.size === this.#names.size && [...names].every(name => this.#names.has(name)))
      return;
    await this.#keep.write(Buffer.from(JSON.stringify({ version: VERSION, policy: hash, images: [...names] })));
    this.#hash = hash;
    this.#names = names;
  }
}

interface File {
  readonly hash: string;
  readonly names: ReadonlySet<string>;
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
      names: new Set(file.images.map(name => formatReference(parseReference(String(name))))),
    };
  } catch (error) {
    if (error instanceof MirrorError && error.code === 'STATE_NEWER') throw error;
    const { message } = asMirrorError(error, 'STATE_INVALID', 'not read');
    throw new MirrorError('STATE_INVALID', `the file of admitted images is damaged: remove it (${message})`);
  }
}
