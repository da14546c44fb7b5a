/**
 * Does a policy count under the roster in force? Promises: signatures and cluster are looked at before a policy is read; what
 * a bundle says of itself is what its policy says. Refuses to know where it came from, and what was in force before. Spec:
 * policy/POLICY.md, "Bundles".
 */
import { hasCode, MirrorError } from '../errors.ts';
import type { PolicyDemand } from '../identity/policy-demand.ts';
import { loadPolicy, policyFiles } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import {
  type BundledPolicy,
  provePolicy,
  readBundled,
  type SealedPolicy,
  unsealPolicy,
} from '../trust/policy-bundle.ts';
import { openSigners } from '../trust/signers.ts';

/** What the policy in a bundle is called, whatever the bundle is: its hash is the same on all nodes. */
const BUNDLED_NAME = 'policy.yaml';

/** A policy that may come into force. */
export interface Candidate {
  /** Where it came from, for people. */
  readonly file: string;
  readonly policy: Policy;
  /** The bundle in which it came. */
  readonly sealed?: SealedPolicy;
}

const invalid = (file: string, why: string): MirrorError => new MirrorError('BUNDLE_INVALID', `${file}: ${why}`);

/** Loads a policy, and looks at its keys and trust roots too. @throws YAML_INVALID, POLICY_INVALID, PINS_INVALID */
export function loadWhole(text: string, file: string, files: ReadonlyMap<string, Uint8Array>): Policy {
  const policy = loadPolicy(text, file, files);
  // A key that nobody can use is found here, while the last good policy is in force, and not at the first pull.
  openSigners(policy.authorities, policy.trustRoots);
  return policy;
}

/** Runs `load`; what it refuses says in which bundle. */
function within<T>(file: string, load: () => T): T {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    throw new MirrorError(error.code, `${file}: ${error.message}`, { cause: error });
  }
}

/** The policy that a bundle carries, which says the same as the bundle does. @throws BUNDLE_INVALID, POLICY_INVALID, … */
export function loadBundled(bundled: BundledPolicy, file: string): Policy {
  const { policy: text, files } = bundled;
  const named = [...within(file, () => policyFiles(text, BUNDLED_NAME))].sort();
  if (named.join('\n') !== [...files.keys()].sort().join('\n'))
    throw invalid(file, 'its files are not those that its policy names');
  const bytes = new Map([...files].map(([path, one]) => [path, Buffer.from(one)]));
  const policy = within(file, () => loadWhole(text, BUNDLED_NAME, bytes));
  for (const field of ['name', 'serial', 'issuedAt', 'expiresAt'] as const)
    if (policy[field] !== bundled[field]) throw invalid(file, `its ${field} is not that of its policy`);
  return policy;
}

/** Proves and loads a bundle. @throws BUNDLE_INVALID, POLICY_UNSIGNED, POLICY_ROLLBACK, and as `loadPolicy` */
export function judgeBundle(
  bytes: Uint8Array,
  file: string,
  cluster: string,
  demand: PolicyDemand | undefined,
): Candidate & { readonly sealed: SealedPolicy } {
  const sealed = unsealPolicy(bytes);
  signersOf(sealed, demand);
  const bundled = readBundled(sealed);
  if (bundled.cluster !== cluster) throw invalid(file, 'it is for another cluster');
  refuseLow(bundled.serial, demand);
  return { file, policy: loadBundled(bundled, file), sealed };
}

/** The ids of the keys that count and signed it. @throws BUNDLE_INVALID, POLICY_UNSIGNED where they are too few */
export function signersOf(sealed: SealedPolicy, demand: PolicyDemand | undefined): readonly string[] {
  if (!demand) throw new MirrorError('POLICY_UNSIGNED', 'the roster names no key whose signature on a policy counts');
  return provePolicy(sealed, demand);
}

function refuseLow(serial: number, demand: PolicyDemand | undefined): void {
  if (demand && serial < demand.lowestSerial)
    throw new MirrorError(
      'POLICY_ROLLBACK',
      `the policy has serial ${serial}, and the roster takes none below ${demand.lowestSerial}`,
    );
}

/** Refuses a policy that was loaded, where the roster does not let it count. @throws BUNDLE_INVALID, POLICY_UNSIGNED, POLICY_ROLLBACK */
export function judgeLoaded({ policy, sealed }: Candidate, demand: PolicyDemand | undefined): void {
  if (sealed) signersOf(sealed, demand);
  else if (demand?.requireSigned)
    throw new MirrorError('POLICY_UNSIGNED', 'the policy is not signed, and the roster takes signed ones only');
  refuseLow(policy.serial, demand);
}

/** True where the roster lets it count. */
export function counts(candidate: Candidate, demand: PolicyDemand | undefined): boolean {
  try {
    judgeLoaded(candidate, demand);
    return true;
  } catch (error) {
    if (hasCode(error, 'BUNDLE_INVALID', 'POLICY_UNSIGNED', 'POLICY_ROLLBACK')) return false;
    throw error;
  }
}
