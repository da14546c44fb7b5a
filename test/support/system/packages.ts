/**
 * The programs of Debian that the system tests run. Promises: installs only what is missing, with apt alone, removes
 * nothing, starts no service, and says what it found; containerd 2.x comes from a newer suite (newer-suite.ts), beside the
 * machine's own. Refuses to know any host: the mirror is asked of apt.
 */
import { existsSync } from 'node:fs';
import { access, chmod, constants, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { delimiter, join } from 'node:path';
import { APT, fromNewerSuite, QUIET } from './newer-suite.ts';
import { run } from './processes.ts';

/** Debian's own containerd (1.6 in bookworm), or the one of a newer suite. */
export type ContainerdVersion = '1.6' | '2.x';

/** One containerd: where its programs are and what it says its version is. */
export interface Binaries {
  readonly containerd: string;
  readonly ctr: string;
  /** Put in front of PATH, for the shim. */
  readonly path: string;
  /** For example `1.6.20`. */
  readonly version: string;
}

/** What `systemReady` found. */
export type Ready =
  | {
      readonly ok: true;
      readonly containerd: Readonly<Record<ContainerdVersion, Binaries>>;
      /** One line a component: its name and version. */
      readonly versions: readonly string[];
    }
  | { readonly ok: false; readonly why: string };

/** Program and the package that has it. */
const NEEDED: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  runc: 'runc',
  'docker-registry': 'docker-registry',
  skopeo: 'skopeo',
  ip: 'iproute2',
  busybox: 'busybox-static',
  iptables: 'iptables',
  nginx: 'nginx-light',
  curl: 'curl',
};
const POLICY = '/usr/sbin/policy-rc.d';

async function where(program: string): Promise<string | undefined> {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin', '/bin']) {
    const path = join(folder || '.', program);
    const found = await access(path, constants.X_OK).then(
      () => path,
      () => undefined,
    );
    if (found) return found;
  }
  return undefined;
}

/** A dynamic busybox cannot run in an image of its own. */
const isStatic = async (program: string): Promise<boolean> =>
  run(['ldd', program]).then(
    text => /statically linked/.test(text),
    () => true,
  );

async function missing(): Promise<string[]> {
  const packages: string[] = [];
  for (const [program, name] of Object.entries(NEEDED)) {
    const path = await where(program);
    if (!path || (program === 'busybox' && !(await isStatic(path)))) packages.push(name);
  }
  return packages;
}

/** Installs `packages` with a policy that lets no service start, and takes that policy away again. */
async function install(packages: readonly string[]): Promise<void> {
  console.log(`# installing for the system tests: ${packages.join(' ')}`);
  const own = !existsSync(POLICY);
  if (own) {
    await writeFile(POLICY, '#!/bin/sh\nexit 101\n');
    await chmod(POLICY, 0o755);
  }
  try {
    await run([...APT, 'update'], QUIET);
    await run([...APT, 'install', '-y', '--no-install-recommends', '--no-remove', ...packages], QUIET);
  } finally {
    if (own) await rm(POLICY, { force: true });
  }
}

/** containerd 2.x in the cache folder. */
const newerContainerd = (): Promise<Binaries> =>
  fromNewerSuite('containerd', 'containerd-2', async bin => {
    const found = await binaries(bin);
    if (!found.version.startsWith('2.')) throw new Error(`it has containerd ${found.version}`);
    return found;
  });

async function binaries(folder: string): Promise<Binaries> {
  const containerd = join(folder, 'containerd');
  const version = /\bv?(\d+\.\d+\.\d+)/.exec(await run([containerd, '--version']))?.[1];
  if (!version) throw new Error(`${containerd} does not say its version`);
  return { containerd, ctr: join(folder, 'ctr'), path: folder, version };
}

/** Answers whether namespaces and mounts may be made here: a container without rights looks like root. */
async function mayIsolate(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'pinnace-try-'));
  try {
    await run(['unshare', '--net', '--mount', 'mount', '-t', 'tmpfs', 'none', folder]);
    return undefined;
  } catch (error) {
    return `network namespaces and mounts cannot be made here: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The programs whose version matters for what a test finds, and how each tells it. */
const TELLING: readonly (readonly [program: string, flag: string])[] = [
  ['runc', '--version'],
  ['docker-registry', '--version'],
  ['skopeo', '--version'],
  ['nginx', '-v'],
  ['curl', '--version'],
  ['ip', '-V'],
  ['iptables', '--version'],
];

/** What a report must say to be compared with another: the machine, and all that is not in this repository. */
async function versionsOf(containerd: Readonly<Record<ContainerdVersion, Binaries>>): Promise<string[]> {
  const lines = [
    `machine: ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 20)} MiB`,
    `kernel: ${release()}`,
    `node: ${process.version}`,
    `containerd 1.x: ${containerd['1.6'].version}`,
    `containerd 2.x: ${containerd['2.x'].version}`,
  ];
  for (const [program, flag] of TELLING) {
    // nginx tells its version on stderr.
    const told = await run(['sh', '-c', '"$1" "$2" 2>&1', 'sh', (await where(program)) ?? program, flag]);
    lines.push(`${program}: ${/\d+\.\d+[^\s,]*/.exec(told)?.[0] ?? told.split('\n')[0]}`);
  }
  return lines;
}

async function prepared(): Promise<Ready> {
  if (!existsSync('/etc/debian_version') || !(await where('apt-get'))) return { ok: false, why: 'this is no Debian' };
  if (process.getuid?.() !== 0) return { ok: false, why: 'not root: namespaces, containerd and apt need it' };
  const refused = await mayIsolate();
  if (refused) return { ok: false, why: refused };
  try {
    const packages = await missing();
    if (packages.length) await install(packages);
    const containerd = {
      '1.6': await binaries(join((await where('containerd')) as string, '..')),
      '2.x': await newerContainerd(),
    };
    const versions = await versionsOf(containerd);
    return { ok: true, containerd, versions };
  } catch (error) {
    return {
      ok: false,
      why: `the packages are not to be had: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

let answer: Promise<Ready> | undefined;

/**
 * Gets the machine ready for the system tests, once in a process, and says with what. Where that cannot be it says why;
 * with CI=true it throws instead, because there a left-out suite is a failure.
 */
export async function systemReady(): Promise<Ready> {
  answer ??= prepared().then(ready => {
    for (const line of ready.ok ? ready.versions : [`system tests left out: ${ready.why}`]) console.log(`# ${line}`);
    return ready;
  });
  const ready = await answer;
  if (!ready.ok && process.env.CI === 'true') throw new Error(`system tests cannot run: ${ready.why}`);
  return ready;
}
