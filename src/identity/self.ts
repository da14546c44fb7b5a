/**
 * This node: its key, its name, its credential. Promises: token, credential, roster and key belong together, proved
 * against the issuer that the token pins; nothing online is needed. Whether the credential still holds is for members.ts.
 * Refuses to know transport and folders.
 */
import { MirrorError } from '../errors.ts';
import type { Node } from '../oci/oci.ts';
import { Fields } from '../yaml.ts';
import type { Keep, World } from '../world.ts';
import { proveCredential } from './credential.ts';
import { epochOf } from './handover.ts';
import type { Cluster, Self } from './identity.ts';
import { deriveSeed, privateKeyOf, rawPublicKey, signWith } from './key.ts';
import { peerIdOf } from './peer-id.ts';
import { type Roster, readRoster } from './roster.ts';
import { type NodeToken, parseToken } from './token.ts';

const VERSION = 1;

export interface SelfOptions {
  /** The text of the token file. */
  readonly token: string;
  /** Where the count of starts is kept. */
  readonly start: Keep;
  readonly world: Pick<World, 'now'>;
}

/** This node, with what its token brought along for `openMembers`. */
export interface OpenSelf extends Self {
  /** The token's roster, proved. */
  readonly roster: Roster;
  /** No roster below this number is believed. */
  readonly lowestSeq: number;
  /** What the credential in force says. */
  node(): Node;
  /** Puts a newer proved credential of this node in force. */
  renew(jwt: string, node: Node): void;
}

/**
 * Opens this node and counts the start on disk before it answers.
 * @throws TOKEN_INVALID, STATE_INVALID, STATE_NEWER, FILE_UNREADABLE
 */
export async function openSelf(options: SelfOptions): Promise<OpenSelf> {
  const token = parseToken(options.token);
  const { name, lowestSeq } = token;
  const cluster: Cluster = { ...token.cluster, epoch: epochOf(lowestSeq) };
  const seed = deriveSeed(token.secret, cluster.id, name);
  const key = privateKeyOf(seed);
  const peer = peerIdOf(rawPublicKey(key));
  const roster = await proveRoster(token, cluster);
  let current = { jwt: token.credential, node: await proveOwn(token, roster, peer) };
  const start = await countStart(options);
  return {
    cluster,
    peer,
    name,
    seed,
    start,
    roster,
    lowestSeq,
    sign: bytes => signWith(key, bytes),
    credential: () => current.jwt,
    node: () => current.node,
    renew: (jwt, node) => {
      if (jwt !== current.jwt) current = { jwt, node };
    },
  };
}

async function proveOwn(token: NodeToken, roster: Roster, peer: Node['peer']): Promise<Node> {
  const { node } = await orToken(proveCredential(token.credential, token.cluster.id, roster, peer));
  if (node.name !== token.name)
    throw new MirrorError('TOKEN_INVALID', `the join token of ${token.name} has the credential of ${node.name} in it`);
  return node;
}

async function proveRoster(token: NodeToken, cluster: Cluster): Promise<Roster> {
  const roster = await orToken(readRoster(token.roster, cluster));
  if (roster.seq < token.lowestSeq)
    throw new MirrorError(
      'TOKEN_INVALID',
      `the join token has roster ${roster.seq} in it, but asks for ${token.lowestSeq}`,
    );
  return roster;
}

async function orToken<T>(proved: Promise<T>): Promise<T> {
  try {
    return await proved;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new MirrorError('TOKEN_INVALID', `the join token does not hold together: ${text}`, { cause: error });
  }
}

/**
 * Above the last, and never below the clock in seconds: a node whose state was lost, or put back from an old copy, goes on
 * above all its earlier starts.
 */
async function countStart({ start, world }: SelfOptions): Promise<number> {
  const bytes = await start.read();
  const next = Math.max(bytes ? readStart(bytes) + 1 : 0, Math.floor(world.now() / 1000));
  await start.write(Buffer.from(`${JSON.stringify({ version: VERSION, start: next })}\n`));
  return next;
}

function readStart(bytes: Uint8Array): number {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString());
  } catch (error) {
    throw new MirrorError('STATE_INVALID', 'the file that counts starts is damaged: remove it', { cause: error });
  }
  const fields = new Fields(json, 'the file that counts starts: ', 'STATE_INVALID');
  if (fields.integer('version', { min: 1, max: Number.MAX_SAFE_INTEGER }) > VERSION)
    throw new MirrorError('STATE_NEWER', 'the file that counts starts is of a newer version of Pinnace');
  return fields.integer('start', { min: 0, max: Number.MAX_SAFE_INTEGER - 1 });
}
