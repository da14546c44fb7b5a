/**
 * What must be true of a state folder after a crash, whatever was under way. Promises: each content that has its name was
 * hashed; only files that changed since are hashed again. Refuses to know who killed whom.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { BuiltImage } from '../images.ts';
import type { ProcessNode } from '../nodes.ts';

const SPOOLED = /^sha256-([a-f0-9]{64})-(\d+)-\d+$/;
/** What the system's log says of a state file that does not open. */
const UNOPENED = /STATE_INVALID|STATE_NEWER/;

async function names(folder: string): Promise<string[]> {
  return existsSync(folder) ? (await readdir(folder)).sort() : [];
}

async function hexOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** The number in a roster, as it lies on the disk. */
export async function rosterOnDisk(node: ProcessNode): Promise<number> {
  const [, payload = ''] = (await readFile(join(node.stateDir, 'roster.jwt'), 'utf8')).split('.');
  return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { seq: number }).seq;
}

/** Numbers of the rosters that lie in a node's folder of incoming files; those that were there and are gone were taken. */
export const rostersWaiting = async (node: ProcessNode): Promise<number[]> =>
  (await names(join(node.stateDir, 'incoming'))).flatMap(name =>
    /^\d+\.jwt$/.test(name) ? [Number.parseInt(name)] : [],
  );

/** Files that a crash left half-written: what shows that a kill came in the middle of a write. */
export async function halfWritten(node: ProcessNode): Promise<string[]> {
  const folders = ['.', 'spool', 'proofs', 'layout', 'layout/.pinnace/staging', 'lock'];
  const found = await Promise.all(
    folders.map(async folder => {
      const all = await names(join(node.stateDir, folder));
      return all
        .filter(name => folder.endsWith('staging') || /\.(new|part)$/.test(name))
        .map(name => join(folder, name));
    }),
  );
  return found.flat();
}

/** Looks at the folder of one node again and again, between its runs and after them. */
export class Aftermath {
  readonly #node: ProcessNode;
  readonly #hashed = new Set<string>();
  /** The highest start number in the audit log so far, and the highest record number. */
  #seen = { start: 0, starts: 0 };

  constructor(node: ProcessNode) {
    this.#node = node;
  }

  /** Starts that the log tells of. */
  get starts(): number {
    return this.#seen.starts;
  }

  /** All that can be checked on the disk alone; a node that runs meanwhile may take files away. */
  async check(images: readonly BuiltImage[]): Promise<void> {
    const at = (...parts: string[]): string => join(this.#node.stateDir, ...parts);
    for (const name of await names(at('layout/blobs/sha256'))) await this.#holds(at('layout/blobs/sha256', name), name);
    for (const name of await names(at('spool'))) {
      const [, hex, size] = SPOOLED.exec(name) ?? [];
      if (hex) await this.#holds(at('spool', name), hex, Number(size));
    }
    await this.#named(images);
    await this.#log();
    assert.doesNotMatch(await readFile(`${this.#node.stateDir}.log`, 'utf8'), UNOPENED);
  }

  async #holds(path: string, hex: string, expected?: number): Promise<void> {
    try {
      const { ino, mtimeMs, size } = await stat(path);
      assert.equal(size, expected ?? size, `${path} has another size than its name says`);
      const key = `${hex} ${ino} ${mtimeMs} ${size}`;
      if (this.#hashed.has(key)) return;
      assert.equal(await hexOf(path), hex, `${path} is not what its name says`);
      this.#hashed.add(key);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  /** An image that has its name in the store is whole in it. */
  async #named(images: readonly BuiltImage[]): Promise<void> {
    const layout = join(this.#node.stateDir, 'layout');
    if (!existsSync(join(layout, 'index.json'))) return;
    const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    for (const { digest } of index.manifests)
      for (const content of images.find(image => image.digest === digest)?.contents ?? [])
        assert.ok(
          existsSync(join(layout, 'blobs', content.digest.replace(':', '/'))),
          `${digest} lacks ${content.digest}`,
        );
  }

  /** Whole lines but where a crash tore one, no record number twice, no start twice. */
  async #log(): Promise<void> {
    if (!existsSync(join(this.#node.stateDir, 'audit.jsonl'))) return;
    let [record, start, starts, torn] = [0, 0, 0, 0];
    for (const line of (await readFile(join(this.#node.stateDir, 'audit.jsonl'), 'utf8')).split('\n')) {
      if (line === '') continue;
      const said = parse(line);
      if (!said) {
        torn += 1;
        continue;
      }
      assert.ok(said.record > record, `record ${said.record} after ${record}`);
      record = said.record;
      if (said.event === 'audit.resumed' && said.torn) torn -= 1;
      if (said.event !== 'node.started') continue;
      starts += 1;
      assert.ok(Number(said.start) > start, `start ${said.start} after ${start}`);
      start = Number(said.start);
    }
    // The last one may not have been told yet.
    assert.ok(torn <= 1, `${torn} torn lines that no record tells of`);
    assert.ok(start >= this.#seen.start && starts >= this.#seen.starts, 'the log lost starts');
    this.#seen = { start, starts };
  }
}

function parse(line: string): { record: number; event: string; start?: number; torn?: boolean } | undefined {
  try {
    return JSON.parse(line) as { record: number; event: string };
  } catch {
    return undefined;
  }
}
