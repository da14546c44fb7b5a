/**
 * Patterns over repositories. Promises: which pattern decides does not depend on their order; nothing matches by accident,
 * as there are no wildcards but one whole final component. Spec: POLICY.md, "Patterns".
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { parseRegistry, parseRepository, type Registry, type Repository } from '../oci/oci.ts';

/** The most patterns in one list. */
export const PATTERNS_MAX = 10_000;

/** What follows the literal components: nothing, one component, or one and more. */
type Tail = '' | '*' | '**';

export interface Pattern {
  /** As written. */
  readonly text: string;
  /** Undefined in the pattern that matches everything. */
  readonly registry?: Registry;
  readonly components: readonly string[];
  readonly tail: Tail;
}

const isTail = (text: string | undefined): text is '*' | '**' => text === '*' || text === '**';

/** @throws POLICY_INVALID */
export function parsePattern(text: string): Pattern {
  if (text === '**') return { text, components: [], tail: '**' };
  const [host = '', ...components] = text.split('/');
  const last = components.at(-1);
  const tail: Tail = isTail(last) ? last : '';
  if (tail) components.pop();
  if (!tail && !components.length)
    return refuse(text, 'names no repository: write registry/** for all of one registry');
  try {
    if (components.length) parseRepository(components.join('/'));
    return { text, registry: parseRegistry(host), components, tail };
  } catch (error) {
    return refuse(text, asMirrorError(error, 'POLICY_INVALID', 'it').message);
  }
}

function refuse(text: string, why: string): never {
  throw new MirrorError('POLICY_INVALID', `the pattern ${JSON.stringify(text.slice(0, 300))}: ${why}`);
}

function matches(pattern: Pattern, registry: Registry, repository: readonly string[]): boolean {
  if (pattern.registry === undefined) return true;
  const more = repository.length - pattern.components.length;
  if (pattern.registry !== registry || !pattern.components.every((part, i) => part === repository[i])) return false;
  return pattern.tail === '' ? more === 0 : pattern.tail === '*' ? more === 1 : more >= 1;
}

/** Literal components first, then how narrow the tail is. */
const weight = (pattern: Pattern): number =>
  (pattern.registry === undefined ? 0 : 1 + pattern.components.length) * 3 + { '': 2, '*': 1, '**': 0 }[pattern.tail];

/** A list of patterns, each with what it stands for. */
export class Patterns<T> {
  readonly #rules: readonly { readonly pattern: Pattern; readonly value: T }[];

  /** @throws POLICY_INVALID where two patterns are equal or there are too many */
  constructor(rules: readonly { readonly pattern: Pattern; readonly value: T }[]) {
    if (rules.length > PATTERNS_MAX)
      throw new MirrorError('POLICY_INVALID', `more than ${PATTERNS_MAX} patterns in one list`);
    const seen = new Set<string>();
    for (const { pattern } of rules) {
      if (seen.has(pattern.text)) refuse(pattern.text, 'stands twice');
      seen.add(pattern.text);
    }
    this.#rules = rules.toSorted((a, b) => weight(b.pattern) - weight(a.pattern));
  }

  /** The rule that decides for a repository. */
  find(registry: Registry, repository: Repository): { readonly pattern: Pattern; readonly value: T } | undefined {
    const components = repository.split('/');
    return this.#rules.find(({ pattern }) => matches(pattern, registry, components));
  }
}
