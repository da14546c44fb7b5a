/**
 * The operator's folder of a cluster; it is on no node. Promises: nothing in it is overwritten but the roster, whose number
 * only grows; a token is on record before it exists. Files: `issuer.key`, `recovery.key` (PKCS#8 PEM), `cluster.json` (id
 * and public keys), `roster.jwt` (the newest), `issued.jsonl` (a line for each token), `roster.lock` (while one is signed).
 */
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { asMirrorError, MirrorError } from '../errors.ts';
import { CREDENTIAL_LIFETIME_MS } from '../identity/credential.ts';
import type { Cluster } from '../identity/identity.ts';
import { type Issuer, isClusterId, issuerOf, openKey } from '../identity/issuer.ts';
import { PUBLIC_KEY_BYTES } from '../identity/peer-id.ts';
import { issueRoster, type Roster, readRoster } from '../identity/roster.ts';
import { type PeerId, parseNodeName, parsePeerId } from '../oci/oci.ts';
import { journalAt, keepAt, readSecret, realDisk } from '../store/disk.ts';
import { Fields } from '../yaml.ts';

/** The files of a cluster's folder. */
export const FILES = {
  issuer: 'issuer.key',
  recovery: 'recovery.key',
  cluster: 'cluster.json',
  roster: 'roster.jwt',
  issued: 'issued.jsonl',
  lock: 'roster.lock',
} as const;
const VERSION = 1;
const DAY_MS = 86_400_000;

/** One token that was made. */
export interface Issued {
  readonly node: string;
  readonly peer: PeerId;
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
}

/** Refuses a path where something is already. @throws FILE_EXISTS, FILE_UNREADABLE */
export async function mustBeNew(path: string): Promise<void> {
  if (await realDisk.facts(path)) throw new MirrorError('FILE_EXISTS', `${path} exists and is not overwritten`);
}

/** Writes a new file, 0600, and never over another. @throws FILE_EXISTS, FILE_UNREADABLE */
export async function writeNew(path: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw new MirrorError('FILE_EXISTS', `${path} exists and is not overwritten`, { cause: error });
    throw asMirrorError(error, 'FILE_UNREADABLE', `cannot write ${path}`);
  }
}

async function readText(path: string, missing: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new MirrorError('FILE_UNREADABLE', `cannot read ${path}: ${missing}`, { cause: error });
  }
}

/** The text of `cluster.json`. */
export function formatCluster(cluster: Cluster, recovery: Uint8Array): string {
  const [issuer, other] = [cluster.issuer, recovery].map(key => Buffer.from(key).toString('base64url'));
  return `${JSON.stringify({ version: VERSION, id: cluster.id, issuer, recovery: other }, undefined, 2)}\n`;
}

function parseCluster(text: string, file: string): Cluster {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new MirrorError('STATE_INVALID', `${file} is damaged`, { cause: error });
  }
  const fields = new Fields(json, `${file}: `, 'STATE_INVALID');
  if (fields.integer('version', { min: 1, max: Number.MAX_SAFE_INTEGER }) > VERSION)
    throw new MirrorError('STATE_NEWER', `${file} is of a newer version of Pinnace`);
  const id = fields.string('id');
  if (!isClusterId(id)) fields.fail('id', 'must be 32 hex digits');
  const [issuer] = ['issuer', 'recovery'].map(key => {
    const bytes = Buffer.from(fields.string(key), 'base64url');
    return bytes.length === PUBLIC_KEY_BYTES ? new Uint8Array(bytes) : fields.fail(key, 'must be a public key');
  });
  fields.end();
  return { id, issuer: issuer! };
}

export class ClusterFolder {
  readonly dir: string;
  readonly cluster: Cluster;

  private constructor(dir: string, cluster: Cluster) {
    this.dir = dir;
    this.cluster = cluster;
  }

  /** @throws FILE_UNREADABLE, STATE_INVALID, STATE_NEWER */
  static async open(dir: string): Promise<ClusterFolder> {
    const file = join(dir, FILES.cluster);
    const text = await readText(file, 'give the folder of `pinnace cluster init` by --dir');
    return new ClusterFolder(dir, parseCluster(text, file));
  }

  path(name: keyof typeof FILES): string {
    return join(this.dir, FILES[name]);
  }

  /** The issuer; `passphrase` is asked for only where the key is under one. @throws PASSPHRASE_WRONG, SECRET_EXPOSED, STATE_INVALID */
  async issuer(passphrase: (pem: string) => Promise<string | undefined>): Promise<Issuer> {
    const file = this.path('issuer');
    const pem = Buffer.from(await readSecret(realDisk, file)).toString();
    const issuer = issuerOf(this.cluster.id, openKey(pem, await passphrase(pem), file));
    if (!Buffer.from(issuer.cluster.issuer).equals(this.cluster.issuer))
      throw new MirrorError('STATE_INVALID', `${file} is not the key that ${FILES.cluster} names`);
    return issuer;
  }

  /** The newest roster. @throws FILE_UNREADABLE, ROSTER_INVALID */
  async roster(): Promise<Roster> {
    const text = await readText(this.path('roster'), 'put the newest roster.jwt of the cluster there');
    return readRoster(text.trim(), this.cluster);
  }

  /** Signs the next roster, with `more` taken back as well, and puts it in place. @throws FILE_EXISTS while another does */
  async nextRoster(issuer: Issuer, now: number, more: ReadonlyMap<string, number>): Promise<Roster> {
    const lock = this.path('lock');
    await writeNew(lock, '').catch((error: unknown) => {
      const text = `another command signs a roster here; if it was ended, remove ${lock}`;
      throw new MirrorError('FILE_EXISTS', text, { cause: error });
    });
    try {
      const { seq, revoked: before, issuedAt } = await this.roster();
      const revoked = new Map(before);
      for (const [of, until] of more) revoked.set(of, Math.max(until, revoked.get(of) ?? 0));
      // What was issued so long ago has expired by itself.
      for (const [of, until] of revoked) if (until + CREDENTIAL_LIFETIME_MS + DAY_MS < now) revoked.delete(of);
      const jwt = await issueRoster(issuer, { seq: seq + 1, issuedAt: Math.max(now, issuedAt), revoked });
      await keepAt(realDisk, this.path('roster')).write(Buffer.from(`${jwt}\n`));
      return await readRoster(jwt, this.cluster);
    } finally {
      await rm(lock, { force: true });
    }
  }

  /** Every token that was made, the oldest first. @throws FILE_UNREADABLE */
  async issued(): Promise<readonly Issued[]> {
    const bytes = await keepAt(realDisk, this.path('issued')).read();
    return Buffer.from(bytes ?? [])
      .toString()
      .split('\n')
      .flatMap(readIssued);
  }

  /** Puts a token on record; call it before the token is there for anybody. @throws FILE_UNREADABLE */
  async record(issued: Issued): Promise<void> {
    // The first line end cuts off what an earlier record left half-written.
    await journalAt(realDisk, this.path('issued')).append(Buffer.from(`\n${JSON.stringify(issued)}\n`));
  }
}

/** A half-written line is of a token that was never made. */
function readIssued(line: string): Issued[] {
  try {
    const { node, peer, issuedAt } = JSON.parse(line) as Record<string, unknown>;
    if (!Number.isSafeInteger(issuedAt)) return [];
    return [{ node: parseNodeName(String(node)), peer: parsePeerId(String(peer)), issuedAt: issuedAt as number }];
  } catch {
    return [];
  }
}
