/**
 * Policies of tests. Promises: a short text (registries, share, tags, pins, vouchers) says as much as a policy in whole,
 * and becomes one by `migrate`, with its pins as a lock file. Refuses to know who reads it.
 */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { lockFileOf, migrate } from '../../src/policy/migrate.ts';
import { loadPolicy } from '../../src/policy/parse.ts';
import type { Policy } from '../../src/policy/policy.ts';

/** A policy and the files that it names, as written in it. */
export interface PolicyTexts {
  readonly text: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** The policy that `text` says for `file`: in the short form, or already whole. */
export function policyTexts(text: string, file = 'policy.yaml'): PolicyTexts {
  if (/^apiVersion:/m.test(text)) return { text, files: new Map() };
  const { policy, pins } = migrate(text, file);
  return { text: policy, files: new Map(pins === undefined ? [] : [[lockFileOf(file), Buffer.from(pins)]]) };
}

/** Loads what `text`, short or whole, says. */
export function policyOf(text: string, file = 'policy.yaml'): Policy {
  const { text: whole, files } = policyTexts(text, file);
  return loadPolicy(whole, file, files);
}

/** Writes what `text`, short or whole, says to `file`, and its pins beside it: those first, as a node may look at any time. */
export async function writePolicy(file: string, text: string): Promise<void> {
  const { text: whole, files } = policyTexts(text, file);
  for (const [name, bytes] of files) await writeFile(join(dirname(file), name), bytes);
  await writeFile(file, whole);
}

/** When the policies of `whole` are issued: 2026-11-20, in ms since 1970. */
export const ISSUED_AT = Date.UTC(2026, 10, 20);

/** A policy of the language, without an end unless `metadata` says one; `rest` is all below its head. */
export const whole = (rest: string, metadata = ''): string =>
  `apiVersion: pinnace.policy/v1\nkind: MirrorPolicy\nmetadata: {name: test, serial: 1, issuedAt: 2026-11-20T00:00:00Z${metadata}}\n${rest}`;
