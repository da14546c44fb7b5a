/**
 * A cluster made at run time: issuer, node tokens, rosters; and nodes that a cluster must refuse. Everything is real but
 * the clock, the randomness and the disk, which the caller may bring.
 */
import { type Issuer, issuerOf, newClusterId, newKey } from '../../src/identity/issuer.ts';
import { issueCredential } from '../../src/identity/credential.ts';
import { deriveSeed, privateKeyOf, rawPublicKey } from '../../src/identity/key.ts';
import { type OpenMembers, openMembers } from '../../src/identity/members.ts';
import { peerIdOf } from '../../src/identity/peer-id.ts';
import { issueRoster } from '../../src/identity/roster.ts';
import { type OpenSelf, openSelf } from '../../src/identity/self.ts';
import { formatToken } from '../../src/identity/token.ts';
import type { PeerId, Role } from '../../src/oci/oci.ts';
import { type Keep, realWorld, type World } from '../../src/world.ts';

export const DAY_MS = 86_400_000;

/** A state file in memory. */
export function memoryKeep(bytes?: Uint8Array): Keep & { bytes: Uint8Array<ArrayBuffer> | undefined } {
  return {
    bytes: bytes && new Uint8Array(bytes),
    async read() {
      return this.bytes;
    },
    async write(next) {
      this.bytes = new Uint8Array(next);
    },
  };
}

export interface NodeDraft {
  readonly name: string;
  readonly zone?: string;
  /** fetch, serve and attest unless given. */
  readonly roles?: readonly Role[];
  /** Milliseconds since 1970; now unless given. */
  readonly issuedAt?: number;
  readonly expiresAt?: number;
}

export interface ClusterNode {
  readonly name: string;
  /** The text of its token file. */
  readonly token: string;
  readonly peer: PeerId;
  /** The JWT in its token. */
  readonly credential: string;
  readonly self: OpenSelf;
  /** A fresh `Members` as this node has them at its first start; it knows only itself. */
  readonly members: (keeps?: { roster?: Keep; credentials?: Keep }, signal?: AbortSignal) => Promise<OpenMembers>;
}

export interface RosterDraft {
  readonly seq: number;
  /** Node names or peer ids; each with the moment up to which it is taken back, now unless given. */
  readonly revoked?: readonly (string | { readonly of: string; readonly before: number })[];
  readonly issuedAt?: number;
  readonly expiresAt?: number;
}

export interface TestCluster {
  readonly id: string;
  readonly issuer: Issuer;
  readonly world: World;
  /** Roster 1, which is in every token. */
  readonly roster: string;
  readonly nodes: readonly ClusterNode[];
  /** The node of that name. */
  readonly node: (name: string) => ClusterNode;
  /** Another node of this cluster, by a token of its own; the same name again gives another key. */
  readonly add: (draft: NodeDraft | string) => Promise<ClusterNode>;
  /** A node whose credential ended a day ago. */
  readonly expired: (name: string) => Promise<ClusterNode>;
  /** A node of another cluster that took this one's id, so only its signature tells. */
  readonly forged: (name: string) => Promise<ClusterNode>;
  /** Signs a roster. */
  readonly signRoster: (draft: RosterDraft) => Promise<string>;
}

export interface ClusterDraft {
  readonly nodes?: readonly (NodeDraft | string)[];
  readonly world?: World;
  readonly id?: string;
  /** When roster 1 ends; 90 days from now unless given. */
  readonly rosterExpiresAt?: number;
}

const ROLES_DEFAULT: readonly Role[] = ['fetch', 'serve', 'attest'];

/** Makes a cluster. Two calls make two clusters: a node of one is foreign to the other. */
export async function makeCluster(draft: ClusterDraft = {}): Promise<TestCluster> {
  const world = draft.world ?? realWorld;
  const issuer = issuerOf(draft.id ?? newClusterId(world), newKey(world));
  const signRoster = ({ seq, revoked = [], ...rest }: RosterDraft): Promise<string> =>
    issueRoster(issuer, {
      seq,
      issuedAt: world.now(),
      revoked: new Map(revoked.map(r => (typeof r === 'string' ? [r, world.now()] : [r.of, r.before]))),
      ...rest,
    });
  const ends = draft.rosterExpiresAt;
  const roster = await signRoster(
    ends === undefined ? { seq: 1 } : { seq: 1, issuedAt: Math.min(world.now(), ends - DAY_MS), expiresAt: ends },
  );
  const add = async (node: NodeDraft | string): Promise<ClusterNode> =>
    makeNode(issuer, roster, world, typeof node === 'string' ? { name: node } : node);
  const nodes: ClusterNode[] = [];
  for (const node of draft.nodes ?? []) nodes.push(await add(node));
  return {
    id: issuer.cluster.id,
    issuer,
    world,
    roster,
    nodes,
    node: name => {
      const found = nodes.find(node => node.name === name);
      if (!found) throw new Error(`the test cluster has no node ${name}`);
      return found;
    },
    add: async node => {
      const added = await add(node);
      nodes.push(added);
      return added;
    },
    expired: name => add({ name, issuedAt: world.now() - 10 * DAY_MS, expiresAt: world.now() - DAY_MS }),
    forged: async name => {
      const other = await makeCluster({ id: issuer.cluster.id, world, nodes: [name] });
      return other.node(name);
    },
    signRoster,
  };
}

async function makeNode(issuer: Issuer, roster: string, world: World, draft: NodeDraft): Promise<ClusterNode> {
  const secret = world.random(32);
  const peer = peerIdOf(rawPublicKey(privateKeyOf(deriveSeed(secret, issuer.cluster.id, draft.name))));
  const subject = { roles: ROLES_DEFAULT, issuedAt: world.now(), ...draft, peer };
  const credential = await issueCredential(issuer, subject);
  const { name } = draft;
  const token = formatToken({ kind: 'node', cluster: issuer.cluster, secret, name, credential, lowestSeq: 1, roster });
  const self = await openSelf({ token, start: memoryKeep(), world });
  const members: ClusterNode['members'] = async (keeps = {}, signal = new AbortController().signal) =>
    openMembers({
      self,
      rosterKeep: keeps.roster ?? memoryKeep(),
      credentialsKeep: keeps.credentials ?? memoryKeep(),
      world,
      signal,
    });
  return { name, token, peer, credential, self, members };
}
