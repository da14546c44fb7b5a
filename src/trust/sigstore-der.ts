/**
 * How much work a certificate or timestamp is. The library's parser tries whether each OCTET STRING holds further objects,
 * and lets these reach beyond it: a few kilobytes can keep it busy for hours, as each try may try the rest again. Promises:
 * what passes here is parsed in so many steps; it takes the same steps, counts them, and builds nothing. Spec: X.690 (DER).
 */
import { malformed } from './sigstore-refusal.ts';

/** Objects in all certificates and timestamps of one candidate, tries included; a good certificate has some 150. */
export const OBJECTS_MAX = 8192;
const DEPTH_MAX = 100;
const LENGTH_BYTES_MAX = 6;
const FAILED = -1;
const OCTET_STRING = 0x04;
const CONSTRUCTED = 0x20;
const LONG_TAG = 0x1f;

/** Refuses parts that are not DER, or that the library's parser would need more than OBJECTS_MAX steps for. @throws BUNDLE_INVALID */
export function checkDer(parts: readonly Uint8Array[]): void {
  const steps = { left: OBJECTS_MAX };
  for (const bytes of parts)
    if (endOfObject(bytes, 0, 0, steps) !== bytes.length) throw malformed('a certificate or timestamp is not DER');
}

type Steps = { left: number };

/** Where the object at `at` ends; FAILED where there is none. @throws BUNDLE_INVALID where no steps are left */
function endOfObject(bytes: Uint8Array, at: number, depth: number, steps: Steps): number {
  if (steps.left-- <= 0) throw malformed('a certificate or timestamp has too many parts');
  const tag = bytes[at];
  if (tag === undefined || depth > DEPTH_MAX || tag === 0 || tag === CONSTRUCTED || (tag & LONG_TAG) === LONG_TAG)
    return FAILED;
  const { start, length } = lengthAt(bytes, at + 1);
  const end = start + length;
  if (length === FAILED || end > bytes.length) return FAILED;
  const holds = (): boolean => endOfObjects(bytes, start, end, depth + 1, steps) === end;
  if ((tag & CONSTRUCTED) !== 0) return holds() ? end : FAILED;
  if (tag === OCTET_STRING) holds();
  return end;
}

function endOfObjects(bytes: Uint8Array, start: number, end: number, depth: number, steps: Steps): number {
  let at = start;
  while (at !== FAILED && at < end) at = endOfObject(bytes, at, depth, steps);
  return at;
}

function lengthAt(bytes: Uint8Array, at: number): { start: number; length: number } {
  const first = bytes[at] ?? 0xff;
  if (first < 0x80) return { start: at + 1, length: first };
  const count = first & 0x7f;
  const start = at + 1 + count;
  if (count === 0 || count > LENGTH_BYTES_MAX || bytes[at + 1] === 0 || start > bytes.length)
    return { start, length: FAILED };
  const length = bytes.subarray(at + 1, start).reduce((sum, byte) => sum * 256 + byte, 0);
  return { start, length: length < 0x80 ? FAILED : length };
}
