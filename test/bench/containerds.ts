/**
 * Ground of the benches in which a real containerd pulls: the lab of the system tests. Promises: left out, with the reason,
 * where this machine cannot have it. Refuses to know what is measured.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { type Lab, withLab } from '../support/system/lab.ts';
import type { PinnaceNode } from '../support/system/node.ts';
import { systemReady } from '../support/system/packages.ts';
import { LeftOut } from './packages.ts';
import type { Findings } from './report.ts';

/** Runs `body` in a lab; what it found notes the programs. Throws LeftOut. */
export async function inLab(body: (lab: Lab) => Promise<Findings>): Promise<Findings> {
  const ready = await systemReady();
  if (!ready.ok) throw new LeftOut(ready.why);
  let findings: Findings | undefined;
  await withLab(ready, async lab => {
    findings = await body(lab);
  });
  if (!findings) throw new Error('the lab ended without findings');
  return { ...findings, notes: [...findings.notes, ready.versions.join(', ')] };
}

/** Starts a prepared node that logs as little as one in use; tests log all. */
export async function startQuietly(node: PinnaceNode): Promise<PinnaceNode> {
  const text = await readFile(node.config, 'utf8');
  await writeFile(node.config, text.replace(/^log: .*$/m, 'log: {level: warn}'));
  await node.start();
  return node;
}

/** The process of a node that was started. */
export function pidOfNode(node: PinnaceNode): number {
  if (!node.process?.running) throw new Error(`${node.name} does not run`);
  return node.process.pid;
}
