/** Lock files: sorted, each reference once, and what is written is what is read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import type { Digest } from '../../src/oci/oci.ts';
import { formatPins, parsePins, type Pin, Pins, PINS_MAX_BYTES } from '../../src/policy/pins.ts';
import { cost } from '../support/fuzz.ts';
import { D1, D2 } from './ground.ts';

const parse = (text: string) => parsePins(Buffer.from(text), 'a.lock');
const HEAD = 'pinnace-pins 1 serial 7\n';
const pin = (reference: string, digest: Digest = D1, note = ''): Pin => ({ reference, digest, note });

void test('a lock file says its serial, and a digest and a note for each reference', () => {
  const { serial, pins } = parse(`${HEAD}r.test/a:1 ${D1} # alice 2026-11-20 # again\nr.test/a:2 ${D2}\n`);
  assert.equal(serial, 7);
  assert.deepEqual(pins.list, [pin('r.test/a:1', D1, 'alice 2026-11-20 # again'), pin('r.test/a:2', D2)]);
  assert.deepEqual(
    [pins.find('r.test/a:2'), pins.find('r.test/a:3'), pins.find('r.test/a')],
    [D2, undefined, undefined],
  );
  assert.deepEqual(parse(HEAD).pins.list, []);
});

void test('the digests of a repository are its own, and not those of one whose name begins alike', () => {
  const names = [
    'r.test/a-b:1',
    'r.test/a.b:1',
    'r.test/a/b:1',
    'r.test/a:1',
    'r.test/a:2',
    'r.test/ab:1',
    'r.test:5000/a:1',
  ];
  const { pins } = parse(
    formatPins(
      1,
      names.map(name => pin(name, name.includes('/a:') ? D1 : D2)),
    ),
  );
  assert.deepEqual([...pins.of('r.test/a')], [D1]);
  assert.deepEqual([...pins.of('r.test/a/b')], [D2]);
  assert.deepEqual([...pins.of('r.test:5000/a')], [D1]);
});

void test('what is not a lock file to the letter is refused with its line', () => {
  for (const [text, line] of [
    ['', 1],
    ['\n', 1],
    ['pinnace-pins 1 serial 7', 1],
    ['pinnace-pins 2 serial 7\n', 1],
    ['pinnace-pins 1 serial 0\n', 1],
    ['pinnace-pins 1 serial 07\n', 1],
    ['pinnace-pins 1 serial 7 \n', 1],
    ['pinnace-pins 1 serial 7\r\n', 1],
    [`\ufeff${HEAD}`, 1],
    [`${HEAD}r.test/a:1 ${D1}`, 1],
    [`${HEAD}\n`, 2],
    [`${HEAD}# note\n`, 2],
    [`${HEAD}r.test/a:1 ${D1}\n\nr.test/b:1 ${D1}\n`, 3],
    [`${HEAD}r.test/b:1 ${D1}\nr.test/a:1 ${D1}\n`, 3],
    [`${HEAD}r.test/a:1 ${D1}\nr.test/a:1 ${D1}\n`, 3],
    [`${HEAD}r.test/a:1 ${D1}\nr.test/a:1 ${D2}\n`, 3],
    [`${HEAD}r.test/a ${D1}\n`, 2],
    [`${HEAD}a:1 ${D1}\n`, 2],
    [`${HEAD}r.test/a@${D1} ${D1}\n`, 2],
    [`${HEAD}R.test/a:1 ${D1}\n`, 2],
    [`${HEAD}r.test/a:1\n`, 2],
    [`${HEAD}r.test/a:1  ${D1}\n`, 2],
    [`${HEAD}r.test/a:1\t${D1}\n`, 2],
    [`${HEAD}r.test/a:1 ${D1} \n`, 2],
    [`${HEAD}r.test/a:1 ${D1}\r\n`, 2],
    [`${HEAD}r.test/a:1 sha256:1\n`, 2],
    [`${HEAD}r.test/a:1 ${D1.toUpperCase()}\n`, 2],
    [`${HEAD}r.test/a:1 ${D1} #\n`, 2],
    [`${HEAD}r.test/a:1 ${D1} # \n`, 2],
    [`${HEAD}r.test/a:1 ${D1} #  x\n`, 2],
    [`${HEAD}r.test/a:1 ${D1} # x \n`, 2],
    [`${HEAD}r.test/a:1 ${D1} # a\u0000b\n`, 2],
    [`${HEAD}r.test/a:1 ${D1} # a\u001b[2Jb\n`, 2],
    [`${HEAD}r.test/a:1 ${D1} # a\u202eb\n`, 2],
    [`${HEAD}r.test/a:1 ${D1} # ${'x'.repeat(513)}\n`, 2],
  ] as const)
    assert.throws(
      () => parse(text),
      error => hasCode(error, 'PINS_INVALID') && error.message.startsWith(`a.lock:${line}: `),
      JSON.stringify(text),
    );
  assert.throws(() => parsePins(Buffer.from([...Buffer.from(HEAD), 0xff, 0x0a]), 'a.lock'), { code: 'PINS_INVALID' });
  assert.throws(() => parsePins(Buffer.alloc(PINS_MAX_BYTES + 1), 'a.lock'), { code: 'PINS_INVALID' });
});

void test('parse ∘ format = identity, in whatever order pins are given', () => {
  const part = fc.constantFrom('a', 'b', 'a-b', 'a.b', 'a_b', '0');
  const reference = fc
    .tuple(fc.constantFrom('r.test', 'r.test:5000', 'q'), fc.array(part, { minLength: 1, maxLength: 3 }), part)
    .map(([host, parts, tag]) => `${host}/${parts.join('/')}:${tag}`);
  const note = fc.oneof(fc.constant(''), fc.constantFrom('alice', 'x # y', 'größer 3'));
  const pins = fc.uniqueArray(fc.tuple(reference, fc.constantFrom(D1, D2), note), { selector: ([name]) => name });
  fc.assert(
    fc.property(pins, fc.integer({ min: 1, max: 1e14 }), (list, serial) => {
      const text = formatPins(
        serial,
        list.map(one => pin(...one)),
      );
      const read = parse(text);
      assert.equal(formatPins(read.serial, read.pins.list), text);
      assert.equal(read.serial, serial);
      for (const [name, digest] of list) assert.equal(read.pins.find(name), digest);
    }),
  );
});

void test('nothing is written that could not be read', () => {
  assert.throws(() => formatPins(1, [pin('r.test/a:1'), pin('r.test/a:1', D2)]), { code: 'PINS_INVALID' });
  for (const note of [' x', 'x\ny', 'x'.repeat(513)])
    assert.throws(() => formatPins(1, [pin('r.test/a:1', D1, note)]), { code: 'PINS_INVALID' }, note);
});

void test('several files are one list, unless they differ', () => {
  const [one, two] = [
    Pins.sorted([pin('r.test/a:1'), pin('r.test/c:1')]),
    Pins.sorted([pin('r.test/b:1'), pin('r.test/c:1')]),
  ];
  assert.deepEqual(
    Pins.of([one, two]).list.map(({ reference }) => reference),
    ['r.test/a:1', 'r.test/b:1', 'r.test/c:1'],
  );
  assert.throws(() => Pins.of([one, Pins.sorted([pin('r.test/c:1', D2)])]), { code: 'PINS_INVALID' });
  assert.deepEqual(Pins.of([]).list, []);
});

void test('a hundred thousand lines are read in well under a second', () => {
  const list = Array.from({ length: 100_000 }, (_, at) =>
    pin(`registry.example/team-${at % 500}/app-${at % 7919}:1.${at}`, D1, 'alice 2026-11-20'),
  );
  const bytes = Buffer.from(formatPins(1, list));
  const ms = cost(() => assert.equal(parsePins(bytes, 'a.lock').pins.list.length, list.length));
  assert.ok(ms < 1_000, `${ms} ms`);
});
