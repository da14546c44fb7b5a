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
import { policyDiff } from './policy-diff.ts';
import { policyExplain } from './policy-explain.ts';
import { policyLint } from './policy-lint.ts';
import { policyMigrate } from './policy-migrate.ts';
import { policyTest } from './policy-test.ts';
import { policySign } from './policy-sign.ts';
import { policyVerify } from './policy-verify.ts';
import { pullCommand } from './pull.ts';
import { remove } from './remove.ts';
import { revoke } from './revoke.ts';
import { rosterAdopt, rosterSign } from './roster.ts';
import { run } from './run.ts';
import { status } from './status.ts';
import { tagsAdopt, tagsForget, tagsList } from './tags.ts';
import { tokenCreate } from './token.ts';
import { verifyImage } from './verify-image.ts';
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
  policyLint,
  policyTest,
  policyExplain,
  policyDiff,
  policyMigrate,
  policySign,
  policyVerify,
  verifyImage,
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
