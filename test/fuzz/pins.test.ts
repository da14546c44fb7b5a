/** Lock files against hostile bytes: read or refused by one code, in bounded time, and what is read is written the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import { formatPins, type LockFile, parsePins } from '../../src/policy/pins.ts';
import { fuzz, refusedOr, smallAtTheEnd, spoilt } from '../support/fuzz.ts';

const GOOD = Buffer.from(
  `pinnace-pins 1 serial 7\n${['a/x:1', 'a/x:2', 'a:1', 'b:1.0']
    .map((name, at) => `r.test/${name} sha256:${String(at).repeat(64)}${at % 2 ? ` # größer ${at}` : ''}\n`)
    .join('')}`,
);

function read(bytes: Uint8Array): LockFile | undefined {
  return refusedOr(() => {
    try {
      return parsePins(bytes, 'a.lock');
    } catch (error) {
      assert.ok(hasCode(error, 'PINS_INVALID'), String(error));
      throw error;
    }
  });
}

function sameAgain(bytes: Uint8Array): void {
  const lock = read(bytes);
  if (lock) assert.equal(formatPins(lock.serial, lock.pins.list), Buffer.from(bytes).toString());
}

void test('a good file is read', () => {
  assert.equal(read(GOOD)?.pins.list.length, 4);
  sameAgain(GOOD);
});

void test('any bytes are refused by code, or are a lock file to the letter', () => {
  const text = fc.string({ unit: fc.constantFrom(...'r.test/a:1 #\n@0'.split('')) });
  fuzz(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        text.map(all => Buffer.from(`pinnace-pins 1 serial 7\n${all}`)),
      ),
      sameAgain,
    ),
  );
});

void test('a good file, spoilt anywhere, is refused by code, or is a lock file to the letter', () => {
  fuzz(fc.property(spoilt(GOOD), sameAgain));
});

void test('files of one endless line, or of nothing but line feeds, are judged in time', () => {
  const head = 'pinnace-pins 1 serial 7\n';
  for (const rest of [
    'a'.repeat(8 << 20),
    '\n'.repeat(8 << 20),
    ' # '.repeat(2 << 20),
    `r.test/a:1 ${'0'.repeat(8 << 20)}\n`,
  ])
    assert.equal(read(Buffer.from(head + rest)), undefined);
  assert.equal(read(Buffer.from(`pinnace-pins 1 serial ${'1'.repeat(8 << 20)}\n`)), undefined);
});

smallAtTheEnd();
