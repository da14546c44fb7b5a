/**
 * The operator's folder of a cluster; it is on no node. Promises: nothing in it is overwritten but the roster, whose number
 * only grows, and what is for `incoming/`; a token is on record before it exists; which issuer counts is said by the roster
 * alone. Spec: identity/IDENTITY.md, "The operator's folder".
 */
import type { KeyObject } from 'node:crypto';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { asMirrorError, MirrorError } from '../errors.ts';
import { CREDENTIAL_LIFETIME_MS } from '../identity/credential.ts';
import { sameKey } from '../identity/handover.ts';
import type { Cluster } from '../identity/identity.ts';
import { type Issuer, isClusterId, issuerOf, openKey } from '../identity/issuer.ts';
import { rawPublicKey } from '../identity/key.ts';
import { PUBLIC_KEY_BYTES } from '../identity/peer-id.ts';
import type { PolicyDemand } from '../identity/policy-demand.ts';
import { issueRoster, type Roster, readRoster, under } from '../identity/roster.ts';
import { keepAt, readSecret, realDisk } from '../store/disk.ts';
import { Fields } from '../yaml.ts';
import { type Book, type Issued, readBook, recordIn, type TakenBack } from './issued.ts';

/** The files of a cluster's folder. */
export const FILES = {
  issuer: 'issuer.key',
  recovery: 'recovery.key',
  cluster: 'cluster.json',
  roster: 'roster.jwt',
  issued: 'issued.jsonl',
  lock: 'roster.lock',
  renewed: 'renewed.jwt',
  recovered: 'recovered.jwt',
} as const;
const VERSION = 1;
const DAY_MS = 86_400_000;
/** So many bytes of a later issuer's public key are in its file's name. */
const KEY_NAME_BYTES = 8;

/** What a new roster says beside what the one before it said. */
export interface RosterChange {
  /** Taken back as well, by node name or peer id. */
  readonly revoked?: ReadonlyMap<string, number>;
  /** All handovers, instead of those of the roster before. */
  readonly handovers?: readonly string[];
  /** Instead of the next number. */
  readonly seq?: number;
  /** What it demands of policies, by what the roster before demanded; the same unless given. */
  readonly policy?: (before: PolicyDemand | undefined) => PolicyDemand | undefined;
}

/** Asks for the passphrase of a key file; undefined where it is under none. */
export type AskPassphrase = (pem: string) => Promise<string | undefined>;

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

/** Parses `cluster.json`. @throws STATE_INVALID, STATE_NEWER */
export function parseCluster(text: string, file: string): Cluster {
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
  const [issuer, recovery] = ['issuer', 'recovery'].map(key => {
    const bytes = Buffer.from(fields.string(key), 'base64url');
    return bytes.length === PUBLIC_KEY_BYTES ? new Uint8Array(bytes) : fields.fail(key, 'must be a public key');
  });
  fields.end();
  return { id, issuer: issuer!, recovery };
}

export class ClusterFolder {
  readonly dir: string;
  /** As the cluster was made: its first issuer, and the recovery key. */
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

  /** Where the private half of an issuer's public key is. */
  keyFile(issuer: Uint8Array): string {
    return join(this.dir, keyFileOf(this.cluster, issuer));
  }

  /** The issuer that signs rosters. @throws PASSPHRASE_WRONG, SECRET_EXPOSED, STATE_INVALID, FILE_UNREADABLE */
  async issuer(passphrase: AskPassphrase): Promise<Issuer> {
    return this.#issuerOf((await this.roster()).signer, passphrase);
  }

  /** The issuer that signs credentials: the next one, where the roster names it. @throws as `issuer` */
  async credentialIssuer(passphrase: AskPassphrase): Promise<Issuer> {
    const { signer, next } = await this.roster();
    return this.#issuerOf(next ?? signer, passphrase);
  }

  async #issuerOf(issuer: Uint8Array, passphrase: AskPassphrase): Promise<Issuer> {
    const file = this.keyFile(issuer);
    return issuerOf(this.cluster.id, await openKeyFile(file, issuer, passphrase));
  }

  /** The newest roster. @throws FILE_UNREADABLE, ROSTER_INVALID */
  async roster(): Promise<Roster> {
    const text = await readText(this.path('roster'), 'put the newest roster.jwt of the cluster there');
    return readRoster(text.trim(), this.cluster);
  }

  /** Signs the next roster and puts it in place. @throws FILE_EXISTS while another does, ROSTER_INVALID */
  nextRoster(issuer: Issuer, now: number, change: RosterChange = {}): Promise<Roster> {
    return this.#locked(async () => {
      const last = await this.roster();
      const revoked = new Map(last.revoked);
      for (const [of, until] of change.revoked ?? []) revoked.set(of, Math.max(until, revoked.get(of) ?? 0));
      // What was issued so long ago has expired by itself.
      for (const [of, until] of revoked) if (until + CREDENTIAL_LIFETIME_MS + DAY_MS < now) revoked.delete(of);
      const policy = change.policy ? change.policy(last.policy) : last.policy;
      const jwt = await issueRoster(issuer, {
        seq: change.seq ?? last.seq + 1,
        // A new epoch is dated anew: nodes believe no clock below a roster's date, and who stole the key may have set any.
        issuedAt: change.seq === undefined ? Math.max(now, last.issuedAt) : now,
        revoked,
        handovers: change.handovers ?? last.handovers,
        ...(policy ? { policy } : {}),
      });
      return this.#put(jwt, this.cluster);
    });
  }

  /** Puts a newer roster in place that another folder signed. @throws ROSTER_INVALID, ROSTER_ROLLBACK, FILE_EXISTS */
  adopt(jwt: string): Promise<Roster> {
    return this.#locked(async () => {
      const last = await this.roster();
      if (jwt === last.jwt) return last;
      const { seq } = await readRoster(jwt, under(this.cluster, last));
      if (seq <= last.seq) throw new MirrorError('ROSTER_ROLLBACK', `roster ${seq} is not newer than ${last.seq} here`);
      return this.#put(jwt, this.cluster);
    });
  }

  async #put(jwt: string, cluster: Cluster): Promise<Roster> {
    // Read first: what does not hold is never put in place.
    const roster = await readRoster(jwt, cluster);
    await keepAt(realDisk, this.path('roster')).write(Buffer.from(`${jwt}\n`));
    return roster;
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    const lock = this.path('lock');
    await writeNew(lock, '').catch((error: unknown) => {
      const text = `another command signs a roster here; if it was ended, remove ${lock}`;
      throw new MirrorError('FILE_EXISTS', text, { cause: error });
    });
    try {
      return await work();
    } finally {
      await rm(lock, { force: true });
    }
  }

  /** Everything that was issued and taken back. @throws FILE_UNREADABLE */
  book(): Promise<Book> {
    return readBook(this.path('issued'));
  }

  /** Puts something on record; call it before it is there for anybody. @throws FILE_UNREADABLE */
  record(...lines: readonly (Issued | TakenBack)[]): Promise<void> {
    return recordIn(this.path('issued'), ...lines);
  }
}

/** The name of the file with the private half of an issuer's public key. */
export const keyFileOf = (cluster: Cluster, issuer: Uint8Array): string =>
  sameKey(issuer, cluster.issuer)
    ? FILES.issuer
    : `issuer-${Buffer.from(issuer.subarray(0, KEY_NAME_BYTES)).toString('hex')}.key`;

/** The private half of `publicKey` in a file. @throws PASSPHRASE_WRONG, SECRET_EXPOSED, STATE_INVALID, FILE_UNREADABLE */
export async function openKeyFile(file: string, publicKey: Uint8Array, passphrase: AskPassphrase): Promise<KeyObject> {
  const pem = Buffer.from(await readSecret(realDisk, file)).toString();
  const key = openKey(pem, await passphrase(pem), file);
  if (!sameKey(rawPublicKey(key), publicKey))
    throw new MirrorError('STATE_INVALID', `${file} is not the key that ${FILES.cluster} and ${FILES.roster} name`);
  return key;
}
