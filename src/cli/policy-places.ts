/** Where things stand in a policy: rules with their patterns, and lock files with their pins. Pure. */
import type { Registry, Repository } from '../oci/oci.ts';
import type { FiledRule } from '../policy/parse-rules.ts';
import { parsePattern, Patterns } from '../policy/patterns.ts';
import { parsePins, type Pins } from '../policy/pins.ts';
import type { PolicyOnDisk } from './policy-on-disk.ts';

/** A pattern with the rule in which it stands. */
export interface Place {
  readonly pattern: string;
  readonly rule: string;
}

/** Each rule once, with all its patterns, in the order of the file. */
export function rulesIn({ document }: PolicyOnDisk): readonly { rule: FiledRule; patterns: readonly string[] }[] {
  const rules = new Map<string, { rule: FiledRule; patterns: string[] }>();
  for (const rule of document.book.list) {
    const known = rules.get(rule.name);
    if (known) known.patterns.push(rule.pattern);
    else rules.set(rule.name, { rule, patterns: [rule.pattern] });
  }
  return [...rules.values()];
}

/** Each lock file that a rule or the defaults name, in the order of the file. */
export function locksIn({ document: { book }, files }: PolicyOnDisk): ReadonlyMap<string, Pins> {
  const names = new Set([book.defaults, ...book.list].flatMap(({ pinFiles }) => pinFiles));
  return new Map([...names].map(name => [name, parsePins(files.get(name) ?? new Uint8Array(), name).pins]));
}

/** The places whose patterns match a repository, the one that decides first. */
export function placesFor(places: readonly Place[], registry: Registry, repository: Repository): readonly Place[] {
  let left = places.map(value => ({ pattern: parsePattern(value.pattern), value }));
  for (const found: Place[] = []; ; ) {
    const next = new Patterns(left).find(registry, repository);
    if (!next) return found;
    found.push(next.value);
    left = left.filter(({ value }) => value !== next.value);
  }
}
