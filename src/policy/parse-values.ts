/**
 * The words of a policy that stand in several places: names, files, times, spans, sizes. Promises: one spelling each, and
 * whatever else is written is refused with its place. Refuses to know what they are for. Spec: POLICY.md.
 */
import { MirrorError } from '../errors.ts';
import type { Registry } from '../oci/oci.ts';
import type { Fields } from '../yaml.ts';
import { type Pattern, parsePattern } from './patterns.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SPANS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: HOUR_MS, d: DAY_MS };
const SIZES: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
/** The longest name of a file, in characters, and the longest text for people. */
const FILE_MAX = 255;
const TEXT_MAX = 256;

const NAME = /^[a-z0-9._-]{1,64}$/;
const FILE = /^[A-Za-z0-9._][A-Za-z0-9._+@-]*(?:\/[A-Za-z0-9._+@-]+)*$/;
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z$/;
const PRINTABLE = /^[^\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]+$/u;

/** True for text that shows as it is, on one line. */
export const isPrintable = (text: string): boolean => PRINTABLE.test(text);

/** A name of a rule, an authority or a trust root. */
export const isName = (text: string): boolean => NAME.test(text);

/** A name under `key`. */
export function readName(fields: Fields, key: string): string {
  const name = fields.string(key);
  return isName(name) ? name : fields.fail(key, 'must be 1 to 64 of a-z 0-9 . _ -');
}

/** True for a file's name, relative to the policy, that shows in a list of checksums as it is. */
export const isFile = (text: string): boolean => text.length <= FILE_MAX && FILE.test(text);

/** The name of a file under `key`. */
export function readFile(fields: Fields, key: string): string {
  const file = fields.string(key);
  return isFile(file) ? file : fields.fail(key, 'must be a path relative to this file, of A-Z a-z 0-9 . _ + @ - /');
}

/** One line for people, or text that is compared as it is. */
export function readText(fields: Fields, key: string, longest = TEXT_MAX): string {
  const text = fields.string(key);
  if (text.length > longest || !isPrintable(text))
    fields.fail(key, `must be one line of at most ${longest} characters`);
  return text;
}

/** A time in ms since 1970; undefined where it is missing. */
export function readTime(fields: Fields, key: string): number | undefined {
  const text = fields.string(key, undefined);
  if (text === undefined) return undefined;
  const ms = TIME.test(text) ? Date.parse(text) : Number.NaN;
  // What rolled over, as 30 February does, is not the time that was written.
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 19) !== text.slice(0, 19))
    fields.fail(key, 'must be a time in UTC such as 2026-11-20T00:00:00Z');
  return ms;
}

/** A span of time in ms; undefined where it is missing. */
export function readSpan(fields: Fields, key: string, range: { min: number; max: number }): number | undefined {
  const text = fields.string(key, undefined);
  if (text === undefined) return undefined;
  const [, count, unit = ''] = /^([1-9][0-9]{0,8})([smhd])$/.exec(text) ?? [];
  const ms = Number(count) * (SPANS[unit] ?? Number.NaN);
  if (!(ms >= range.min && ms <= range.max))
    fields.fail(key, `must be a time from ${range.min / HOUR_MS}h to ${range.max / DAY_MS}d, such as 7d`);
  return ms;
}

/** A size in bytes; undefined where it is missing. */
export function readSize(fields: Fields, key: string): number | undefined {
  const text = fields.string(key, undefined);
  if (text === undefined) return undefined;
  const [, count, unit = ''] = /^([1-9][0-9]{0,5})(KiB|MiB|GiB|TiB)$/.exec(text) ?? [];
  const bytes = Number(count) * (SIZES[unit] ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : fields.fail(key, 'must be a size such as 512MiB or 8GiB');
}

/** One of `choices`. */
export function readChoice<T extends string>(fields: Fields, key: string, choices: readonly T[], otherwise: T): T {
  const value = fields.take(key) ?? otherwise;
  return (
    choices.find(choice => choice === value) ?? fields.fail(key, `must be ${choices.map(c => `\`${c}\``).join(' or ')}`)
  );
}

/** A list under `key` of 1 to `most` different strings. */
export function readSet(fields: Fields, key: string, most: number): readonly string[] {
  const values = fields.strings(key);
  if (values.length < 1 || values.length > most) fields.fail(key, `must have 1 to ${most} entries`);
  const twice = values.find((value, at) => values.indexOf(value) !== at);
  return twice === undefined ? values : fields.fail(key, `${twice} stands twice`);
}

/** A pattern that is written with a host: with an alias it would never match. @throws POLICY_INVALID */
export function readPattern(text: string, hosts: ReadonlyMap<string, Registry>): Pattern {
  const pattern = parsePattern(text);
  const host = pattern.registry === undefined ? undefined : hosts.get(pattern.registry);
  if (host !== undefined && host !== pattern.registry)
    throw new MirrorError('POLICY_INVALID', `${pattern.registry} is an alias: write ${host}`);
  return pattern;
}
