/**
 * Programs that Debian has in a newer suite alone. Promises: fetched by apt from the mirror that the machine's own apt
 * uses, with sources, lists and state in a private folder, signed by Debian's archive keys; unpacked, not installed, so
 * the machine keeps its own; kept in the cache folder between runs. Refuses to know what the programs do.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from './processes.ts';

/** apt-get, patient with other installs and with a flaky mirror. */
export const APT = ['apt-get', '-q', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3'] as const;
/** Surroundings in which Debian's programs ask nothing. */
export const QUIET = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
/** The most settled first. */
const SUITES = ['forky', 'sid'] as const;
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** The folder that keeps what is unpacked between runs. */
const cacheFolder = (): string => process.env.PINNACE_TEST_CACHE ?? join(homedir(), '.cache', 'pinnace-test');

/** The address of the mirror that apt takes Debian's main packages from. */
async function aptMirror(): Promise<string> {
  const format = '$(ORIGIN)|$(COMPONENT)|$(CREATED_BY)|$(SITE)|$(RELEASE)';
  const lines = (await run(['apt-get', 'indextargets', '--format', format])).split('\n').map(line => line.split('|'));
  const line = lines.find(([origin, component, by, , release = '']) => {
    return origin === 'Debian' && component === 'main' && by === 'Packages' && /^[a-z]+$/.test(release);
  });
  if (!line?.[3]) throw new Error('apt knows no mirror of Debian: run apt-get update');
  return line[3];
}

/** Downloads `name` of `suite` with an apt of its own, whose lists and sources are in `folder`, and unpacks it. */
async function unpackFrom(suite: string, name: string, folder: string): Promise<string> {
  for (const part of ['sources', 'lists/partial', 'cache/archives/partial'])
    await mkdir(join(folder, part), { recursive: true });
  await writeFile(
    join(folder, 'sources', 'newer.sources'),
    `Types: deb\nURIs: ${await aptMirror()}\nSuites: ${suite}\nComponents: main\nSigned-By: ${KEYRING}\n`,
  );
  const options = {
    'Dir::Etc::sourcelist': '/dev/null',
    'Dir::Etc::sourceparts': join(folder, 'sources'),
    'Dir::State::lists': join(folder, 'lists'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(folder, 'cache'),
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
  };
  const apt = [...APT, ...Object.entries(options).flatMap(([option, value]) => ['-o', `${option}=${value}`])];
  await run([...apt, 'update'], QUIET);
  await run([...apt, 'download', name], { ...QUIET, cwd: folder });
  const file = (await readdir(folder)).find(entry => entry.endsWith('.deb'));
  if (!file) throw new Error(`apt downloaded no ${name} from ${suite}`);
  const unpacked = join(folder, 'unpacked');
  await run(['dpkg', '-x', join(folder, file), unpacked]);
  return unpacked;
}

/**
 * The package `name` as it lies unpacked in the cache folder `home`, fetched where it is not there yet. `check` looks at
 * the folder of its programs and answers what the caller wants of it; it throws where that version is not the right one.
 */
export async function fromNewerSuite<T>(name: string, home: string, check: (bin: string) => Promise<T>): Promise<T> {
  const kept = join(cacheFolder(), home);
  if (existsSync(kept)) return check(join(kept, 'usr', 'bin'));
  console.log(`# fetching ${name} from a newer suite of Debian for the system tests`);
  await mkdir(cacheFolder(), { recursive: true });
  const reasons: string[] = [];
  for (const suite of SUITES) {
    const folder = await mkdtemp(join(cacheFolder(), 'apt-'));
    try {
      const unpacked = await unpackFrom(suite, name, folder);
      await check(join(unpacked, 'usr', 'bin'));
      // Another run may have been quicker; what it put there is as good.
      await rename(unpacked, kept).catch(() => undefined);
      return await check(join(kept, 'usr', 'bin'));
    } catch (error) {
      reasons.push(`${suite}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  throw new Error(`no ${home} to be had: ${reasons.join('; ')}`);
}
