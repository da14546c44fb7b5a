/**
 * The one strict reader of YAML. Promises: 1.2 only, no duplicate keys, no aliases, no tags, warnings are errors, a
 * bounded size; errors name the file and the line, or the path inside it. Refuses to know what the keys mean: a `Fields` reader hands
 * values out by type and, at `end()`, refuses every key that nobody asked for.
 */
import { isAlias, isMap, isScalar, LineCounter, type Node, parseDocument, visit, type YAMLMap } from 'yaml';
import { type Code, MirrorError } from './errors.ts';

/** The largest file that is read as YAML. */
export const YAML_MAX_BYTES = 1 << 20;

/** Parses `text` of `file` to plain data. @throws YAML_INVALID */
export function parseYaml(text: string, file: string): unknown {
  if (Buffer.byteLength(text) > YAML_MAX_BYTES)
    throw new MirrorError('YAML_INVALID', `${file}: larger than ${YAML_MAX_BYTES} bytes`);
  const lines = new LineCounter();
  const refuse = (node: unknown, what: string): never => {
    const [start = 0] = (node as Partial<Node> | undefined)?.range ?? [];
    throw new MirrorError('YAML_INVALID', `${file}: ${what} at line ${lines.linePos(start).line}`);
  };
  const document = parseDocument(text, {
    lineCounter: lines,
    version: '1.2',
    strict: true,
    // Looked at below: the library compares each key with all others.
    uniqueKeys: false,
    schema: 'core',
  });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem?.code === 'MULTIPLE_DOCS') refuse({ range: problem.pos }, 'another document begins');
  if (problem) throw new MirrorError('YAML_INVALID', `${file}: ${problem.message.split('\n')[0]?.replace(/:$/, '')}`);
  visit(document, {
    Node: (_, node) => {
      if (isAlias(node)) refuse(node, `the alias *${node.source} is not allowed`);
      const { tag } = node as { readonly tag?: string };
      if (tag !== undefined) refuse(node, `the tag ${tag} is not allowed`);
      // Here and not in `Map`, which would be called in place of this.
      if (isMap(node)) refuseTwice(node, refuse);
    },
    Pair: (_, { key }) => {
      // Keys become strings, where 1 and "1" would be one.
      if (!isScalar(key) || typeof key.value !== 'string')
        refuse(key, `the key ${String(key)} is not a string: quote it`);
    },
  });
  try {
    return document.toJS({ maxAliasCount: 0 }) as unknown;
  } catch (error) {
    throw new MirrorError('YAML_INVALID', `${file}: ${(error as Error).message}`, { cause: error });
  }
}

function refuseTwice({ items }: YAMLMap, refuse: (node: unknown, what: string) => never): void {
  const seen = new Set<unknown>();
  for (const { key } of items) {
    const name = isScalar(key) ? key.value : key;
    if (seen.has(name)) refuse(key, `the key ${String(name)} stands twice`);
    seen.add(name);
  }
}

/** Reads a mapping field by field; whatever is not asked for is an error that names its path. */
export class Fields {
  readonly #value: Map<string, unknown>;
  readonly #where: string;
  readonly #code: Code;

  /** @throws `code` when `value` is no mapping; `where` is the file and path for messages. */
  constructor(value: unknown, where: string, code: Code) {
    this.#where = where;
    this.#code = code;
    if (value === null || typeof value !== 'object' || Array.isArray(value)) this.fail('', 'must be a mapping');
    this.#value = new Map(Object.entries(value as Record<string, unknown>));
  }

  /** Refuses the field `key`. @throws the reader's code */
  fail(key: string, what: string): never {
    const place = this.#at(key);
    throw new MirrorError(this.#code, `${place}${place.endsWith(': ') ? '' : ': '}${what}`);
  }

  /** The file and the path of `key`. */
  #at(key: string): string {
    return `${this.#where}${key && `${this.#where.endsWith(': ') ? '' : '.'}${key}`}`;
  }

  /** Runs `parse`; whatever it refuses is told as the fault of `key`. @throws the reader's code */
  parse<T>(key: string, parse: () => T): T {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
      return this.fail(key, error.message);
    }
  }

  /** The keys not yet taken, for mappings whose keys are data. */
  keys(): string[] {
    return [...this.#value.keys()];
  }

  /** Takes `key` whatever it is; undefined where it is missing. */
  take(key: string): unknown {
    const value = this.#value.get(key);
    this.#value.delete(key);
    return value;
  }

  string(key: string): string;
  string<D>(key: string, otherwise: D): string | D;
  string(key: string, ...otherwise: unknown[]): unknown {
    const value = this.take(key);
    if (value === undefined && otherwise.length) return otherwise[0];
    if (typeof value !== 'string' || value === '') this.fail(key, 'must be a non-empty string');
    return value;
  }

  /** A whole number from `min` to `max`, both included. */
  integer(key: string, range: { min: number; max: number }, otherwise?: number): number {
    const value = this.take(key);
    if (value === undefined && otherwise !== undefined) return otherwise;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < range.min || value > range.max)
      this.fail(key, `must be a whole number from ${range.min} to ${range.max}`);
    return value as number;
  }

  boolean(key: string, otherwise: boolean): boolean {
    const value = this.take(key) ?? otherwise;
    if (typeof value !== 'boolean') this.fail(key, 'must be true or false');
    return value as boolean;
  }

  /** A list of non-empty strings. */
  strings(key: string, otherwise?: string[]): string[] {
    const value = this.take(key) ?? otherwise;
    if (!Array.isArray(value) || value.some(item => typeof item !== 'string' || item === ''))
      this.fail(key, 'must be a list of strings');
    return value as string[];
  }

  /** A nested mapping, or undefined where it is missing. */
  fields(key: string): Fields | undefined {
    const value = this.take(key);
    return value === undefined ? undefined : this.nested(key, value);
  }

  /** A reader for `value`, which stood at `key`. */
  nested(key: string, value: unknown): Fields {
    return new Fields(value, this.#at(key), this.#code);
  }

  /** A list of mappings, at most `most`; empty where it is missing. */
  list(key: string, most: number): Fields[] {
    const value = this.take(key) ?? [];
    if (!Array.isArray(value)) return this.fail(key, 'must be a list');
    if (value.length > most) this.fail(key, `must have at most ${most} entries`);
    return value.map((item, at) => this.nested(`${key}[${at}]`, item));
  }

  /** Refuses what is left. @throws the reader's code */
  end(): void {
    const [key] = this.#value.keys();
    if (key !== undefined) this.fail(key, 'is not a known key');
  }
}
