/**
 * README's table of limits, as text and numbers. Promises: what a try is given comes from README alone, so that a number
 * there cannot differ from what the product does. Refuses to know the constants in src.
 */
import assert from 'node:assert/strict';
import { type Code, hasCode } from '../../src/errors.ts';

/** One row: what is limited, how many, and what happens beyond. */
export interface Row {
  readonly id: string;
  /** The numbers of "how many", in order: bytes, milliseconds or a count each. */
  readonly numbers: readonly [number, number, number, number, ...number[]];
  readonly howMany: string;
  /** The codes that "beyond it" names, in order. */
  readonly codes: readonly [Code, ...Code[]];
  readonly beyond: string;
}

/** Pushes the product to a limit, and one beyond; answers where both went as the row says. */
export type Try = (row: Row) => void | Promise<void>;
export type Tries = Readonly<Record<string, Try>>;

const UNITS: Readonly<Record<string, number>> = {
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  days: 86_400_000,
  '%': 0.01,
};
const ROW = /^\| `([a-z][a-z-]*)` [^|]* \| ([^|]*) \| ([^|]*) \|$/;

/** The rows below the heading `### Limits` of a README, up to the next heading. */
export function limitsIn(readme: string): readonly Row[] {
  const [, section = ''] = readme.split('\n### Limits\n');
  return section
    .split(/^## /m)[0]!
    .split('\n')
    .flatMap(line => {
      const [, id, howMany = '', beyond = ''] = ROW.exec(line) ?? [];
      if (id === undefined) return [];
      const numbers = [...howMany.matchAll(/(\d[\d,]*)(?: ?(KiB|MiB|GiB|ms|s|min|h|days|%)(?![a-z]))?/g)].map(
        ([, digits = '', unit]) => Number(digits.replaceAll(',', '')) * (unit ? UNITS[unit]! : 1),
      );
      const codes = [...beyond.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code as Code);
      return [{ id, howMany, beyond, numbers, codes } as unknown as Row];
    });
}

/** True for an error of that code. */
export const is = (code: Code) => (error: unknown) => hasCode(error, code);

/** Does `work`, and it must be refused with the code. */
export const refused = (code: Code, work: () => unknown): void => assert.throws(work, is(code));
