/** `pinnace policy test POLICY CASES`: does the policy decide as the cases expect; with `--against`, what would change. */
import { MirrorError } from '../errors.ts';
import type { Policy } from '../policy/policy.ts';
import { YAML_MAX_BYTES } from '../yaml.ts';
import { readText } from './bounded-file.ts';
import { type Command, FOUND } from './command.ts';
import { differences, judgeCase, type Outcome } from './judge-case.ts';
import { type Case, parseCases } from './policy-cases.ts';
import { headOf, policyAt } from './policy-on-disk.ts';
import { AT_OPTION, AT_USAGE, momentOf } from './policy-time.ts';

/** A case that came out otherwise than expected. */
interface Failure {
  readonly where: string;
  readonly reference: string;
  readonly wrong: readonly string[];
  readonly expected: Case['expect'];
  readonly found: Outcome;
}

/** A case that another policy decides otherwise. */
interface Change {
  readonly where: string;
  readonly reference: string;
  readonly before: Outcome;
  readonly after: Outcome;
}

export const policyTest: Command = {
  name: 'policy test',
  summary: 'run a file of cases against a policy; --against shows what another one would change',
  usage: `pinnace policy test POLICY CASES [--against OTHER] [--at TIME] [--json]
  POLICY           the policy that the cases are about
  CASES            YAML: {at: TIME, cases: [CASE, …]}; see policies/*.cases.yaml. A CASE has
                     reference   registry/repository with a tag or a digest
                     digest      asks about the image that has it; without one, what the mirror makes of the name
                     signedBy    authorities, or {authority, format: bundle | legacy, signedAt: TIME}
                     attestedBy  {authority, predicateType, predicate, format, signedAt}
                     untrusted   so many signatures more that hold for no authority
                     at          its own time
                     node, size  {zone, roles} that asks this node for so many bytes of it
                     expect      {decision: allow | deny | upstream, rule, code, share: true | false}
  --against OTHER  another policy: shows the cases that it decides otherwise
${AT_USAGE}                Exit code 1 where a case fails.
`,
  options: { against: { type: 'string' }, ...AT_OPTION },
  async run({ values, positionals }, io) {
    const [file, casesFile, ...more] = positionals;
    if (!file || !casesFile || more.length)
      throw new MirrorError('USAGE', 'pinnace policy test takes a POLICY and a file of CASES');
    const read = await policyAt(file);
    const { policy } = read;
    const cases = parseCases(await readText(casesFile, YAML_MAX_BYTES), casesFile);
    for (const one of cases) refuseUnknown(policy, one, file);
    const now = momentOf(values, io.world.now());
    const other = typeof values.against === 'string' ? (await policyAt(values.against)).policy : undefined;
    const failures = failuresOf(policy, cases, now);
    const changes = other ? changesBetween(policy, other, cases, now) : undefined;
    if (io.json) {
      const counts = { cases: cases.length, passed: cases.length - failures.length, failed: failures.length };
      io.out(`${JSON.stringify({ policy: headOf(read), ...counts, failures, ...(changes && { changes }) })}\n`);
    } else {
      for (const failure of failures) io.out(failureText(failure));
      for (const change of changes ?? []) io.out(changeText(change));
      io.out(`${file}: ${cases.length - failures.length} of ${cases.length} cases pass, ${failures.length} fail\n`);
      if (changes) io.out(`${String(values.against)} decides ${changes.length} of ${cases.length} cases otherwise\n`);
    }
    return failures.length ? FOUND : undefined;
  },
};

/** A misspelt authority would make a case pass for a wrong reason. @throws POLICY_INVALID */
function refuseUnknown({ authorities }: Policy, { signed, where }: Case, file: string): void {
  const unknown = signed.find(({ authority }) => !authorities.has(authority));
  if (unknown)
    throw new MirrorError('POLICY_INVALID', `${where}: ${file} has no authority ${JSON.stringify(unknown.authority)}`);
}

function failuresOf(policy: Policy, cases: readonly Case[], now: number): readonly Failure[] {
  return cases.flatMap(one => {
    const found = judgeCase(policy, one, now);
    const wrong = differences(one, found);
    return wrong.length ? [{ where: one.where, reference: one.text, wrong, expected: one.expect, found }] : [];
  });
}

function changesBetween(policy: Policy, other: Policy, cases: readonly Case[], at: number): readonly Change[] {
  return cases.flatMap(one => {
    const [before, after] = [judgeCase(policy, one, at), judgeCase(other, one, at)];
    const same = (['decision', 'rule', 'code', 'share'] as const).every(key => before[key] === after[key]);
    return same ? [] : [{ where: one.where, reference: one.text, before, after }];
  });
}

type Shown = Pick<Outcome, 'decision' | 'rule'> & { readonly code?: string; readonly share?: boolean };

function spelt({ decision, rule, code, share }: Shown): string {
  const shared = share === undefined ? '' : share ? ', shared' : ', not shared';
  return `${decision}${code ? ` ${code}` : ''} by ${rule}${shared}`;
}

const failureText = ({ where, reference, wrong, expected, found }: Failure): string =>
  `FAIL ${where} ${reference}: ${wrong.join(', ')}\n  expected ${spelt(expected)}\n  found    ${spelt(found)}: ${found.detail}\n`;

const changeText = ({ where, reference, before, after }: Change): string =>
  `CHANGE ${where} ${reference}\n  now  ${spelt(before)}\n  then ${spelt(after)}: ${after.detail}\n`;
