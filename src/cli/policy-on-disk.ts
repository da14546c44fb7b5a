/**
 * A policy with the files that it names, read for a command. Promises: read as a node reads it. Refuses to judge who signed
 * a bundle: that is said by `pinnace policy verify`.
 */
import { loadPolicy, type PolicyDocument, readPolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { realDisk } from '../store/disk.ts';
import { readBundled, unsealPolicy } from '../trust/policy-bundle.ts';
import { openSigners, type Signers } from '../trust/trust.ts';
import { readPolicyOnce } from './policy-files.ts';

export interface PolicyOnDisk {
  /** As given on the command line. */
  readonly file: string;
  /** By the names that stand in the text. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly policy: Policy;
  readonly document: PolicyDocument;
  /** Its authorities: keys and trust roots were looked at. */
  readonly signers: Signers;
}

/** Reads and loads the policy, or the bundle, of `file`. @throws FILE_UNREADABLE, YAML_INVALID, POLICY_INVALID, PINS_INVALID, BUNDLE_INVALID */
export async function policyAt(file: string): Promise<PolicyOnDisk> {
  const read = await readPolicyOnce(realDisk, file);
  if (read.kind === 'text') return loaded(file, read.text, read.files);
  const { policy, files } = readBundled(unsealPolicy(read.bytes));
  return loaded(file, policy, new Map([...files].map(([name, text]) => [name, Buffer.from(text)])));
}

function loaded(file: string, text: string, files: PolicyOnDisk['files']): PolicyOnDisk {
  const policy = loadPolicy(text, file, files);
  const signers = openSigners(policy.authorities, policy.trustRoots);
  return { file, files, policy, document: readPolicy(text, file), signers };
}

/** Which policy it is, for `--json`. */
export const headOf = ({ file, policy: { name, serial, hash } }: PolicyOnDisk): object => ({
  file,
  name,
  serial,
  hash,
});
