/**
 * The nodes whose credential was proved. Promises: one credential for a peer and one peer for a node name, the newest
 * issued of each; bounded memory. So a node that got a new key cannot count twice beside its old one. Refuses to know
 * time-outs, rosters and files.
 */
import { MirrorError } from '../errors.ts';
import type { Node, PeerId } from '../oci/oci.ts';
import type { Proved } from './credential.ts';

/** The most members of a cluster. */
export const MEMBERS_MAX = 4096;

/** True where `a` was issued after `b`; of two issued in one second the greater peer id wins, the same everywhere. */
const isNewer = (a: Node, b: Node): boolean => (a.issuedAt === b.issuedAt ? a.peer > b.peer : a.issuedAt > b.issuedAt);

export class Known {
  readonly #byPeer = new Map<PeerId, Proved>();
  readonly #byName = new Map<string, PeerId>();

  get(peer: PeerId): Proved | undefined {
    return this.#byPeer.get(peer);
  }

  entries(): IterableIterator<Proved> {
    return this.#byPeer.values();
  }

  /**
   * Takes a proved credential. False where the same or a newer one of that peer is known.
   * @throws CREDENTIAL_REVOKED where its node name has a newer key; LIMIT_EXCEEDED where there is no room
   */
  take(entry: Proved): { readonly news: boolean; readonly replaced?: PeerId } {
    const { node } = entry;
    const own = this.#byPeer.get(node.peer);
    if (own && node.issuedAt <= own.node.issuedAt) return { news: false };
    const other = this.#byName.get(node.name);
    const rival = other === undefined || other === node.peer ? undefined : this.#byPeer.get(other);
    if (rival && isNewer(rival.node, node))
      throw new MirrorError('CREDENTIAL_REVOKED', `${node.name} has a newer key than ${node.peer}: ${rival.node.peer}`);
    if (!own && !rival && this.#byPeer.size >= MEMBERS_MAX)
      throw new MirrorError('LIMIT_EXCEEDED', `no room for ${node.name}: ${MEMBERS_MAX} nodes are known`);
    if (rival) this.drop(rival.node.peer);
    if (own) this.drop(node.peer);
    this.#byPeer.set(node.peer, entry);
    this.#byName.set(node.name, node.peer);
    return { news: true, ...(rival ? { replaced: rival.node.peer } : {}) };
  }

  drop(peer: PeerId): void {
    const entry = this.#byPeer.get(peer);
    this.#byPeer.delete(peer);
    if (entry && this.#byName.get(entry.node.name) === peer) this.#byName.delete(entry.node.name);
  }
}
