/**
 * `pinnace policy sign FILE`: a policy with its files, signed into a bundle; a bundle, signed by one person more. Promises: what
 * is signed was loaded, and is shown; a policy that no node could take is not signed. Spec: policy/POLICY.md, "Bundles".
 */
import { resolve } from 'node:path';
import { MirrorError } from '../errors.ts';
import type { Policy } from '../policy/policy.ts';
import { keepAt, realDisk } from '../store/disk.ts';
import {
  type BundledPolicy,
  bundlePolicy,
  readBundled,
  type SealedPolicy,
  sealPolicy,
  signPolicy,
  unsealPolicy,
} from '../trust/policy-bundle.ts';
import { packBundle } from '../trust/policy-packing.ts';
import { mustBeNew, parseCluster } from './cluster-folder.ts';
import type { Command, Io } from './command.ts';
import { tellIncoming } from './roster.ts';
import { PASSPHRASE_OPTIONS, passphraseFor } from './passphrase.ts';
import { POLICY_FILE_MAX_BYTES, type ReadPolicy, readPolicyOnce, utf8Of } from './policy-files.ts';
import { loadBundled, loadWhole } from './policy-judge.ts';
import { readSigningKey } from './policy-keys.ts';

/** The largest `cluster.json`, in bytes. */
const CLUSTER_MAX_BYTES = 64 << 10;

/** How the name of a bundle ends. */
const BUNDLE_END = '.policy.json';

/** A policy that may be signed. */
export interface Signable {
  readonly sealed: SealedPolicy;
  readonly bundled: BundledPolicy;
  readonly policy: Policy;
}

/** The id of the cluster in a `cluster.json`. @throws FILE_UNREADABLE, STATE_INVALID, STATE_NEWER */
export async function clusterIn(path: string): Promise<ReturnType<typeof parseCluster>> {
  const bytes = await keepAt(realDisk, resolve(path)).read();
  if (!bytes || bytes.length > CLUSTER_MAX_BYTES)
    throw new MirrorError('FILE_UNREADABLE', `${path} is not there, or is no cluster.json`);
  return parseCluster(Buffer.from(bytes).toString(), path);
}

/** Takes a bundle apart and loads its policy; who signed it is not looked at. @throws BUNDLE_INVALID, POLICY_INVALID, … */
function openBundle(bytes: Uint8Array, file: string): Signable {
  const sealed = unsealPolicy(bytes);
  const bundled = readBundled(sealed);
  return { sealed, bundled, policy: loadBundled(bundled, file) };
}

/** What is to be signed. @throws BUNDLE_INVALID, POLICY_INVALID, YAML_INVALID, PINS_INVALID, FILE_UNREADABLE */
function signable(read: ReadPolicy, file: string, cluster: string): Signable {
  if (read.kind === 'bundle') {
    const opened = openBundle(read.bytes, file);
    if (opened.bundled.cluster !== cluster) throw new MirrorError('BUNDLE_INVALID', `${file} is for another cluster`);
    return opened;
  }
  const policy = loadWhole(read.text, file, read.files);
  const { name, serial, issuedAt, expiresAt } = policy;
  if (expiresAt === undefined)
    throw new MirrorError('POLICY_INVALID', `${file}: metadata.expiresAt: must be there in a signed policy`);
  const files = new Map([...read.files].map(([path, bytes]) => [path, utf8Of(bytes, path)]));
  const bundled = { cluster, name, serial, issuedAt, expiresAt, policy: read.text, files };
  return { sealed: bundlePolicy(bundled), bundled, policy };
}

/** What a bundle says, for --json. */
export const bundleJson = ({ bundled, policy, sealed }: Signable): object => ({
  cluster: bundled.cluster,
  name: bundled.name,
  serial: bundled.serial,
  expiresAt: new Date(bundled.expiresAt).toISOString(),
  hash: policy.hash,
  files: [...bundled.files.keys()],
  signatures: sealed.signatures.map(({ keyid }) => keyid),
});

/** Tells a person what a bundle says. */
export function tellBundle(file: string, { bundled, policy, sealed }: Signable, io: Io): void {
  const { name, serial, expiresAt, files } = bundled;
  io.out(
    `${file}: policy ${name}, serial ${serial}, until ${new Date(expiresAt).toISOString()}, hash ${policy.hash}\n`,
  );
  for (const path of files.keys()) io.out(`  with ${path}\n`);
  for (const { keyid } of sealed.signatures) io.out(`  signed by ${keyid}\n`);
}

/** Where it goes: over the bundle that is signed again, else to a new file. @throws USAGE, FILE_EXISTS */
async function target(file: string, out: unknown, { kind }: ReadPolicy): Promise<string> {
  if (typeof out !== 'string') {
    if (kind === 'bundle') return file;
    throw new MirrorError('USAGE', 'pinnace policy sign needs --out F, such as prod.policy.json');
  }
  if (!out.endsWith(BUNDLE_END)) throw new MirrorError('USAGE', `${out}: name it *${BUNDLE_END}, as nodes look for it`);
  if (resolve(out) !== resolve(file)) await mustBeNew(out);
  else if (kind === 'text') throw new MirrorError('USAGE', `${out} is the policy itself: give another file by --out`);
  return out;
}

export const policySign: Command = {
  name: 'policy sign',
  summary: 'sign a policy with its files, or a signed one by one person more',
  usage: `pinnace policy sign FILE --cluster CLUSTER.JSON --key KEY… [--out F] [--passphrase-file F] [--json]
  FILE                 a policy, or a bundle that others signed: they sign one after the other
  --cluster FILE       cluster.json of the cluster for which it is
  --key FILE           a private key (PEM, 0600), as openssl genpkey -algorithm ed25519 makes it; several: give it again
  --out F              the bundle, named *.policy.json; a bundle that is signed again is replaced unless it is given
  --passphrase-file F  the passphrase of the keys (0600); asked for on a terminal where it is left out
`,
  options: {
    cluster: { type: 'string' },
    key: { type: 'string', multiple: true },
    out: { type: 'string' },
    ...PASSPHRASE_OPTIONS,
  },
  async run({ values, positionals }, io) {
    const [file, ...more] = positionals;
    const keys = (values.key ?? []) as readonly string[];
    if (!file || more.length || !keys.length || typeof values.cluster !== 'string')
      throw new MirrorError('USAGE', 'pinnace policy sign takes one FILE, --cluster and --key');
    const { id } = await clusterIn(values.cluster);
    const read = await readPolicyOnce(realDisk, file);
    const begun = signable(read, file, id);
    const out = await target(file, values.out, read);
    let { sealed } = begun;
    // Shown before it is signed: a passphrase is not typed for what nobody saw.
    if (!io.json) tellBundle(file, begun, io);
    for (const key of keys)
      sealed = unsealPolicy(signPolicy(sealed, await readSigningKey(key, passphraseFor(values, io))));
    await write(out, sealed);
    const done = { ...begun, sealed };
    if (io.json) return io.out(`${JSON.stringify({ file: out, ...bundleJson(done) })}\n`);
    tellBundle(out, done, io);
    tellIncoming(io);
  },
};

/** @throws LIMIT_EXCEEDED where no node would take it, FILE_UNREADABLE */
async function write(out: string, sealed: SealedPolicy): Promise<void> {
  const bytes = sealPolicy(sealed);
  if (bytes.length > POLICY_FILE_MAX_BYTES)
    throw new MirrorError(
      'LIMIT_EXCEEDED',
      `the bundle has ${bytes.length} bytes, nodes take ${POLICY_FILE_MAX_BYTES}`,
    );
  await packBundle(bytes);
  await keepAt(realDisk, resolve(out)).write(bytes);
}
