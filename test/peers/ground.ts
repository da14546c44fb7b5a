/** Real nodes of a real cluster on loopback, with records kept in memory. Everything ends with the ground. */
import { MirrorError } from '../../src/errors.ts';
import { verifyPeer } from '../../src/identity/key.ts';
import type { OpenMembers } from '../../src/identity/members.ts';
import type { Digest, PeerId } from '../../src/oci/oci.ts';
import type { ControlEvent, Giver, Holding, OwnKey, Referrer } from '../../src/peers/peers.ts';
import { createPeers, type OpenPeers, type PeersConfig, type Wires } from '../../src/peers/peers-node.ts';
import { createLaneWire } from '../../src/peers/wire-lane.ts';
import { createControlWire } from '../../src/peers/wire-libp2p.ts';
import { type Root, rootOf, Prover, type Proof } from '../../src/proof/proof.ts';
import type { Keep } from '../../src/world.ts';
import { realWorld } from '../../src/world.ts';
import { type ClusterNode, makeCluster, memoryKeep, type TestCluster } from '../support/cluster.ts';
import { tapped } from '../support/tapped-wire.ts';

export interface TestNode {
  readonly node: ClusterNode;
  readonly peer: PeerId;
  readonly peers: OpenPeers;
  readonly members: OpenMembers;
  readonly records: ControlEvent[];
  /** All that it received on the control plane. */
  readonly heard: Uint8Array[];
  readonly doubts: [PeerId, Digest][];
  readonly keeps: { nodes: Keep; tags: Keep };
  readonly keepsOfMembers: { roster: Keep; credentials: Keep };
  stop(): Promise<void>;
}

export interface TestNodeDraft {
  readonly bootstrap?: readonly string[];
  readonly config?: Partial<PeersConfig>;
  readonly proofs?: ReadonlyMap<Digest, Proof>;
  readonly referrers?: (subject: Digest) => readonly Referrer[];
  /** Of a node that was here before. */
  readonly again?: TestNode;
  readonly self?: Partial<OwnKey>;
}

export class Ground {
  readonly cluster: TestCluster;
  readonly #nodes: TestNode[] = [];

  constructor(cluster: TestCluster) {
    this.cluster = cluster;
  }

  static async make(): Promise<Ground> {
    return new Ground(await makeCluster());
  }

  /** Starts a node of that name (made now unless given); it knows its bootstrap alone. */
  async start(name: string | ClusterNode, draft: TestNodeDraft = {}): Promise<TestNode> {
    const node = draft.again?.node ?? (typeof name === 'string' ? await this.cluster.add(name) : name);
    const stop = new AbortController();
    const records: ControlEvent[] = [];
    const doubts: [PeerId, Digest][] = [];
    const keepsOfMembers = draft.again?.keepsOfMembers ?? { roster: memoryKeep(), credentials: memoryKeep() };
    const members = await node.members(keepsOfMembers, stop.signal);
    const giver: Giver = {
      give: () => Promise.reject(new MirrorError('CONTENT_ABSENT', 'nothing to give')),
      async proof(_node, digest) {
        const proof = draft.proofs?.get(digest);
        if (!proof) throw new MirrorError('CONTENT_ABSENT', digest);
        return proof;
      },
      referrers: async (_node, subject) => draft.referrers?.(subject) ?? [],
      doubt: (who, digest) => void doubts.push([who.peer, digest]),
    };
    const keeps = draft.again?.keeps ?? { nodes: memoryKeep(), tags: memoryKeep() };
    const own = node.self;
    const self = {
      peer: own.peer,
      seed: own.seed,
      cluster: own.cluster,
      start: own.start + (draft.again ? 1 : 0),
      sign: (bytes: Uint8Array) => own.sign(bytes),
      credential: () => own.credential(),
      ...draft.self,
    };
    const config = {
      listen: '127.0.0.1:0',
      lanePort: 0,
      advertise: [],
      peerCidrs: [],
      bootstrap: draft.bootstrap ?? [],
      ...draft.config,
    };
    const heard: Uint8Array[] = [];
    const wires: Wires = {
      control: async options => tapped(await createControlWire(options), heard),
      lane: createLaneWire,
    };
    const record = async (event: ControlEvent): Promise<void> => void records.push(event);
    const log = (): void => undefined;
    const peers = await createPeers({
      world: realWorld,
      self,
      members,
      verify: verifyPeer,
      giver,
      record,
      log,
      keeps,
      config,
      wires,
      signal: stop.signal,
    });
    const running: TestNode = {
      node,
      peer: node.peer,
      peers,
      members,
      records,
      heard,
      doubts,
      keeps,
      keepsOfMembers,
      stop: async () => {
        await peers.close();
        stop.abort();
      },
    };
    this.#nodes.push(running);
    return running;
  }

  async end(): Promise<void> {
    await Promise.all(this.#nodes.map(node => node.stop()));
  }
}

/** A proof and its holding, of `size` bytes that follow from `seed`. */
export function content(
  seed: number,
  size = 20,
): { readonly proof: Proof; readonly holding: Holding & { readonly root: Root } } {
  const prover = new Prover('sha256');
  prover.update(Buffer.alloc(size, `content ${seed} `));
  const proof = prover.finish();
  return { proof, holding: { digest: proof.digest, size, root: rootOf(proof) } };
}

/** `count` holdings, sorted by nothing. */
export const holdings = (count: number, from = 0): Holding[] =>
  Array.from({ length: count }, (_, i) => content(from + i).holding);
