/**
 * Debian's cosign, as who builds images signs them: key pairs made at run time, no services, no network but the test's.
 * Promises: it runs inside a machine of the test's network, with a home of its own, and its password is in its own
 * environment alone; nothing of it stays. Refuses to know Pinnace. Spec: cosign's
 * SIGNATURE_SPEC.md and BUNDLE_SPEC.md.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../../src/oci/oci.ts';
import type { Host } from './netns.ts';
import { fromNewerSuite } from './newer-suite.ts';
import { run } from './processes.ts';

/** How a signature lies in the registry: a sigstore bundle as a referrer, or cosign's older tags `.sig` and `.att`. */
export type SignatureFormat = 'bundle' | 'legacy';

/** A key pair of cosign's own format, made for one test. */
export interface Key {
  /** Paths of the private half, under a passphrase, and of the public one, PEM. */
  readonly private: string;
  readonly public: string;
  /** The public half. */
  readonly pem: string;
}

export interface Cosign {
  /** For example `3.1.1-2`. */
  readonly version: string;
  key(name: string): Promise<Key>;
  /** Signs `image` (`host:port/repository@digest`) and pushes the signature to that registry. */
  sign(image: string, key: Key, format: SignatureFormat): Promise<void>;
  /** Says `predicate` of `image`, signed, and pushes it to that registry. */
  attest(image: string, key: Key, format: SignatureFormat, type: string, predicate: unknown): Promise<void>;
  /** Writes the image with what is signed about it as an OCI layout. */
  save(image: string, layout: string): Promise<void>;
  /** `cosign verify` without any service, from the machine `on`: what it says of each good signature. Throws where there is none. */
  verify(on: Host, image: string, key: Key): Promise<readonly unknown[]>;
  /** The same of attestations of `type`. */
  verifyAttestation(on: Host, image: string, key: Key, type: string): Promise<string>;
}

/** The tags under which cosign puts what it says of `digest` where a registry has no referrers API. */
export const signatureTag = (digest: Digest, format: SignatureFormat, suffix: 'sig' | 'att' = 'sig'): string =>
  `${digest.replace(':', '-')}${format === 'bundle' ? '' : `.${suffix}`}`;

const PASSWORD = 'of a test';
const HTTP = '--allow-http-registry';
const SERVICES = 'no-services.json';
const ROOTS = 'no-roots.json';
/** The flags by which cosign 3 asks no service; the older format needs older flags. */
const OFFLINE: Readonly<Record<SignatureFormat, readonly string[]>> = {
  // With roots of no authority it does not look for those of the public ones either.
  bundle: ['--signing-config', SERVICES, '--trusted-root', ROOTS],
  legacy: ['--use-signing-config=false', '--new-bundle-format=false', '--tlog-upload=false'],
};

interface Program {
  readonly path: string;
  readonly version: string;
}

/** A binary of Debian's does not know its own version; the package's documents do. */
async function checked(bin: string): Promise<Program> {
  const path = join(bin, 'cosign');
  const go = /^GoVersion:\s+(\S+)/m.exec(await run(['sh', '-c', '"$1" version 2>&1', 'sh', path]))?.[1];
  if (!go) throw new Error(`${path} does not say what it is`);
  const changes = join(bin, '..', 'share', 'doc', 'cosign', 'changelog.Debian.gz');
  const version = /\(([^)]+)\)/.exec(await run(['zcat', changes]))?.[1] ?? '';
  if (!version.startsWith('3.')) throw new Error(`it has cosign ${version}`);
  return { path, version };
}

let program: Promise<Program> | undefined;

/** Gets cosign 3.x ready, once in a process, and says which. Needs what `systemReady` needs. */
function cosignProgram(): Promise<Program> {
  program ??= fromNewerSuite('cosign', 'cosign-3', checked).then(found => {
    console.log(`# cosign: ${found.version}`);
    return found;
  });
  return program;
}

/** cosign on the machine `at`, with `home` (made) for its files. */
export async function openCosign(at: Host, home: string): Promise<Cosign> {
  const { path, version } = await cosignProgram();
  await mkdir(home, { recursive: true, mode: 0o700 });
  const env = { PATH: process.env.PATH, HOME: home, COSIGN_PASSWORD: PASSWORD };
  const cosign = (on: Host, ...args: readonly string[]): Promise<string> =>
    run([path, ...args], { netns: on.netns, env, cwd: home });
  await cosign(at, 'signing-config', 'create', '--out', SERVICES);
  await cosign(at, 'trusted-root', 'create', '--out', ROOTS);
  let predicates = 0;
  return {
    version,
    async key(name) {
      await cosign(at, 'generate-key-pair', '--output-key-prefix', name);
      const half = (end: string): string => join(home, `${name}.${end}`);
      return { private: half('key'), public: half('pub'), pem: await readFile(half('pub'), 'utf8') };
    },
    async sign(image, key, format) {
      await cosign(at, 'sign', '--yes', HTTP, '--key', key.private, ...OFFLINE[format], image);
    },
    async attest(image, key, format, type, predicate) {
      const file = `predicate-${predicates++}.json`;
      await writeFile(join(home, file), JSON.stringify(predicate));
      const what = ['--type', type, '--predicate', file];
      await cosign(at, 'attest', '--yes', HTTP, '--key', key.private, ...OFFLINE[format], ...what, image);
    },
    async save(image, layout) {
      await cosign(at, 'save', HTTP, '--dir', layout, image);
    },
    async verify(on, image, key) {
      const said = await cosign(on, 'verify', HTTP, '--key', key.public, '--insecure-ignore-tlog', image);
      return JSON.parse(said) as unknown[];
    },
    verifyAttestation: (on, image, key, type) =>
      cosign(on, 'verify-attestation', HTTP, '--key', key.public, '--insecure-ignore-tlog', '--type', type, image),
  };
}
