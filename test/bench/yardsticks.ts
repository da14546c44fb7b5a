/**
 * What Pinnace is compared with: Debian's nginx and curl, tuned once. Promises: the faster of sendfile on and off is taken,
 * by trying both; the configuration that ran is handed out with the results. Refuses to know Pinnace.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type BenchImage, blobPath } from './image.ts';
import type { Ground } from './ground.ts';
import { needPrograms } from './packages.ts';
import { freePorts, type Processes, type Running, until } from './processes.ts';
import { median } from './measure.ts';
import { type Contender, race } from './rounds.ts';

const PROGRAMS = { nginx: 'nginx', curl: 'curl', openssl: 'openssl' } as const;
/** Rounds in which sendfile on and off are tried. */
const TUNING_ROUNDS = 3;
/** Milliseconds for nginx to listen. */
const START_TIMEOUT_MS = 10_000;

export interface Yardsticks {
  /** file → nginx TLS 1.3 → nginx proxy → curl; verifies nothing. */
  readonly proxied: Contender;
  /** The same, piped into `openssl dgst -sha256`. */
  readonly proxiedHashed: Contender;
  /** file → nginx plain → curl. */
  readonly local: Contender;
  /** Which way of sendfile was taken, with what both gave. */
  readonly notes: readonly string[];
  /** The configuration files, by name. */
  readonly files: Readonly<Record<string, string>>;
}

/** Gets `url` by curl and throws unless exactly `bytes` came with status 200. */
export async function curl(processes: Processes, program: string, url: string, bytes: number): Promise<void> {
  const args = ['-q', '-sS', '--noproxy', '*', '-o', '/dev/null', '-w', '%{http_code} %{size_download}', url];
  const answer = await processes.run(program, args);
  if (answer !== `200 ${bytes}`) throw new Error(`${url}: wanted 200 ${bytes}, got ${answer}`);
}

/** Gets `url` by curl into `openssl dgst -sha256` and throws unless it has the digest in hex `hex`. */
export async function curlHashed(
  processes: Processes,
  programs: Readonly<Record<'curl' | 'openssl', string>>,
  url: string,
  hex: string,
): Promise<void> {
  const script = '"$1" -q -sS --noproxy "*" "$3" | "$2" dgst -sha256 -r';
  const answer = await processes.run('sh', ['-c', script, 'sh', programs.curl, programs.openssl, url]);
  if (!answer.startsWith(hex)) throw new Error(`${url}: wanted ${hex}, got ${answer}`);
}

/** Fills in `@name@` in a configuration; throws where one is not known. */
export const fillIn = (text: string, words: Readonly<Record<string, string | number>>): string =>
  text.replace(/@([a-z-]+)@/g, (_, name: string) => {
    const word = words[name];
    if (word === undefined) throw new Error(`the configuration asks for @${name}@`);
    return String(word);
  });

async function startNginx(
  ground: Ground,
  nginx: string,
  name: 'nginx-origin' | 'nginx-proxy',
  words: Readonly<Record<string, string | number>>,
): Promise<{ nginx: Running; text: string }> {
  const dir = String(words['dir']);
  const text = await readFile(join(import.meta.dirname, `${name}.conf`), 'utf8');
  const file = join(dir, `${name}.conf`);
  await writeFile(file, fillIn(text, words));
  // Workers that fall back to another user could not read the private folder.
  const directives = `daemon off;${process.getuid?.() === 0 ? ' user root;' : ''}`;
  const running = ground.processes.start(nginx, ['-e', 'stderr', '-p', dir, '-c', file, '-g', directives]);
  const port = words[name === 'nginx-origin' ? 'plain-on' : 'proxy'];
  await until(`${name} listening`, START_TIMEOUT_MS, ground.signal, async () => {
    if (running.ended()) throw new Error(`${name} ended: ${running.output()}`);
    return fetch(`http://127.0.0.1:${port}/`, { signal: ground.signal }).then(
      async answer => (await answer.arrayBuffer(), true),
      () => undefined,
    );
  });
  return { nginx: running, text };
}

async function makeCertificate(processes: Processes, openssl: string, dir: string): Promise<void> {
  const names = ['-subj', '/CN=origin', '-addext', 'subjectAltName=DNS:origin'];
  const files = ['-keyout', join(dir, 'origin.key'), '-out', join(dir, 'origin.crt')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  await processes.run(openssl, ['req', '-x509', ...key, ...names, ...files]);
}

/** Runs both ways of a contender and answers the faster, with a note. */
async function faster(ground: Ground, what: string, on: Contender, off: Contender): Promise<[Contender, string]> {
  const { signal, say } = ground;
  const samples = await race([on, off], { rounds: Math.min(TUNING_ROUNDS, ground.rounds), warm: 1, signal, say });
  const speed = (one: Contender): number =>
    one.bytes / 1e6 / median(samples.get(one.name)!.map(({ seconds }) => seconds));
  const [a, b] = [speed(on), speed(off)];
  const note = `${what}: sendfile ${a >= b ? 'on' : 'off'} (on ${a.toFixed(0)}, off ${b.toFixed(0)} MB/s)`;
  return [a >= b ? on : off, note];
}

/** Starts both nginx on ports of their own over the layer of `image`, and tunes them. Throws LeftOut. */
export async function startYardsticks(ground: Ground, image: BenchImage): Promise<Yardsticks> {
  const { processes } = ground;
  const programs = await needPrograms(processes, PROGRAMS, ground.say);
  const dir = join(ground.dir, 'nginx');
  await mkdir(dir, { mode: 0o700 });
  await makeCertificate(processes, programs.openssl, dir);
  const names = ['tls-on', 'tls-off', 'plain-on', 'plain-off', 'proxy'];
  const ports = await freePorts(names.length);
  const layer = blobPath(image, image.layer.digest);
  const words = { dir, files: dirname(layer), ...Object.fromEntries(names.map((name, at) => [name, ports[at]!])) };
  const origin = await startNginx(ground, programs.nginx, 'nginx-origin', words);
  const proxy = await startNginx(ground, programs.nginx, 'nginx-proxy', words);

  const bytes = image.layer.size;
  const hex = image.layer.digest.slice('sha256:'.length);
  const both = { origin: origin.nginx.pid, proxy: proxy.nginx.pid };
  const port = (name: string): number => ports[names.indexOf(name)]!;
  const proxiedUrl = (way: 'on' | 'off'): string => `http://127.0.0.1:${port('proxy')}/sendfile-${way}/${hex}`;
  const plain = (way: 'on' | 'off'): Contender => ({
    name: `nginx plain, sendfile ${way}`,
    bytes,
    run: () => curl(processes, programs.curl, `http://127.0.0.1:${port(`plain-${way}`)}/${hex}`, bytes),
    processes: () => ({ nginx: both.origin }),
  });
  const proxied = (way: 'on' | 'off'): Contender => ({
    name: `nginx TLS → nginx proxy, sendfile ${way}`,
    bytes,
    run: () => curl(processes, programs.curl, proxiedUrl(way), bytes),
    processes: () => both,
  });
  ground.say('yardsticks: sendfile on or off');
  const [bestPlain, plainNote] = await faster(ground, 'nginx plain', plain('on'), plain('off'));
  const [bestProxied, proxiedNote] = await faster(ground, 'nginx TLS → nginx proxy', proxied('on'), proxied('off'));
  const url = proxiedUrl(bestProxied.name.endsWith('on') ? 'on' : 'off');
  return {
    proxied: { ...bestProxied, name: 'nginx TLS → nginx proxy → curl' },
    proxiedHashed: {
      ...bestProxied,
      name: 'nginx TLS → nginx proxy → curl | openssl dgst -sha256',
      run: () => curlHashed(processes, programs, url, hex),
    },
    local: { ...bestPlain, name: 'nginx plain → curl' },
    notes: [plainNote, proxiedNote],
    files: { 'nginx-origin.conf': origin.text, 'nginx-proxy.conf': proxy.text },
  };
}
