/** The style of the house as a test, where no linter looks: lengths, first comments, names, and no secret in the tree. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { codeOf, type Source, sources } from './support/source-text.ts';

/** Lines of a file; more is too much to read at once. */
const LINES_MAX = 320;

/** What is wrong with one source file. */
function styleProblems({ path, text }: Source): string[] {
  const problems: string[] = [];
  const name = path.split('/').at(-1) ?? '';
  const lines = text.trimEnd().split('\n').length;
  if (lines > LINES_MAX) problems.push(`${lines} lines, at most ${LINES_MAX}`);
  // A test's names say what it promises.
  if (!name.endsWith('.test.ts') && !/^(?:#!.*\n)?\s*(?:\/\*\*[\s*]*|\/\/\s*)[^\s*/]/.test(text))
    problems.push('does not start with a comment on what it promises');
  if (!/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test)?\.ts$/.test(name)) problems.push('is not named in kebab-case');
  if (/^(?:index|utils?|common|helpers?|types)\.ts$/.test(name)) problems.push(`${name} says nothing of what is in it`);
  if (/(?<![.\w])any\b(?!\s*[(:?])/.test(codeOf(text))) problems.push('uses the type any');
  if (/\b(?:TO[D]O|FIX[M]E|X{3})\b/.test(text)) problems.push('leaves work undone');
  if (/(?:eslint|oxlint|biome)-(?:disable|ignore)|@ts-(?:ignore|expect-error|nocheck)/.test(text))
    problems.push('suppresses a check');
  return problems.map(problem => `${path}: ${problem}`);
}

/** What in a file is a secret. */
function secretProblems({ path, text }: Source): string[] {
  const problems: string[] = [];
  if (/-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----/.test(text)) problems.push('holds a private key');
  if (/"d"\s*:\s*"[A-Za-z0-9_-]{40,}"/.test(text)) problems.push('holds a private JWK');
  if (/\bpjt\d+\.[A-Za-z0-9_-]{40,}/.test(text)) problems.push('holds a join token');
  return problems.map(problem => `${path}: ${problem}`);
}

const SECOND_LINE = '\nexport {};\n';

void describe('the style of the house', () => {
  void it('holds for every source file', () => {
    const files = sources('src/**/*.ts', 'test/**/*.ts').filter(({ path }) => path !== 'test/style.test.ts');
    assert.ok(files.length > 50, 'the source files were not found');
    const problems = files.flatMap(styleProblems);
    assert.equal(problems.length, 0, `\n${problems.join('\n')}`);
  });

  void it('has no private key and no join token anywhere in the tree', () => {
    const patterns = ['*', '.*', '{src,test,keys,deploy,policies,.github,.ci,docs}/**/*'];
    const files = sources(
      ...patterns.map(pattern => `${pattern}.{ts,json,jsonl,yaml,yml,md,sh,pem,key,jwt,txt,conf,pub,token}`),
    );
    const problems = files.flatMap(secretProblems);
    assert.equal(problems.length, 0, `\n${problems.join('\n')}`);
  });

  const key = (kind: string): string => `-----BEGIN ${kind}PRIVATE KEY-----`;
  for (const [what, text] of [
    ['PKCS#8', key('')],
    ['an OpenSSH key', key('OPENSSH ')],
    ['an encrypted key', key('ENCRYPTED ')],
    ['a JWK', `{"kty":"OKP","d": "${'a'.repeat(43)}"}`],
    ['a join token', `pjt1.${'a'.repeat(60)}`],
  ] as const)
    void it(`finds ${what}`, () => assert.equal(secretProblems({ path: 'x', text }).length, 1));

  for (const [what, path, text] of [
    ['a file that is too long', 'a.ts', `/** Promises. */${'\n'.repeat(LINES_MAX)}x;`],
    ['a file without a first comment', 'a.ts', 'export {};'],
    ['an empty first comment', 'a.ts', `/** */${SECOND_LINE}`],
    ['a name in another case', 'fooBar.ts', `/** Promises. */${SECOND_LINE}`],
    ['a name that says nothing', 'utils.ts', `/** Promises. */${SECOND_LINE}`],
    ['any', 'a.ts', '/** Promises. */\nconst a = b as any;'],
    ['any in a list', 'a.ts', '/** Promises. */\nconst a: any[] = [];'],
    ['work left undone', 'a.ts', '/** Promises. */\n// TODO: later'],
    ['a suppression', 'a.ts', '/** Promises. */\n// oxlint-disable-next-line no-console'],
  ] as const)
    void it(`fails on ${what}`, () => assert.equal(styleProblems({ path, text }).length, 1));

  void it('asks no first comment of a test', () => {
    assert.deepEqual(styleProblems({ path: 'a.test.ts', text: SECOND_LINE }), []);
  });

  void it('lets pass a good file, and AbortSignal.any', () => {
    const text = "#!/usr/bin/env node\n// Promises any thing.\nconst s = AbortSignal.any([a]); const t = 'any';\n";
    assert.deepEqual(styleProblems({ path: 'a/good-file.ts', text }), []);
  });
});
