/**
 * fast-check for the fuzz suite. Promises: nothing is printed where all holds; a failure shows its seed, with which it can
 * be run again (`FUZZ_SEED=… node --test …`); `FUZZ_RUNS` asks for more runs. Knows how hostile bytes are made of good
 * ones. Refuses to know what is parsed.
 */
import assert from 'node:assert/strict';
import { after } from 'node:test';
import fc from 'fast-check';
import { MirrorError } from '../../src/errors.ts';

/** Runs of a property unless FUZZ_RUNS says otherwise. */
const RUNS = 2000;
/** Milliseconds after which a property is left, whatever its runs. */
const LIMIT_MS = 20_000;
/** Milliseconds of processor time for one hostile input; a good one takes a thousandth of that. */
const COST_MS = 1_000;
/** Memory of the whole process, in KiB; without any input it has some 130 MiB. */
const MEMORY_KIB = 600 << 10;

function parameters<Ts>(runs: number): fc.Parameters<Ts> {
  const { FUZZ_SEED } = process.env;
  const factor = Number(process.env.FUZZ_RUNS ?? RUNS) / RUNS;
  return {
    ...(FUZZ_SEED === undefined ? {} : { seed: Number(FUZZ_SEED) }),
    numRuns: Math.ceil(runs * factor),
    interruptAfterTimeLimit: Math.ceil(LIMIT_MS * Math.max(1, factor)),
  };
}

/** Runs a property. @throws where it does not hold, with the seed */
export function fuzz<Ts>(property: fc.IPropertyWithHooks<Ts> | fc.IProperty<Ts>, runs = RUNS): void {
  fc.assert(property, parameters<Ts>(runs));
}

/** Runs a property that waits. @throws where it does not hold, with the seed */
export function fuzzAsync<Ts>(
  property: fc.IAsyncPropertyWithHooks<Ts> | fc.IAsyncProperty<Ts>,
  runs = RUNS,
): Promise<void> {
  return fc.assert(property, parameters<Ts>(runs));
}

/** Milliseconds of processor time that `work` takes: the same on a busy machine. */
export function cost(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** What `parse` answers; undefined where it refuses with a MirrorError. @throws for any other error, and for one that took long */
export function refusedOr<T>(parse: () => T): T | undefined {
  let value: T | undefined;
  const ms = cost(() => {
    try {
      value = parse();
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
    }
  });
  assert.ok(ms < COST_MS, `${ms} ms`);
  return value;
}

/** As `refusedOr`, of what takes turns of the event loop. */
export async function refusedOrLater<T>(parse: () => Promise<T>): Promise<T | undefined> {
  const before = process.cpuUsage();
  const value = await parse().catch((error: unknown) => {
    if (!(error instanceof MirrorError)) throw error;
    return undefined;
  });
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < COST_MS * 1000, `${(user + system) / 1000} ms`);
  return value;
}

/** To be called once by a file of fuzzers: whatever its inputs, the process stayed small. */
export function smallAtTheEnd(): void {
  after(() => {
    const { maxRSS } = process.resourceUsage();
    assert.ok(maxRSS < MEMORY_KIB, `the process had ${maxRSS} KiB`);
  });
}

type Change = (bytes: Buffer) => Buffer;

/** One change: a bit, a cut, a part twice or often, a part gone, other bytes in its place, or numbers that grow. */
const change: fc.Arbitrary<Change> = fc.oneof<fc.Arbitrary<Change>[]>(
  fc.tuple(fc.nat(), fc.nat(7)).map(([at, bit]) => (bytes: Buffer) => {
    if (bytes.length > 0) bytes[at % bytes.length]! ^= 1 << bit;
    return bytes;
  }),
  fc.nat().map(end => (bytes: Buffer) => bytes.subarray(0, end % (bytes.length + 1))),
  fc
    .tuple(fc.nat(), fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 50 }))
    .map(([at, length, times]) => (bytes: Buffer) => {
      const from = at % (bytes.length + 1);
      const part = bytes.subarray(from, from + length);
      return Buffer.concat([
        bytes.subarray(0, from),
        ...Array.from({ length: times }, () => part),
        bytes.subarray(from),
      ]);
    }),
  fc.tuple(fc.nat(), fc.nat(40), fc.uint8Array({ maxLength: 8 })).map(([at, gone, put]) => (bytes: Buffer) => {
    const from = at % (bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + gone)]);
  }),
  fc
    .tuple(fc.nat(), fc.constantFrom('9', '00', '-', '.5', 'e9', '9007199254740993', '1e999', '4294967295'))
    .map(([pick, by]) => (bytes: Buffer) => {
      const text = bytes.toString('latin1');
      const numbers = [...text.matchAll(/\d+/g)];
      const at = numbers[pick % Math.max(1, numbers.length)]?.index ?? 0;
      return Buffer.from(text.slice(0, at) + by + text.slice(at + 1), 'latin1');
    }),
);

/** Good bytes after one to three changes. */
export const spoilt = (...good: readonly Uint8Array[]): fc.Arbitrary<Buffer> =>
  fc
    .tuple(fc.constantFrom(...good), fc.array(change, { minLength: 1, maxLength: 3 }))
    .map(([bytes, changes]) => changes.reduce<Buffer>((sofar, one) => one(sofar), Buffer.from(bytes)));

/** Brackets or objects in each other, far deeper than anything that is written. */
export const deep = (levels: number): unknown =>
  JSON.parse(`${'[{"a":'.repeat(levels)}1${'}]'.repeat(levels)}`) as unknown;

/** What stands in the place of a value, or under a new key. */
const odd: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, '', [], {}, -1, 0, 1.5, 2 ** 53, 1e308, '__proto__', 'x'.repeat(2000), deep(60)),
  fc.constantFrom<unknown>(
    Array.from({ length: 300 }, () => 1),
    JSON.parse('{"__proto__":{"version":1}}') as unknown,
  ),
  fc.jsonValue({ maxDepth: 2 }),
  fc.maxSafeInteger(),
);
const keys = fc.constantFrom('__proto__', 'constructor', 'toString', 'length', 'extra', '');

type Place = readonly [holder: Record<string, unknown>, key: string];

/** Every place in a value of JSON where another value could stand. */
function placesIn(value: unknown): Place[] {
  if (value === null || typeof value !== 'object') return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap(key => [[holder, key] as const, ...placesIn(holder[key])]);
}

/** A good value of JSON with something in it replaced, gone, twice, or under a key of its own. */
export const twisted = (good: object): fc.Arbitrary<unknown> =>
  fc.tuple(fc.nat(), fc.constantFrom('replace', 'remove', 'twice', 'add'), odd, keys).map(([pick, how, value, key]) => {
    const copy = structuredClone(good);
    const places = placesIn(copy);
    const [holder, at] = places[pick % Math.max(1, places.length)] ?? [copy as Record<string, unknown>, key];
    const put = (where: object, name: string, what: unknown): void =>
      void Object.defineProperty(where, name, { value: what, enumerable: true, configurable: true, writable: true });
    if (how === 'replace') put(holder, at, value);
    else if (how === 'remove' && Array.isArray(holder)) holder.splice(Number(at), 1);
    else if (how === 'remove') delete holder[at];
    else if (how === 'twice' && Array.isArray(holder)) holder.push(...(holder as unknown[]));
    else put(Array.isArray(holder) ? copy : holder, key, value);
    return copy;
  });
