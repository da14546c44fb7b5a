/** Join tokens against hostile text: nothing but TOKEN_INVALID, and no second spelling of any token. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.ts';
import { formatToken, parseToken, TOKEN_MAX_CHARS } from '../../src/identity/token.ts';
import { makeCluster } from '../support/cluster.ts';
import { fuzz, refusedOr, spoilt, twisted } from '../support/fuzz.ts';

const token = (await makeCluster({ nodes: ['n1'] })).node('n1').token;
const json = JSON.parse(Buffer.from(token.slice(5), 'base64url').toString()) as Record<string, unknown>;
const spell = (value: unknown): string => `pjt1.${Buffer.from(JSON.stringify(value)).toString('base64url')}`;

function refusedOrSame(text: string): void {
  try {
    assert.equal(formatToken(parseToken(text)), text.replace(/\n$/, ''));
  } catch (error) {
    assert.ok(hasCode(error, 'TOKEN_INVALID'), String(error));
  }
}

void test('a token is read back as it was made, with its line end too', () => {
  assert.equal(formatToken(parseToken(token)), token);
  assert.equal(formatToken(parseToken(`${token}\n`)), token);
});

void test('any text is refused by one code or is exactly a token', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string().map(tail => `pjt1.${tail}`),
    fc.json().map(spell),
  );
  fuzz(fc.property(texts, refusedOrSame), 300);
});

void test('any change of one character is refused, or is another well-formed token', () => {
  const position = fc.nat({ max: token.length - 1 });
  fuzz(
    fc.property(position, fc.string({ minLength: 0, maxLength: 2 }), (at, by) =>
      refusedOrSame(token.slice(0, at) + by + token.slice(at + 1)),
    ),
    300,
  );
});

void test('any field replaced by anything is refused, or is another well-formed token', () => {
  const field = fc.constantFrom(...Object.keys(json), 'more', '__proto__');
  fuzz(
    fc.property(field, fc.jsonValue(), (key, value) => refusedOrSame(spell({ ...json, [key]: value }))),
    300,
  );
});

void test('a token that is spoilt, outside or inside, is refused, or is another well-formed token', () => {
  const texts = fc.oneof(
    spoilt(Buffer.from(token)).map(bytes => bytes.toString('latin1')),
    twisted(json).map(spell),
    spoilt(Buffer.from(JSON.stringify(json))).map(bytes => `pjt1.${bytes.toString('base64url')}`),
  );
  fuzz(
    fc.property(texts, text => refusedOr(() => refusedOrSame(text))),
    1000,
  );
});

void test('a token of another kind, a longer one, one with keys twice, one with white space: refused', () => {
  const twice = JSON.stringify(json).replace('{', '{"kind":"node",');
  for (const text of [
    spell({ ...json, kind: 'shared' }),
    `pjt1.${'A'.repeat(TOKEN_MAX_CHARS)}`,
    `pjt1.${Buffer.from(twice).toString('base64url')}`,
    `pjt1.${Buffer.from(JSON.stringify(json, undefined, 1)).toString('base64url')}`,
    ` ${token}`,
    `${token}\n\n`,
    `${token}=`,
  ])
    assert.throws(() => parseToken(text), { code: 'TOKEN_INVALID' });
});

void test('no refusal repeats what is in the token', () => {
  const secret = String(json.secret);
  for (const change of [{ secret: `${secret}A` }, { secret: secret.slice(1) }, { node: secret }, { cluster: secret }])
    assert.throws(
      () => parseToken(spell({ ...json, ...change })),
      (error: Error) => !error.message.includes(secret.slice(1, 20)) && hasCode(error, 'TOKEN_INVALID'),
    );
});
