/** What counts as caught: the named test's own assertion, or the named code. Nothing that merely broke. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Defence, namesItsCode, saidBy, without } from './defence.ts';
import type { Ended } from './reporter.ts';
import { baselineFault, type Verdict, verdictOf } from './verdict.ts';

const ROW: Defence = {
  defence: 'a defence',
  file: 'a.ts',
  find: 'if (bad) throw',
  replace: 'if (!bad) throw',
  test: 'a.test.ts',
  named: 'it is refused',
  code: 'DENIED',
};
const run = (ended: Partial<Ended>[], hung = false) => ({
  ended: ended.map(one => ({ name: ROW.named, passed: false, failure: 'testCodeFailure', errors: [], ...one })),
  hung,
  said: '',
});
const assertion = { name: 'AssertionError', code: 'ERR_ASSERTION', message: '' };
const ours = (code: string) => ({ name: 'MirrorError', code, message: '' });

for (const [verdict, what, of] of [
  ['caught', 'an assertion', run([{ errors: [assertion] }])],
  ['caught', 'the code itself', run([{ errors: [ours('DENIED')] }])],
  ['survived', 'nothing', run([{ passed: true }])],
  ['wrong reason', 'another code', run([{ errors: [ours('USAGE')] }])],
  ['wrong reason', 'an accident', run([{ errors: [{ name: 'ReferenceError', message: '' }] }])],
  [
    'wrong reason',
    'an assertion after an accident',
    run([{ errors: [assertion, { name: 'TypeError', message: '' }] }]),
  ],
  ['wrong reason', 'a hook', run([{ failure: 'hookFailed', errors: [assertion] }])],
  ['wrong reason', 'another test', run([{ name: 'another', errors: [assertion] }])],
  ['wrong reason', 'no end', run([{ errors: [assertion] }], true)],
  ['wrong reason', 'no test at all', run([])],
] as const satisfies readonly (readonly [Verdict, string, ReturnType<typeof run>])[])
  void test(`a test that failed by ${what} has ${verdict}`, () => assert.equal(verdictOf(of, ROW).verdict, verdict));

void test('a test must run, once, and hold while the defence is there', () => {
  assert.equal(baselineFault(run([{ passed: true }]), ROW), undefined);
  for (const bad of [run([]), run([{}]), run([{ passed: true }, { passed: true }]), run([{ passed: true }], true)])
    assert.notEqual(baselineFault(bad, ROW), undefined);
});

void test('an edit applies to one place or not at all, in each of its layers', () => {
  assert.equal(without('a; if (bad) throw x;', ROW), 'a; if (!bad) throw x;');
  assert.equal(without('nothing', ROW), undefined);
  assert.equal(without('if (bad) throw x; if (bad) throw y;', ROW), undefined);
  const both = { ...ROW, and: { find: 'a;', replace: '' } };
  assert.equal(without('a; if (bad) throw x;', both), ' if (!bad) throw x;');
  assert.equal(without('if (bad) throw x;', both), undefined);
});

const FILE = `
const refused = code => {};

const CASES = [
  ['one', 'DENIED'],
  ['other', 'USAGE'],
];
for (const [what, code] of CASES)
  void test(\`\${what} is refused\`, () => {
    assert.ok(what);
  });

void test('it is denied', () => refused('DENIED'));

void test('it is not', () => {
  helper();
});

function helper() {
  return 'USAGE';
}
`;

void test('a test says what stands in its name, its text, its case and what it calls, and no more', () => {
  for (const [named, code, says] of [
    ['it is denied', 'DENIED', true],
    ['it is denied', 'USAGE', false],
    ['it is not', 'USAGE', true],
    ['it is not', 'DENIED', false],
    ['one is refused', 'DENIED', true],
    ['one is refused', 'USAGE', false],
    ['other is refused', 'USAGE', true],
  ] as const)
    assert.equal(namesItsCode(FILE, { named, code }), says, `${named}: ${code}`);
  assert.equal(saidBy(FILE, 'nobody'), undefined);
});
