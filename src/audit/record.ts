/**
 * One record as one line. Promises: a record has exactly one spelling, no character in it steers a terminal, and its
 * length is bounded. Refuses to know when records are written. Spec: FORMAT.md, "Lines" and "Fields".
 */
import { assert, MirrorError } from '../errors.ts';
import type { Event } from './audit.ts';

/** The most bytes of a line, its newline included. */
export const LINE_MAX_BYTES = 64 << 10;
/** The highest number that a log is gone on from: what comes after it must be a safe number, too. */
const RECORD_MAX = 2 ** 52;
/** The most UTF-16 code units of a string. */
const STRING_MAX_UNITS = 1024;
const CUT = '…';
const STEERING = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** What stands in every record beside the event. */
export interface Envelope {
  readonly record: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly self: string;
  readonly policy: string;
}

const escapeUnits = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`,
  ).join('');

function spell(value: unknown, key: string): string {
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    assert(Number.isSafeInteger(value), `the audit fact ${key} is ${value}, not a safe whole number`);
    // The string of minus zero is 0, as JSON has it.
    return String(value);
  }
  assert(typeof value === 'string', `the audit fact ${key} is of type ${typeof value}`);
  const text = value.length > STRING_MAX_UNITS ? value.slice(0, STRING_MAX_UNITS) + CUT : value;
  return JSON.stringify(text).replace(STEERING, escapeUnits);
}

/** The line of a record, newline included. */
export function formatRecord({ time, ...envelope }: Envelope, event: Event): string {
  const facts: Record<string, unknown> = { ...event, ...envelope, time: new Date(time).toISOString() };
  const members = Object.keys(facts)
    .filter(key => facts[key] !== undefined)
    .sort()
    .map(key => `${JSON.stringify(key)}:${spell(facts[key], key)}`);
  const line = `{${members.join(',')}}\n`;
  assert(Buffer.byteLength(line) <= LINE_MAX_BYTES, `an audit record of ${line.length} characters`);
  return line;
}

/** Where an existing log ends: the number of its last record (0 where it has none), and whether a line is half-written. */
export interface End {
  readonly record: number;
  readonly torn: boolean;
}

/** What a power cut leaves of a line that was not yet on the disk: nothing, its beginning, or zeros. */
const REST = /^(?:\{(?:.*[^}])?)?\0*$/s;

/** Reads the last bytes of a log, whose start may lie anywhere. @throws STATE_INVALID where they are not of an audit log */
export function endOf(tail: Uint8Array): End {
  const lines = Buffer.from(tail).toString().split('\n');
  const torn = lines.pop() !== '';
  for (const line of lines.reverse()) {
    const record = numberOf(line);
    if (record !== undefined) return { record, torn };
  }
  if (lines.some(line => !REST.test(line)))
    throw new MirrorError(
      'STATE_INVALID',
      'the end of the audit log is no audit log: move the file away and start again',
    );
  return { record: 0, torn };
}

function numberOf(line: string): number | undefined {
  try {
    const { record } = JSON.parse(line) as { record?: unknown };
    return Number.isSafeInteger(record) && Number(record) > 0 && Number(record) <= RECORD_MAX
      ? Number(record)
      : undefined;
  } catch {
    return undefined;
  }
}
