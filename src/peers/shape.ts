/** Small readers of parsed JSON from peers. Promises: what comes out has the type that was asked for; all else is STATEMENT_INVALID. */
import { MirrorError } from '../errors.ts';

const fail = (what: string): never => {
  throw new MirrorError('STATEMENT_INVALID', what);
};

/** A whole number from 0 to 2^53-1. @throws STATEMENT_INVALID */
export function count(value: unknown, what: string): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
    ? value
    : fail(`${what} is not a whole number`);
}

/** A list of at most `most` items. @throws STATEMENT_INVALID */
export function list(value: unknown, most: number, what: string): readonly unknown[] {
  return Array.isArray(value) && value.length <= most ? value : fail(`${what} is not a list of at most ${most}`);
}

/** A list of exactly `length` items. @throws STATEMENT_INVALID */
export function tuple(value: unknown, length: number, what: string): readonly unknown[] {
  return Array.isArray(value) && value.length === length ? value : fail(`${what} has not ${length} parts`);
}

/** A string. @throws STATEMENT_INVALID */
export function string(value: unknown, what: string): string {
  return typeof value === 'string' ? value : fail(`${what} is not a string`);
}

/** A JSON object; unknown keys are found by the caller, who encodes again what was read. */
export class Shape {
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #what: string;

  /** @throws STATEMENT_INVALID */
  constructor(value: unknown, what: string) {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) fail(`${what} is not an object`);
    this.#value = value as Record<string, unknown>;
    this.#what = what;
  }

  take(key: string): unknown {
    return Object.hasOwn(this.#value, key) ? this.#value[key] : undefined;
  }

  count(key: string): number {
    return count(this.take(key), `${this.#what}.${key}`);
  }

  string(key: string): string {
    return string(this.take(key), `${this.#what}.${key}`);
  }

  list(key: string, most: number): readonly unknown[] {
    return list(this.take(key), most, `${this.#what}.${key}`);
  }
}
