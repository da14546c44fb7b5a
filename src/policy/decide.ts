/**
 * Decisions. Promises: pure, one rule decides, and what no rule allows is denied. Refuses to know the clock, keys and the
 * network. Spec: POLICY.md.
 */
import { type Digest, formatReference, type Registry, type TagReference } from '../oci/oci.ts';
import type { Patterns } from './patterns.ts';
import type { Policy } from './policy.ts';

/** What a policy file says, parsed. */
export interface Rules {
  readonly hash: string;
  readonly vouchers: number;
  /** The host of each name, aliases included. */
  readonly registries: ReadonlyMap<string, Registry>;
  /** `"*"` stands among the registries. */
  readonly mirrorsAll: boolean;
  readonly share: Patterns<true>;
  readonly tags: Patterns<{ readonly min: number; readonly keepMs: number }>;
  readonly pins: ReadonlyMap<string, Digest>;
}

/** The policy that `rules` make. */
export function decideBy(rules: Rules): Policy {
  const registry = (name: Registry): Registry | undefined =>
    rules.registries.get(name) ?? (rules.mirrorsAll ? name : undefined);
  const { hash, vouchers } = rules;
  return {
    hash,
    vouchers,
    registry,
    pull: host => {
      if (registry(host) !== host) return { allowed: false, rule: 'registries: not listed' };
      return { allowed: true, rule: `registries: ${rules.registries.has(host) ? host : '"*"'}` };
    },
    share: reference => {
      const found = rules.share.find(reference.registry, reference.repository);
      return found
        ? { allowed: true, rule: `share: ${found.pattern.text}` }
        : { allowed: false, rule: 'share: no pattern' };
    },
    tag: reference => {
      const digest = rules.pins.get(nameOf(reference));
      if (digest !== undefined) return { by: 'pin', digest };
      const found = rules.tags.find(reference.registry, reference.repository);
      return found ? { by: 'statements', ...found.value } : { by: 'nobody' };
    },
  };
}

const nameOf = ({ registry, repository, tag }: TagReference): string => formatReference({ registry, repository, tag });
