/** The whole table of defences, by the promise of README that each of them keeps. */
import { ADMITTED } from './admitted.ts';
import { BY_DIGEST } from './by-digest.ts';
import type { Defence } from './defence.ts';
import { NAMED } from './named.ts';
import { NEVER_WORSE } from './never-worse.ts';
import { PROVED } from './proved.ts';
import { RECORDED } from './recorded.ts';

export const TABLE: readonly Defence[] = [...PROVED, ...NAMED, ...BY_DIGEST, ...ADMITTED, ...RECORDED, ...NEVER_WORSE];
