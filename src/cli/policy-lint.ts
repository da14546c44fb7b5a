/** `pinnace policy lint FILE`: is the policy valid, and what in it deserves a second look. */
import { MirrorError } from '../errors.ts';
import { type Command, FOUND } from './command.ts';
import { findingsOf } from './policy-findings.ts';
import { headOf, policyAt } from './policy-on-disk.ts';
import { AT_OPTION, AT_USAGE, momentOf } from './policy-time.ts';

export const policyLint: Command = {
  name: 'policy lint',
  summary: 'check a policy file, and say what in it deserves a second look',
  usage: `pinnace policy lint FILE [--strict] [--at TIME] [--json]
  FILE          a policy with the files that it names, or a bundle: pinnace policy verify looks at who signed it
  --strict      exit 1 where there is a warning
${AT_USAGE}
`,
  options: { strict: { type: 'boolean' }, ...AT_OPTION },
  async run({ values, positionals }, io) {
    const [file, ...more] = positionals;
    if (!file || more.length) throw new MirrorError('USAGE', 'pinnace policy lint takes one FILE');
    const read = await policyAt(file);
    const { name, serial } = read.policy;
    const warnings = findingsOf(read, momentOf(values, io.world.now()));
    if (io.json) io.out(`${JSON.stringify({ policy: headOf(read), warnings })}\n`);
    else {
      for (const { path, text, id } of warnings) io.out(`${file}: ${path}: ${text} (${id})\n`);
      io.out(`${file}: policy ${name}, serial ${serial}, is valid; ${warnings.length} warnings\n`);
    }
    return values.strict === true && warnings.length ? FOUND : undefined;
  },
};
