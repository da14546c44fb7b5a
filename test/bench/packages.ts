/**
 * The Debian programs that yardsticks need. Promises: installs only what is missing, starts no service, and says why where
 * it cannot. Refuses to know what they are for.
 */
import { existsSync } from 'node:fs';
import { unlink, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { Processes } from './processes.ts';

/** What invoke-rc.d asks before it starts a service; exit 101 forbids it. */
const POLICY_FILE = '/usr/sbin/policy-rc.d';
const FORBID = '#!/bin/sh\nexit 101\n';
/** Seconds to wait while another apt holds its lock. */
const LOCK_TIMEOUT_S = 120;
/** Where programs of the system stand that a plain user's PATH leaves out. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/sbin'];

/** Thrown where a bench cannot run on this machine, and why; it is then left out, not failed. */
export class LeftOut extends Error {}

/** The path of a program, or undefined. */
export function programPath(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_FOLDERS];
  return folders.map(folder => join(folder, name)).find(path => existsSync(path));
}

async function install(processes: Processes, packages: readonly string[]): Promise<void> {
  const mine = await writeFile(POLICY_FILE, FORBID, { flag: 'wx', mode: 0o755 }).then(
    () => true,
    () => false, // one stands there already and is left as it is
  );
  try {
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    const apt = ['-qq', '-o', `DPkg::Lock::Timeout=${LOCK_TIMEOUT_S}`];
    await processes.run('apt-get', [...apt, 'update'], { env });
    await processes.run('apt-get', [...apt, 'install', '-y', '--no-install-recommends', '--no-remove', ...packages], {
      env,
    });
  } finally {
    if (mine) await unlink(POLICY_FILE);
  }
}

/**
 * Sees to it that each program is there (name → Debian package); answers their paths.
 * Throws LeftOut where one is missing and this is no Debian, or not root.
 */
export async function needPrograms<Name extends string>(
  processes: Processes,
  programs: Readonly<Record<Name, string>>,
  say: (text: string) => void,
): Promise<Record<Name, string>> {
  const names = Object.keys(programs) as Name[];
  const missing = names.filter(name => !programPath(name));
  if (missing.length > 0) {
    const packages = missing.map(name => programs[name]);
    if (!existsSync('/etc/debian_version') || process.getuid?.() !== 0)
      throw new LeftOut(`needs ${packages.join(', ')}; installs them by itself only on Debian as root`);
    say(`installing ${packages.join(', ')}`);
    await install(processes, packages);
  }
  return Object.fromEntries(names.map(name => [name, programPath(name) ?? name])) as Record<Name, string>;
}
