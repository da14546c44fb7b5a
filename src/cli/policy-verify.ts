/**
 * `pinnace policy verify FILE`: would a node take this bundle? Promises: judged as a node does it, offline, by a roster that the
 * cluster's issuer signed, or by keys that are given. Spec: policy/POLICY.md, "Bundles".
 */
import { dirname, join } from 'node:path';
import { MirrorError } from '../errors.ts';
import type { PolicyDemand } from '../identity/policy-demand.ts';
import { readRoster } from '../identity/roster.ts';
import { realDisk } from '../store/disk.ts';
import { looksLikeBundle, readBundled, unsealPolicy } from '../trust/policy-bundle.ts';
import { unpackBundle } from '../trust/policy-packing.ts';
import { FILES } from './cluster-folder.ts';
import type { Command } from './command.ts';
import { readPolicyBytes } from './policy-files.ts';
import { judgeBundle, signersOf } from './policy-judge.ts';
import { numberIn, readPolicyKey } from './policy-keys.ts';
import { bundleJson, clusterIn, tellBundle } from './policy-sign.ts';
import { readRosterFile } from './roster.ts';

type Values = Readonly<Record<string, unknown>>;
/** What the first bytes of a gzip file are: the bundle that a node keeps. */
const isPacked = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

interface Judges {
  /** Undefined: whichever it names. */
  readonly cluster?: string;
  readonly demand: PolicyDemand | undefined;
}

async function judgesIn(values: Values): Promise<Judges> {
  const { roster, cluster } = values;
  const keys = (values.key ?? []) as readonly string[];
  if ((typeof roster === 'string') === keys.length > 0)
    throw new MirrorError('USAGE', 'pinnace policy verify takes --roster, or --key and --threshold');
  const given = typeof cluster === 'string' ? await clusterIn(cluster) : undefined;
  if (typeof roster === 'string') {
    const known = given ?? (await clusterIn(join(dirname(roster), FILES.cluster)));
    return { cluster: known.id, demand: (await readRoster(await readRosterFile(roster), known)).policy };
  }
  const all = await Promise.all(keys.map(readPolicyKey));
  const threshold = numberIn(values, 'threshold', 1) ?? all.length;
  if (threshold > all.length) throw new MirrorError('USAGE', `${threshold} of ${all.length} keys cannot sign`);
  const demand = { keys: all, threshold, requireSigned: true, lowestSerial: 1 };
  return given ? { cluster: given.id, demand } : { demand };
}

export const policyVerify: Command = {
  name: 'policy verify',
  summary: 'prove a signed policy as a node does',
  usage: `pinnace policy verify FILE (--roster FILE | --key PUB… [--threshold N]) [--cluster CLUSTER.JSON] [--json]
  FILE             a bundle *.policy.json, or policy.bundle of a node's stateDir
  --roster FILE    roster.jwt: its keys, threshold and lowest serial count
  --key FILE       a public key (PEM) that counts; several: give it again
  --threshold N    so many of them must have signed (default all)
  --cluster FILE   cluster.json, with which the roster is proved (default the one beside it)
`,
  options: {
    roster: { type: 'string' },
    key: { type: 'string', multiple: true },
    threshold: { type: 'string' },
    cluster: { type: 'string' },
  },
  async run({ values, positionals }, io) {
    const [file, ...more] = positionals;
    if (!file || more.length) throw new MirrorError('USAGE', 'pinnace policy verify takes one FILE');
    const { cluster, demand } = await judgesIn(values);
    const read = await readPolicyBytes(realDisk, file);
    const bytes = isPacked(read) ? await unpackBundle(read) : read;
    if (!looksLikeBundle(bytes))
      throw new MirrorError('BUNDLE_INVALID', `${file} is no bundle: pinnace policy sign makes one of a policy`);
    const sealed = unsealPolicy(bytes);
    // Proved before it is read.
    const signers = signersOf(sealed, demand);
    const bundled = readBundled(sealed);
    const { policy } = judgeBundle(bytes, file, cluster ?? bundled.cluster, demand);
    const found = { sealed, bundled, policy };
    if (io.json) return io.out(`${JSON.stringify({ file, ...bundleJson(found), counted: signers })}\n`);
    tellBundle(file, found, io);
    io.out(`${signers.length} of these signatures count, ${demand!.threshold} are needed: a node takes it\n`);
  },
};
