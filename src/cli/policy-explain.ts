/** `pinnace policy explain REF POLICY`: which rule decides about a name, why that one, and what it asks for. */
import { MirrorError } from '../errors.ts';
import { formatReference, parseReference, type Reference, type TagReference } from '../oci/oci.ts';
import type { Exception } from '../policy/exceptions.ts';
import type { Policy, Ruling } from '../policy/policy.ts';
import type { Command } from './command.ts';
import { headOf, policyAt, type PolicyOnDisk } from './policy-on-disk.ts';
import { type Place, placesFor } from './policy-places.ts';
import { AT_OPTION, AT_USAGE, momentOf } from './policy-time.ts';
import { plain, sentencesOf } from './rule-words.ts';

interface Explained {
  readonly reference: string;
  readonly policy: object;
  /** False: the name is none of the mirror's business. */
  readonly mirrored: boolean;
  readonly rule: string;
  /** Patterns that match, the one that decides first. */
  readonly matched: readonly Place[];
  readonly terms: unknown;
  readonly pin?: string;
  readonly exceptions: readonly Exception[];
  /** By the reference alone, before any signature is looked at. */
  readonly pull: Ruling;
  readonly sentences: readonly string[];
}

function explain(asked: Reference, read: PolicyOnDisk, now: number): Explained {
  const { policy, document } = read;
  const host = policy.registry(asked.registry);
  const reference = { ...asked, registry: host ?? asked.registry };
  const { registry, repository, digest } = reference;
  const rule = policy.rule(registry, repository);
  const places = document.book.list.map(({ pattern, name }) => ({ pattern, rule: name }));
  const matched = placesFor(places, registry, repository);
  const pin = reference.tag === undefined ? undefined : policy.pin(reference as TagReference);
  const exceptions = document.exceptions.filter(
    one =>
      placesFor([{ pattern: one.match, rule: '' }], registry, repository).length > 0 &&
      (digest === undefined || digest === one.digest),
  );
  const explained = {
    reference: formatReference(reference),
    policy: headOf(read),
    mirrored: host !== undefined,
    rule: rule.name,
    matched,
    terms: plain(rule),
    ...(pin ? { pin } : {}),
    exceptions,
    pull: policy.pull(reference, now),
  };
  return { ...explained, sentences: sentences(explained, [...sentencesOf(rule), ...ended(policy, now)], now) };
}

/** What its end means for what else is said, where it has ended; with `onExpiry: deny` the last sentence says so. */
const ended = ({ expiresAt, onExpiry }: Policy, now: number): readonly string[] =>
  expiresAt === undefined || now < expiresAt || onExpiry === 'deny'
    ? []
    : [`The policy ended at ${new Date(expiresAt).toISOString()}: what was admitted before stays, nothing new is.`];

function sentences(found: Omit<Explained, 'sentences'>, terms: readonly string[], now: number): readonly string[] {
  if (!found.mirrored) return ['Its registry is not mirrored (404): the client goes on to the registry.'];
  const [first, ...others] = found.matched;
  const why = first
    ? `Rule ${found.rule} decides, by its pattern ${first.pattern}${others.length ? `, which is narrower than ${others.map(({ pattern, rule }) => `${pattern} (${rule})`).join(', ')}` : ''}.`
    : 'No pattern matches: the defaults decide.';
  const exceptions = found.exceptions.map(
    ({ digest, reason, approvedBy, expiresAt }) =>
      `${expiresAt > now ? 'Exception' : 'Ended exception'} until ${new Date(expiresAt).toISOString()} for ${digest}: ${reason}, by ${approvedBy}.`,
  );
  const { allowed, code, detail } = found.pull;
  const pull = allowed
    ? `By its name it may be pulled${code ? ` (recorded as ${code})` : ''}; what it must show is judged once its manifest is there.`
    : `By its name alone it is refused (403 DENIED${code && code !== 'DENIED' ? `, ${code}` : ''}): ${detail}.`;
  return [why, ...(found.pin ? [`It is pinned to ${found.pin}.`] : []), ...terms, ...exceptions, pull];
}

export const policyExplain: Command = {
  name: 'policy explain',
  summary: 'which rule of a policy decides about a reference, why, and what it asks for',
  usage: `pinnace policy explain REFERENCE POLICY [--at TIME] [--json]
  REFERENCE     registry/repository with a tag or a digest, or with neither
  POLICY        a policy file; a running node says more with pinnace why
${AT_USAGE}
`,
  options: AT_OPTION,
  async run({ values, positionals }, io) {
    const [text, file, ...more] = positionals;
    if (!text || !file || more.length)
      throw new MirrorError('USAGE', 'pinnace policy explain takes a REFERENCE and a POLICY');
    const reference = parseReference(text);
    const explained = explain(reference, await policyAt(file), momentOf(values, io.world.now()));
    if (io.json) return io.out(`${JSON.stringify(explained)}\n`);
    io.out(`${explained.reference}\n${explained.sentences.map(sentence => `  ${sentence}\n`).join('')}`);
  },
};
