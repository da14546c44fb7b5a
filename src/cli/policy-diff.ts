/** `pinnace policy diff A B`: what B means otherwise than A. */
import { MirrorError } from '../errors.ts';
import type { Command } from './command.ts';
import { changesOf, saidBy, SECTIONS, type Section, type SectionChanges } from './policy-changes.ts';
import { headOf, policyAt } from './policy-on-disk.ts';

const json = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function text(section: Section, { added, removed, changed }: SectionChanges): string {
  // Of a pin the digest says all; of a rule the fields that are new to a reader.
  const told = (facts: object): string => (section === 'pins' ? Object.values(facts).join(' ') : json(facts));
  const lines = [
    ...removed.map(({ name, facts }) => `  - ${name}: ${told(facts)}`),
    ...added.map(({ name, facts }) => `  + ${name}: ${told(facts)}`),
    ...changed.map(
      ({ name, field, from, to }) => `  ~ ${name === section ? '' : `${name}.`}${field}: ${json(from)} -> ${json(to)}`,
    ),
  ];
  return lines.length ? `${section}\n${lines.map(line => `${line}\n`).join('')}` : '';
}

export const policyDiff: Command = {
  name: 'policy diff',
  summary: 'show what one policy means otherwise than another: rules by field, pins, keys, roots',
  usage: `pinnace policy diff A B [--json]
  A, B          policies with the files that they name, or bundles: pinnace policy verify looks at who signed them
`,
  options: {},
  async run({ positionals }, io) {
    const [before, after, ...more] = positionals;
    if (!before || !after || more.length) throw new MirrorError('USAGE', 'pinnace policy diff takes two policies');
    const [a, b] = [await policyAt(before), await policyAt(after)];
    const changes = changesOf(saidBy(a), saidBy(b));
    if (io.json) return io.out(`${JSON.stringify({ a: headOf(a), b: headOf(b), changes })}\n`);
    const lines = SECTIONS.map(section => text(section, changes[section])).join('');
    io.out(lines || `${before} and ${after} mean the same\n`);
  },
};
