/** Patterns of subjects: the whole subject or nothing, and in bounded time whatever stands in a certificate. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSubjectPattern, SUBJECT_MAX } from '../../src/policy/subject-pattern.ts';
import { cost } from '../support/fuzz.ts';

const WORKFLOW = 'https://git\\.example/acme/[^/]+/\\.ci/workflows/[^/]+@refs/tags/v[0-9]+\\.[0-9]+\\.[0-9]+';

void test('the whole subject is matched, with no prefix, suffix or line around it', () => {
  const pattern = parseSubjectPattern('ci|bot@r\\.test');
  for (const yes of ['ci', 'bot@r.test']) assert.ok(pattern.test(yes), yes);
  for (const no of [
    '',
    'cibot@r.test',
    'ci@r.test',
    'bot@r.test.evil',
    'bot@rxtest',
    'ci\n',
    '\nci',
    'evil\nci',
    'x ci',
  ])
    assert.ok(!pattern.test(no), JSON.stringify(no));
  assert.ok(
    parseSubjectPattern(WORKFLOW).test('https://git.example/acme/app/.ci/workflows/release.yml@refs/tags/v1.2.3'),
  );
  for (const no of [
    'https://git.example/acme/app/x/.ci/workflows/release.yml@refs/tags/v1.2.3',
    'https://git.example/acme/app/.ci/workflows/release.yml@refs/tags/v1.2.3-rc',
    'https://git.example/evil/acme/app/.ci/workflows/release.yml@refs/tags/v1.2.3',
  ])
    assert.ok(!parseSubjectPattern(WORKFLOW).test(no), no);
});

void test('a longer subject than is read matches nothing', () => {
  const pattern = parseSubjectPattern('a+');
  assert.ok(pattern.test('a'.repeat(SUBJECT_MAX)));
  assert.ok(!pattern.test('a'.repeat(SUBJECT_MAX + 1)));
});

void test('a wildcard does not cross a line', () => {
  for (const pattern of ['.+', '[^/]+', '\\S+', '\\D+', '\\s+|.+'])
    assert.ok(!parseSubjectPattern(pattern).test('ci\nroot'), pattern);
});

void test('what is not simple is refused', () => {
  for (const text of [
    '(a+)+',
    '(a*)*b',
    '(a|a)*b',
    '((a|b))+',
    '(?:a{1,2}){3}',
    '(a?)+',
    '(a)\\1',
    '(?<n>a)\\k<n>',
    '(?=a)b',
    '(?!a)b',
    '(?<=a)b',
    '(?i:a)',
    'a+?',
    'a++',
    'a*{2}',
    '*a',
    'a|*',
    '(+a)',
    '^a',
    'a$',
    'a)|(b',
    '(a))|(b',
    '(a',
    'a)',
    '[a',
    'a]',
    '[]',
    '[z-a]',
    'a{2,1}',
    'a{',
    'a}',
    '\\',
    '\\b',
    '\\x41',
    '\\u{41}',
    '\\p{L}',
    '\\n',
    'x'.repeat(513),
  ])
    assert.throws(() => parseSubjectPattern(text), { code: 'POLICY_INVALID' }, text);
});

void test('a pattern that could try too many ways is refused, and one that is taken is quick on the worst subject', () => {
  for (const text of [
    '.*.*.*.*',
    '[a]*[a]*[a]*[a]*',
    '.*.*.*x',
    '.*a.*a.*a.*a',
    'a?'.repeat(60) + 'a',
    '(a|a)'.repeat(40),
    'a*'.repeat(5) + 'b',
  ])
    assert.throws(() => parseSubjectPattern(text), { code: 'POLICY_INVALID' }, text);
  for (const text of ['.*.*x', '.*a.*ax', '[^/]+@[^/]+@x', '(a|aa)(a|aa)(a|aa)a*a*x', WORKFLOW, 'a*a*a*']) {
    const pattern = parseSubjectPattern(text);
    for (const subject of ['a', '@', 'a@', '/'].map(part => `${part.repeat(SUBJECT_MAX / part.length - 1)}!`))
      assert.ok(cost(() => void pattern.test(subject)) < 2_000, text);
  }
});
