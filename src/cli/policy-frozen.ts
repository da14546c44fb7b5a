/**
 * Policies that stand in where none is good. Promises: nothing new is admitted by them. Spec: policy/POLICY.md, "Bundles".
 */
import { loadPolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';

const NONE = `apiVersion: pinnace.policy/v1
kind: MirrorPolicy
metadata: {name: none, serial: 1, issuedAt: 1970-01-01T00:00:00Z}
`;

/** The policy of a node that has none: nothing is mirrored, shared or admitted. */
export const noPolicy = (): Policy => loadPolicy(NONE, 'no policy', new Map());

/** `policy` as if it had expired with `onExpiry: freeze`: what was admitted stays, nothing new is; its own end holds, too. */
export const frozen = (policy: Policy): Policy => ({
  ...policy,
  expiresAt: policy.issuedAt,
  onExpiry: 'freeze',
  needsSignatures: () => false,
  admit: ({ registry, repository }) => ({
    allowed: false,
    rule: policy.rule(registry, repository).name,
    code: 'POLICY_EXPIRED',
    detail: `the policy ${policy.name} ${policy.serial} holds no longer under the roster in force`,
  }),
});
