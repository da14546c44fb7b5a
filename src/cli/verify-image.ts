/**
 * `pinnace verify-image REF`: would a node with this policy use the image. Promises: offline, and by the functions of a pull:
 * the same candidates, judged by the same signers, decided by the same policy.
 */
import { resolve } from 'node:path';
import { readFile } from 'node:fs/promises';
import { kindOf, MirrorError } from '../errors.ts';
import { type Digest, formatReference, parseReference, type Reference, type TagReference } from '../oci/oci.ts';
import type { Ruling } from '../policy/policy.ts';
import type { Judgement } from '../trust/trust.ts';
import { type Command, EXIT, type Io } from './command.ts';
import { loadConfig } from './config.ts';
import { type Evidence, evidenceInLayout, evidenceOfNode } from './image-evidence.ts';
import { headOf, policyAt, type PolicyOnDisk } from './policy-on-disk.ts';
import { AT_OPTION, AT_USAGE, momentOf } from './policy-time.ts';

type Values = Readonly<Record<string, unknown>>;

/** What an artifact showed, candidate by candidate. */
interface Shown {
  readonly artifact: Digest;
  readonly format: 'bundle' | 'legacy';
  readonly judgement: Judgement;
}

interface Verified {
  readonly digest: Digest;
  readonly ruling: Ruling;
  readonly shown: readonly Shown[];
  readonly unread: readonly string[];
}

function evidenceOf({ layout, config, 'state-dir': stateDir }: Values, io: Io): Promise<Evidence> {
  const given = [layout, config, stateDir].filter(one => typeof one === 'string');
  if (given.length !== 1)
    throw new MirrorError('USAGE', 'pinnace verify-image needs one of --layout DIR, --config FILE and --state-dir DIR');
  if (typeof layout === 'string') return evidenceInLayout(layout, io);
  if (typeof stateDir === 'string')
    return evidenceOfNode({ stateDir: resolve(stateDir), store: { kind: 'layout' } }, io);
  return loadConfig(String(config), path => readFile(path, 'utf8')).then(read => evidenceOfNode(read, io));
}

/** By the digest in the reference, else what the name is there, else its pin. @throws CONTENT_ABSENT */
async function digestOf(reference: Reference, { policy }: PolicyOnDisk, evidence: Evidence): Promise<Digest> {
  const { tag, digest } = reference;
  const found = digest ?? (await evidence.digestOf(reference)) ?? (tag && policy.pin(reference as TagReference));
  if (!found)
    throw new MirrorError('CONTENT_ABSENT', `${formatReference(reference)} is not there: name it with its digest`);
  return found;
}

async function verify(asked: Reference, read: PolicyOnDisk, evidence: Evidence, now: number): Promise<Verified> {
  const { policy, signers } = read;
  const reference = { ...asked, registry: policy.registry(asked.registry) ?? asked.registry };
  const digest = await digestOf(reference, read, evidence);
  const unread: string[] = [];
  const named = policy.pull(reference, now);
  if (!named.allowed) return { digest, ruling: named, shown: [], unread };
  const asks = policy.needsSignatures(reference, digest, now);
  const found = asks ? await evidence.about(digest, text => unread.push(text)) : [];
  const shown = found.flatMap(({ digest: artifact, candidates }) =>
    candidates.map(candidate => ({
      artifact,
      format: candidate.format,
      judgement: signers.judge(candidate, digest, now),
    })),
  );
  const signed = shown.flatMap(({ judgement }) => judgement.signed);
  const refused = shown.filter(({ judgement }) => !judgement.signed.length).length;
  return { digest, ruling: policy.admit(reference, digest, signed, now, refused), shown, unread };
}

function text(reference: Reference, { digest, ruling, shown, unread }: Verified): string {
  const signatures = shown.map(({ format, judgement: { signed, reason = 'holds for nobody' } }) => {
    const by = signed.map(
      ({ authority, signer, predicateType }) => `${authority} (${signer})${predicateType ? `: ${predicateType}` : ''}`,
    );
    return `  ${format} ${signed.length ? `by ${by.join(', ')}` : `counts for nobody: ${reason}`}`;
  });
  const { allowed, code, rule, detail } = ruling;
  return [
    `${formatReference(reference)} ${digest}`,
    ...signatures,
    ...unread.map(line => `  not read: ${line}`),
    `${allowed ? 'ADMITTED' : 'REFUSED'} by ${rule}${code ? ` (${code})` : ''}: ${detail}`,
    '',
  ].join('\n');
}

export const verifyImage: Command = {
  name: 'verify-image',
  summary: 'judge an image by a policy, offline, as a node would',
  usage: `pinnace verify-image REFERENCE --policy FILE (--layout DIR | --config FILE | --state-dir DIR) [--at TIME] [--json]
  REFERENCE        registry/repository with a tag or a digest
  --policy FILE    a policy, with the files that it names
  --layout DIR     an OCI layout with the image and its signatures, as cosign save and skopeo write it
  --config FILE    what the node of this configuration has in its store, and keeps of signatures
  --state-dir DIR  the same of an embedded store, by its folder
${AT_USAGE}                Exit code 3 where it is refused, 4 where its registry is not mirrored.
`,
  options: {
    policy: { type: 'string' },
    layout: { type: 'string' },
    config: { type: 'string' },
    'state-dir': { type: 'string' },
    ...AT_OPTION,
  },
  async run({ values, positionals }, io) {
    const [name, ...more] = positionals;
    if (!name || more.length || typeof values.policy !== 'string')
      throw new MirrorError('USAGE', 'pinnace verify-image takes one REFERENCE, and --policy FILE');
    const reference = parseReference(name);
    if (!reference.tag && !reference.digest)
      throw new MirrorError('REFERENCE_INVALID', `${name} needs a tag or a digest`);
    const read = await policyAt(values.policy);
    const verified = await verify(reference, read, await evidenceOf(values, io), momentOf(values, io.world.now()));
    const { digest, ruling, shown, unread } = verified;
    if (io.json) {
      const signatures = shown.map(({ judgement, ...one }) => ({ ...one, ...judgement }));
      io.out(`${JSON.stringify({ reference: name, digest, policy: headOf(read), ...ruling, signatures, unread })}\n`);
    } else io.out(text(reference, verified));
    return ruling.allowed ? undefined : EXIT[kindOf(ruling.code ?? 'DENIED')];
  },
};
