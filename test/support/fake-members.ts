/**
 * `Members` without cryptography: credentials and rosters are plain JSON that anybody could write. For tests of rooms that
 * only need somebody to be admitted; it passes the same suite as the real one (test/conformance/identity.ts).
 */
import type { Members, Policies } from '../../src/identity/identity.ts';
import { type Code, hasCode, MirrorError } from '../../src/errors.ts';
import type { Node, PeerId, Role } from '../../src/oci/oci.ts';
import { CLOCK_SKEW_MS, realWorld, type World } from '../../src/world.ts';

const CREDENTIAL = 'fake-credential:';
const ROSTER = 'fake-roster:';

export interface FakeCredential {
  readonly cluster: string;
  readonly peer: PeerId;
  readonly name: string;
  readonly zone?: string;
  readonly roles: readonly Role[];
  readonly issuedAt: number;
  readonly expiresAt: number;
}

export interface FakeRoster {
  readonly seq: number;
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** By node name or peer id: up to which moment of issue it is taken back. */
  readonly revoked: Readonly<Record<string, number>>;
}

/** The text of a fake credential. */
export const fakeCredential = (credential: FakeCredential): string => CREDENTIAL + JSON.stringify(credential);
/** The text of a fake roster. */
export const fakeRoster = (roster: FakeRoster): string => ROSTER + JSON.stringify(roster);

const refuse = (code: Code, what: string): never => {
  throw new MirrorError(code, `fake members: ${what}`);
};

function read<T>(text: string, prefix: string, code: Code): T {
  if (!text.startsWith(prefix)) return refuse(code, 'not of this kind');
  try {
    return JSON.parse(text.slice(prefix.length)) as T;
  } catch {
    return refuse(code, 'not JSON');
  }
}

/** A `Members` of `cluster` that knows `own` and lives under `roster`. */
export function fakeMembers(cluster: string, roster: string, own: string, world: World = realWorld): Members {
  const known = new Map<PeerId, { node: Node; jwt: string }>();
  const listeners: Parameters<Members['onChange']>[0][] = [];
  let policies: Policies | undefined;
  let current = { ...read<FakeRoster>(roster, ROSTER, 'ROSTER_INVALID'), jwt: roster };
  const revoked = (n: Node): boolean =>
    n.issuedAt <= Math.max(current.revoked[n.name] ?? -1, current.revoked[n.peer] ?? -1);
  const holds = (node: Node): boolean => world.now() <= node.expiresAt + CLOCK_SKEW_MS && !revoked(node);
  const tell = (peers: readonly PeerId[], accepted: readonly Node[]): void =>
    listeners.forEach(listener => listener(peers, accepted));

  const judge = (text: string, peer?: PeerId): Node => {
    const { cluster: of, roles, ...rest } = read<FakeCredential>(text, CREDENTIAL, 'CREDENTIAL_INVALID');
    const node: Node = { ...rest, roles: new Set(roles) };
    if (of !== cluster) refuse('CREDENTIAL_FOREIGN', node.name);
    if (peer !== undefined && peer !== node.peer) refuse('CREDENTIAL_STOLEN', node.name);
    if (world.now() > node.expiresAt + CLOCK_SKEW_MS) refuse('CREDENTIAL_EXPIRED', node.name);
    if (world.now() > current.expiresAt + CLOCK_SKEW_MS && !known.has(node.peer)) refuse('ROSTER_EXPIRED', node.name);
    if (revoked(node)) refuse('CREDENTIAL_REVOKED', node.name);
    return node;
  };
  const take = (jwt: string, node: Node): boolean => {
    if ((known.get(node.peer)?.node.issuedAt ?? -1) >= node.issuedAt) return false;
    const rivals = [...known.values()].filter(({ node: n }) => n.name === node.name && n.peer !== node.peer);
    if (rivals.some(({ node: n }) => n.issuedAt > node.issuedAt)) refuse('CREDENTIAL_REVOKED', 'has a newer key');
    for (const rival of rivals) known.delete(rival.node.peer);
    known.set(node.peer, { node, jwt });
    tell(
      rivals.map(rival => rival.node.peer),
      [node],
    );
    return true;
  };
  const ownNode = read<FakeCredential>(own, CREDENTIAL, 'CREDENTIAL_INVALID');
  take(own, { ...ownNode, roles: new Set(ownNode.roles) });

  const nodes = (): Node[] => [...known.values()].map(({ node }) => node).filter(holds);
  return {
    get roster() {
      return current;
    },
    admit: async (text, peer) => {
      try {
        const node = judge(text, peer);
        take(text, node);
        return known.get(peer)?.node ?? node;
      } catch (error) {
        const newest = nodes().find(node => node.peer === peer);
        if (newest && hasCode(error, 'CREDENTIAL_EXPIRED', 'CREDENTIAL_REVOKED')) return newest;
        throw error;
      }
    },
    node: peer => nodes().find(node => node.peer === peer),
    nodes,
    credentials: () => new Map([...known].map(([peer, { jwt }]) => [peer, jwt])),
    offerRoster: async text => {
      const offered = { ...read<FakeRoster>(text, ROSTER, 'ROSTER_INVALID'), jwt: text };
      if (offered.jwt === current.jwt) return false;
      if (offered.seq <= current.seq) refuse('ROSTER_ROLLBACK', String(offered.seq));
      const before = nodes();
      current = offered;
      const gone = before.filter(revoked);
      for (const node of gone) known.delete(node.peer);
      tell(
        gone.map(node => node.peer),
        [],
      );
      return true;
    },
    offerCredential: async text => take(text, judge(text)),
    onChange: listener => listeners.push(listener),
    get policy() {
      return policies?.policy;
    },
    offerPolicy: async bytes => (await policies?.offer(bytes)) ?? false,
    joinPolicies(joined) {
      policies = joined;
      joined.onChange(() => tell([], []));
    },
  };
}
