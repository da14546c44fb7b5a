/**
 * Conditions on the predicate of an attestation. Promises: looks only at what the predicate itself has, compares without
 * conversion. Refuses to know what predicates mean. Spec: POLICY.md, "Rules"; RFC 6901.
 */
import type { Condition } from './policy.ts';

/** True where `predicate`, a value of JSON, fulfils each of `where`. */
export const fulfils = (predicate: unknown, where: readonly Condition[]): boolean =>
  where.every(condition => holds(at(predicate, condition.pointer), condition));

function holds(value: unknown, condition: Condition): boolean {
  if ('exists' in condition) return (value !== undefined) === condition.exists;
  if ('in' in condition) return condition.in.some(one => one === value);
  if (typeof value !== 'number') return false;
  return 'min' in condition ? value >= condition.min : value <= condition.max;
}

/** What stands at `pointer`; undefined where nothing does. */
function at(value: unknown, pointer: string): unknown {
  let place = value;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof place !== 'object' || place === null) return undefined;
    if (Array.isArray(place) ? !/^(?:0|[1-9][0-9]{0,9})$/.test(key) : !Object.hasOwn(place, key)) return undefined;
    place = (place as Record<string, unknown>)[key];
  }
  return place;
}
