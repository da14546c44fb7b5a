/** The whole table of defences, by the promise of README that each of them keeps. */
import { ADMITTED } from './admitted.ts';
import { ADMITTED_ATTACHED } from './admitted-attached.ts';
import { ADMITTED_IN_STORIES } from './admitted-in-stories.ts';
import { ADMITTED_BY_POLICY } from './admitted-by-policy.ts';
import { BY_DIGEST } from './by-digest.ts';
import type { Defence } from './defence.ts';
import { NAMED_BY_ISSUER } from './named-by-issuer.ts';
import { NAMED_BY_PEERS } from './named-by-peers.ts';
import { NAMED_ON_LANES } from './named-on-lanes.ts';
import { NEVER_WORSE } from './never-worse.ts';
import { NEVER_WORSE_BY_PEERS } from './never-worse-by-peers.ts';
import { PROVED } from './proved.ts';
import { RECORDED } from './recorded.ts';

export const TABLE: readonly Defence[] = [
  ...PROVED,
  ...NAMED_BY_ISSUER,
  ...NAMED_BY_PEERS,
  ...NAMED_ON_LANES,
  ...BY_DIGEST,
  ...ADMITTED,
  ...ADMITTED_IN_STORIES,
  ...ADMITTED_ATTACHED,
  ...ADMITTED_BY_POLICY,
  ...RECORDED,
  ...NEVER_WORSE,
  ...NEVER_WORSE_BY_PEERS,
];
