/**
 * Patterns over the subject of a certificate. Promises: the whole subject or nothing, and an answer in bounded time, as a
 * pattern that could try too many ways is refused when it is read. Refuses to know certificates. Spec: POLICY.md,
 * "Authorities".
 */
import { MirrorError } from '../errors.ts';

/** The longest pattern, and the longest subject that can match one, in characters. */
export const PATTERN_MAX = 512;
export const SUBJECT_MAX = 512;
/** The most ways in which a pattern may try a subject; each may look at the whole of it. */
const WAYS_MAX = 2 ** 20;

const PART =
  /(?<group>\((?:\?:)?)|(?<close>\))|(?<repeat>[*+?]|\{[0-9]{1,3}(?:,[0-9]{0,3})?\})|(?<or>\|)|(?<atom>\[(?:\\[dwDWsS[\]\\^$.*+?(){}|/-]|[^\]\\])+\]|\\[dwDWsS[\]\\^$.*+?(){}|/]|[^\\()[\]{}*+?|^$])/gy;

type Kind = 'group' | 'close' | 'repeat' | 'or' | 'atom';
interface Part {
  readonly kind: Kind;
  readonly text: string;
}

/** The expression that `text` says, for whole subjects. @throws POLICY_INVALID */
export function parseSubjectPattern(text: string): RegExp {
  if (text.length > PATTERN_MAX) refuse(`longer than ${PATTERN_MAX} characters`);
  const parts = split(text);
  if (parts.reduce((ways, _, at) => ways * waysOf(parts, at), 1) > WAYS_MAX)
    refuse('could try a subject in too many ways: write out what stands between the wildcards');
  try {
    return new RegExp(`^(?=[^\\r\\n\\u2028\\u2029]{1,${SUBJECT_MAX}}$)(?:${text})$`, 'u');
  } catch {
    return refuse('is no regular expression');
  }
}

function refuse(why: string): never {
  throw new MirrorError('POLICY_INVALID', `the pattern of a subject ${why}`);
}

/** @throws POLICY_INVALID for what is not of the few parts that a pattern may have */
function split(text: string): readonly Part[] {
  const parts: Part[] = [];
  /** For each open group: nothing in it repeats or branches so far. */
  const simple = [true];
  let closed = true;
  let end = 0;
  for (const { 0: part, index, groups } of text.matchAll(PART)) {
    end = index + part.length;
    const kind = (Object.keys(groups!) as Kind[]).find(key => groups![key] !== undefined)!;
    const before = parts.at(-1)?.kind;
    if (kind === 'repeat' && before !== 'atom' && before !== 'close') refuse('repeats nothing, or twice');
    if (kind === 'repeat' && before === 'close' && !closed) refuse('repeats what repeats or branches itself');
    if (kind === 'group') simple.push(true);
    if (kind === 'close') {
      if (simple.length < 2) refuse('closes a group that is not open');
      closed = simple.pop()!;
    }
    if (kind === 'repeat' || kind === 'or' || (kind === 'close' && !closed)) simple[simple.length - 1] = false;
    parts.push({ kind, text: part });
  }
  if (simple.length > 1) refuse('leaves a group open');
  if (end !== text.length) refuse(`has at ${end} what it may not have: ${JSON.stringify(text.slice(end, end + 10))}`);
  return parts;
}

/** In how many ways the part at `at` can be taken. */
function waysOf(parts: readonly Part[], at: number): number {
  const { kind, text } = parts[at]!;
  if (kind === 'or') return 2;
  if (kind !== 'repeat' || /^\{[0-9]+\}$/.test(text)) return 1;
  if (ends(parts, at)) return 1;
  return text === '?' ? 2 : SUBJECT_MAX;
}

/** True where what follows the repetition cannot be one more of what it repeats, so that it can end in one place only. */
function ends(parts: readonly Part[], at: number): boolean {
  const [atom, next, after] = [parts[at - 1]!, parts[at + 1], parts[at + 2]];
  if (!next) return true;
  if (atom.kind !== 'atom' || next.kind !== 'atom' || after?.kind === 'repeat') return false;
  const literal = /^\\[^dwDWsS]$/.test(next.text) ? next.text.slice(1) : next.text;
  if (literal.length !== 1 || (literal === '.' && next.text === '.')) return false;
  try {
    return !new RegExp(`^${atom.text}$`, 'u').test(literal);
  } catch {
    return false;
  }
}
