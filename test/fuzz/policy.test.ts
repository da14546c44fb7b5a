/** Policy files against hostile text: loaded or refused by one of two codes; and a mutated policy never allows by chance. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import { parseReference } from '../../src/oci/oci.ts';
import { loadPolicy } from '../../src/policy/parse.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { deep, fuzz, refusedOr, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';

function load(text: string): Policy | undefined {
  try {
    return loadPolicy(text, 'policy.yaml');
  } catch (error) {
    assert.ok(hasCode(error, 'YAML_INVALID', 'POLICY_INVALID'), String(error));
    return undefined;
  }
}

void test('any text is loaded or refused by code', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.string({ unit: fc.constantFrom(...'{}[]:,&*!|>-?\n \t"#%@ab'.split('')) }),
  );
  fuzz(
    fc.property(texts, text => void load(text)),
    300,
  );
});

void test('any value under any key is loaded or refused by code', () => {
  const keys = [
    'registries',
    'share',
    'shareEverything',
    'tags',
    'pins',
    'vouchers',
    'match',
    'min',
    'keep',
    'name',
    'aliases',
  ];
  const leaf = fc.constantFrom<unknown>('**', '*', 'r.test', 'r.test/**', 'pins', '7d', 1, 0, true, null, '__proto__');
  const { value } = fc.letrec<{ value: unknown }>(tie => ({
    value: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...keys), tie('value'), { maxKeys: 3 }),
    ),
  }));
  fuzz(
    fc.property(fc.dictionary(fc.constantFrom(...keys.slice(0, 6)), value), policy => {
      const loaded = load(JSON.stringify(policy));
      if (loaded?.share(parseReference('other.test/a:1')).allowed) assert.equal(policy.shareEverything, true);
    }),
    500,
  );
});

smallAtTheEnd();

const GOOD = {
  registries: ['r.test', { name: 'long.test', aliases: ['short'] }],
  share: ['r.test/team/**', 'r.test/open/*'],
  tags: [{ match: 'r.test/**', min: 2, keep: '30d' }],
  pins: { 'r.test/team/app:1': `sha256:${'a'.repeat(64)}` },
  vouchers: 3,
};

void test('a good policy, spoilt anywhere, never shares what no pattern of its names', () => {
  const text = fc.oneof(
    twisted(GOOD).map(value => JSON.stringify(value)),
    spoilt(Buffer.from(JSON.stringify(GOOD, undefined, 1))).map(bytes => bytes.toString('latin1')),
  );
  fuzz(
    fc.property(text, spelt => {
      const policy = refusedOr(() => load(spelt));
      if (!policy) return;
      assert.ok(policy.vouchers >= 1 && policy.vouchers <= 16);
      assert.ok(!policy.share(parseReference('r.test/private/app:1')).allowed);
    }),
  );
});

void test('lists of ten thousand entries and brackets thousands deep are judged in time', () => {
  for (const registries of [Array.from({ length: 10_000 }, (_, at) => `r${at}.test`), deep(300)])
    refusedOr(() => load(JSON.stringify({ registries })));
  const pins = Object.fromEntries(
    Array.from({ length: 8_000 }, (_, at) => [`r.test/a:${at}`, `sha256:${'a'.repeat(64)}`]),
  );
  assert.ok(refusedOr(() => load(JSON.stringify({ registries: ['r.test'], pins }))));
  assert.equal(
    refusedOr(() => load('['.repeat(100_000))),
    undefined,
  );
});
