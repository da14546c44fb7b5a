/**
 * How this room says no to a candidate. Promises: two codes only, and what a library throws never leaves it: whatever its
 * class, it is a refusal. Refuses to quote what a stranger wrote but for short printable text.
 */
import { MirrorError } from '../errors.ts';

const QUOTED_CHARACTERS = 200;

/** What cannot be read as a signature at all. */
export const malformed = (why: string): MirrorError => new MirrorError('BUNDLE_INVALID', why);

/** What can be read, and does not hold. */
export const untrusted = (why: string): MirrorError => new MirrorError('SIGNATURE_UNTRUSTED', why);

/** Foreign text for people: short, quoted, without control characters. */
export const quoted = (text: string): string =>
  JSON.stringify(text.slice(0, QUOTED_CHARACTERS)).replaceAll(/[^\u0020-\u007e]/g, '?');

/** What `work` answers. What it throws and is not ours becomes what `refuse` makes of its code or name. @throws MirrorError */
export function refusing<T>(refuse: (why: string) => MirrorError, what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof MirrorError) throw error;
    throw refuse(`${what}: ${nameOf(error)}`);
  }
}

/** A library's error by its code, else by its class: its text may quote the candidate. */
function nameOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return 'refused';
  const { code } = error as { code?: unknown };
  const word = typeof code === 'string' ? code : error.constructor?.name;
  return typeof word === 'string' && /^\w{1,64}$/.test(word) ? word : 'refused';
}
