/** All commands, in the order in which help lists them. */
import { clusterBackup, clusterRestore } from './backup.ts';
import { clusterInit } from './cluster.ts';
import { clusterRecover, clusterRotateIssuer } from './cluster-issuer.ts';
import type { Command } from './command.ts';
import { credentialRenew } from './credential.ts';
import { debugBundle } from './debug-bundle.ts';
import { evidenceClear, evidenceList, evidenceShow } from './evidence.ts';
import { importCommand } from './import.ts';
import { pinsCheck } from './pins-check.ts';
import { pinsGenerate } from './pins-generate.ts';
import { pinsPrune } from './pins-prune.ts';
import { pinsUpdate } from './pins-update.ts';
import { pullCommand } from './pull.ts';
import { remove } from './remove.ts';
import { revoke } from './revoke.ts';
import { rosterAdopt, rosterSign } from './roster.ts';
import { run } from './run.ts';
import { status } from './status.ts';
import { tagsAdopt, tagsForget, tagsList } from './tags.ts';
import { tokenCreate } from './token.ts';
import { version } from './version.ts';
import { why } from './why.ts';

export const commands: readonly Command[] = [
  run,
  clusterInit,
  clusterBackup,
  clusterRestore,
  clusterRotateIssuer,
  clusterRecover,
  tokenCreate,
  revoke,
  rosterSign,
  rosterAdopt,
  credentialRenew,
  importCommand,
  pullCommand,
  remove,
  pinsGenerate,
  pinsUpdate,
  pinsCheck,
  pinsPrune,
  tagsList,
  tagsAdopt,
  tagsForget,
  evidenceList,
  evidenceShow,
  evidenceClear,
  status,
  why,
  debugBundle,
  version,
];
