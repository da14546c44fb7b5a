/**
 * Source files as text for tests that read the tree: which there are, and their code without comments and strings.
 * Promises: positions and lines stay as they are. Knows TypeScript's lexical rules well enough for a formatted tree, no more.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The top of the repository. */
export const ROOT: string = join(import.meta.dirname, '../..');

export interface Source {
  /** Relative to the top, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** The files that match `patterns` below the top; generated and foreign ones left out. */
export const sources = (...patterns: string[]): Source[] =>
  globSync(patterns, { cwd: ROOT, exclude: ['**/node_modules/**', '.git/**'] })
    .sort()
    .map(path => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));

/** After one of these a slash starts a regular expression. */
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};>+-]|\breturn|\btypeof|\bcase)\s*$/;

/** The end of the comment, string, regular expression or template text that starts at `at`; `at` itself where none does. */
function endOf(text: string, at: number, code: string): number {
  const two = text.slice(at, at + 2);
  if (two === '//') return (text.indexOf('\n', at) + 1 || text.length + 1) - 1;
  if (two === '/*') return text.indexOf('*/', at + 2) + 2 || text.length + 2;
  const quote = text[at] ?? '';
  const regex = quote === '/' && BEFORE_REGEX.test(code.slice(-40));
  if (!regex && quote !== "'" && quote !== '"') return at;
  let end = at + 1;
  for (let inClass = false; end < text.length && text[end] !== '\n'; end++) {
    if (text[end] === '\\') end++;
    else if (regex && text[end] === '[') inClass = true;
    else if (regex && text[end] === ']') inClass = false;
    else if (text[end] === quote && !inClass) return end + 1;
  }
  return end;
}

const blank = (text: string): string => text.replaceAll(/[^\n]/g, ' ');

/** `text` with comments and the insides of strings, regular expressions and template texts blanked; of the same length. */
export function codeOf(text: string): string {
  let code = '';
  // One entry for each open template: how many braces are open inside its expression; -1 while in its text.
  const templates: number[] = [];
  for (let at = 0; at < text.length; ) {
    const depth = templates.at(-1);
    if (depth === -1) {
      const [next] = /\$\{|`|$/.exec(text.slice(at).replaceAll(/\\[^]/g, '  ')) ?? [];
      const length = text
        .slice(at)
        .replaceAll(/\\[^]/g, '  ')
        .search(/\$\{|`|$/);
      code += blank(text.slice(at, at + length)) + next;
      at += length + (next?.length ?? 0);
      if (next === '${') templates[templates.length - 1] = 0;
      else templates.pop();
      continue;
    }
    const end = endOf(text, at, code);
    if (end > at) {
      const comment = text.startsWith('//', at) || text.startsWith('/*', at);
      code += comment ? blank(text.slice(at, end)) : `${text[at]}${blank(text.slice(at + 1, end - 1))}${text[end - 1]}`;
      at = end;
      continue;
    }
    const c = text[at] ?? '';
    if (c === '`') templates.push(-1);
    else if (depth !== undefined && c === '{') templates[templates.length - 1] = depth + 1;
    else if (depth !== undefined && c === '}') templates[templates.length - 1] = depth - 1;
    code += c;
    at++;
  }
  return code;
}

export interface Import {
  /** As written; undefined where it is computed. */
  readonly from: string | undefined;
  /** What stands between `import` and `from`. */
  readonly names: string;
  readonly line: number;
}

/** Every import, re-export and dynamic import of a source, type imports too. */
export function importsOf(text: string): Import[] {
  const code = codeOf(text);
  const found: Import[] = [];
  const pattern = /(?:\b(?:import|export)\b([^;'"`]*?)\bfrom\s*|\bimport\s*(\(?)\s*)(['"])?/g;
  for (const match of code.matchAll(pattern)) {
    const [whole, names = '', call, quote] = match;
    if (!quote && (call !== '(' || names)) continue;
    const start = match.index + whole.length;
    const from = quote ? text.slice(start, code.indexOf(quote, start)) : undefined;
    found.push({ from, names, line: text.slice(0, match.index).split('\n').length });
  }
  return found;
}
