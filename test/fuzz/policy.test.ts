/** Policy files against hostile text: loaded or refused by one of two codes; and a mutated policy never allows by chance. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import { parseReference } from '../../src/oci/oci.ts';
import { loadPolicy } from '../../src/policy/parse.ts';
import type { Policy } from '../../src/policy/policy.ts';

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
  fc.assert(
    fc.property(texts, text => void load(text)),
    { numRuns: 300 },
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
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...keys.slice(0, 6)), value), policy => {
      const loaded = load(JSON.stringify(policy));
      if (loaded?.share(parseReference('other.test/a:1')).allowed) assert.equal(policy.shareEverything, true);
    }),
    { numRuns: 500 },
  );
});
