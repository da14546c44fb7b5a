/**
 * Patterns over repositories. Promises: which pattern decides does not depend on their order; nothing matches by accident,
 * as there are no wildcards but one whole final component; thousands are no slower than one. Spec: POLICY.md, "Which rule
 * decides".
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

interface Found<T> {
  readonly pattern: Pattern;
  readonly value: T;
}

/** A list of patterns, each with what it stands for. */
export class Patterns<T> {
  /** By text: a name has few patterns that could match it, and they are looked up, the narrowest first. */
  readonly #rules = new Map<string, Found<T>>();

  /** @throws POLICY_INVALID where two patterns are equal or there are too many */
  constructor(rules: readonly Found<T>[]) {
    if (rules.length > PATTERNS_MAX)
      throw new MirrorError('POLICY_INVALID', `more than ${PATTERNS_MAX} patterns in one list`);
    for (const rule of rules) {
      const { text } = rule.pattern;
      if (this.#rules.has(text)) refuse(text, 'stands twice');
      this.#rules.set(text, rule);
    }
  }

  /** The rule that decides for a repository. */
  find(registry: Registry, repository: Repository): Found<T> | undefined {
    const name = `${registry}/${repository}`;
    const parent = name.slice(0, name.lastIndexOf('/'));
    return this.#rules.get(name) ?? this.#rules.get(`${parent}/*`) ?? this.#deep(parent);
  }

  /** The narrowest of those that match all that `pattern` matches, itself included. */
  covering({ text, tail }: Pattern): Found<T> | undefined {
    const parent = text.slice(0, Math.max(0, text.lastIndexOf('/')));
    const own = this.#rules.get(text);
    return own ?? (tail === '' ? this.#rules.get(`${parent}/*`) : undefined) ?? this.#deep(parent);
  }

  #deep(prefix: string): Found<T> | undefined {
    for (let end = prefix.length; end > 0; end = prefix.lastIndexOf('/', end - 1)) {
      const found = this.#rules.get(`${prefix.slice(0, end)}/**`);
      if (found) return found;
    }
    return this.#rules.get('**');
  }
}
