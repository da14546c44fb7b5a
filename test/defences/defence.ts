/**
 * What a row of the table is: one small edit to the source that takes one defence out, and the test that must fail for it.
 * Promises: an edit applies to exactly one place, or not at all; a test is named whole, and says the code itself. Refuses
 * to know how tests are run.
 */
import type { Event } from '../../src/audit/audit.ts';
import type { Code } from '../../src/errors.ts';

export interface Defence {
  /** What holds while the defence is there. */
  readonly defence: string;
  /** The file that is edited, below `src`. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
  /** A second place of the same file, where the defence stands in two layers. */
  readonly and?: { readonly find: string; readonly replace: string };
  /** The test file that must fail, below `test`. */
  readonly test: string;
  /** The whole name of the test in it. */
  readonly named: string;
  /** Where the test is written, below `test`, if a suite that several files run. */
  readonly suite?: string;
  /** What the test asserts: the code of a refusal, or the event of a record. */
  readonly code: Code | Event['event'];
}

/** `text` with the defence taken out; undefined where an edit does not apply to exactly one place. */
export function without(
  text: string,
  { find, replace, and }: Pick<Defence, 'find' | 'replace' | 'and'>,
): string | undefined {
  const at = text.indexOf(find);
  if (at < 0 || text.includes(find, at + 1)) return undefined;
  const edited = text.slice(0, at) + replace + text.slice(at + find.length);
  return and ? without(edited, and) : edited;
}

const CALL = /^( *)(?:void )?(?:it|test)\(\s*(?:'([^']*)'|"([^"]*)"|`([^`]*)`)/gm;
const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

/** A name that a template makes, as a pattern; what stands for `${…}` is captured. */
const patternOf = (template: string): RegExp =>
  new RegExp(
    `^${template
      .split(/\$\{[^}]*\}/)
      .map(escaped)
      .join('(.+)')}$`,
  );

/**
 * All that the test called `name` says: its name, its own text, that of the file's functions which it calls, and, where a
 * table of cases makes it, its case. Undefined where no test or more than one has the name. `text` is that of a formatted
 * test file.
 */
export function saidBy(text: string, name: string): string | undefined {
  const found = [...text.matchAll(CALL)].flatMap(call => {
    const [, indent = '', plain, quoted, template] = call;
    const match = patternOf(template ?? '').exec(name);
    const whole = (plain ?? quoted ?? '').replaceAll(String.raw`\'`, "'") === name;
    if (!whole && (template === undefined || !match)) return [];
    const end = text.indexOf(`\n${indent}})`, call.index);
    const line = text.indexOf('\n', call.index);
    const own = text.slice(call.index, text.slice(call.index, line).endsWith(');') ? line : end);
    const captured = match?.slice(1) ?? [];
    const said = [name, own, helpersOf(text, own), ...captured.map(part => caseOf(text, part))].join('\n');
    return [{ said, loose: captured.join('').length }];
  });
  // A name that a template makes by the way is not its own.
  const [first, second] = found.sort((a, b) => a.loose - b.loose);
  return first && first.loose !== second?.loose ? first.said : undefined;
}

/** The top functions of a file that `own` calls. */
const helpersOf = (text: string, own: string): string =>
  text
    .split(/\n\n|\n(?=const )/)
    .filter(part => {
      const [, name] = /^(?:\/\*\*.*\n)?(?:async )?(?:const|function) (\w+)/.exec(part) ?? [];
      return name !== undefined && own.includes(`${name}(`);
    })
    .join('\n');

/** The case of a table that has `part` in it: from there to where its brackets close. */
function caseOf(text: string, part: string): string {
  const at = Math.max(text.indexOf(`'${part}'`), text.indexOf(`"${part}"`));
  if (at < 0) return '';
  let depth = 1;
  for (let end = at; end < text.length; end++) {
    if (text[end] === '[') depth++;
    else if (text[end] === ']' && --depth === 0) return text.slice(at, end);
  }
  return '';
}

/** True where the test that a row names says the row's code. */
export const namesItsCode = (text: string, { named, code }: Pick<Defence, 'named' | 'code'>): boolean =>
  saidBy(text, named)?.includes(code) ?? false;

/** The row's test as a pattern for the runner of tests. */
export const patternFor = ({ named }: Pick<Defence, 'named'>): string => escaped(named);
