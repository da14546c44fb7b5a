/** Whole control planes on wires in memory and a simulated clock: minutes pass in milliseconds. */
import { MirrorError } from '../../src/errors.ts';
import { parseBootstrap } from '../../src/peers/address.ts';
import { ControlPlane } from '../../src/peers/control-plane.ts';
import { greeter } from '../../src/peers/greeting.ts';
import type { ControlEvent, Holding } from '../../src/peers/peers.ts';
import { memoryKeep } from '../support/cluster.ts';
import { credentialFor, FakeMembers, ownKey, peerOf, verifyPeer } from '../support/fake-peers.ts';
import { MemoryNetwork, type MemoryWire } from '../support/memory-wire.ts';
import { type SimulatedWorld, simulatedWorld } from '../support/simulated-world.ts';
import { tapped, withoutWords } from '../support/tapped-wire.ts';

/** One node's control plane, and what a test sees of it. */
export interface Plane {
  readonly plane: ControlPlane;
  readonly wire: MemoryWire;
  readonly members: FakeMembers;
  readonly records: ControlEvent[];
  /** All that it received. */
  readonly heard: Uint8Array[];
  readonly shutOut: string[];
  readonly warnings: string[];
  readonly stop: AbortController;
  failing: boolean;
  readonly holders: (holding: Holding) => number;
}

export interface PlaneDraft {
  readonly key?: number;
  readonly start?: number;
  readonly zone?: string;
  /** Parts of names of protocols and topics that it does not know. */
  readonly older?: readonly string[];
  /** In place of one that was there. */
  readonly address?: string;
}

/** Nodes whose keys are numbered in the order in which they come. */
export class Scene {
  readonly world: SimulatedWorld = simulatedWorld();
  readonly network = new MemoryNetwork();
  readonly planes: Plane[] = [];

  /** One more node, which knows the address of `bootstrap` alone; with a key of its own unless it is given another's. */
  async add(bootstrap?: Plane, draft: PlaneDraft = {}): Promise<Plane> {
    const { key = this.planes.length + 1, start = 1, zone, older = [] } = draft;
    const seed = Buffer.alloc(32, key);
    const credential = credentialFor(peerOf(seed), zone === undefined ? {} : { zone });
    const self = ownKey(seed, start, credential);
    const { world } = this;
    const members = new FakeMembers();
    await members.admit(credential, self.peer);
    const records: ControlEvent[] = [];
    const shutOut: string[] = [];
    const warnings: string[] = [];
    const stop = new AbortController();
    const record = async (event: ControlEvent): Promise<void> => {
      if (made.failing) throw new MirrorError('AUDIT_UNAVAILABLE', 'the disk is full');
      records.push(event);
    };
    const heard: Uint8Array[] = [];
    const plain = this.network.wire(self.peer, greeter({ self, members, record }), draft.address);
    const wire = tapped(withoutWords(plain, older), heard);
    const plane = new ControlPlane({
      world,
      wire,
      self,
      members,
      verify: verifyPeer,
      giver: { give: never, proof: never, referrers: async () => [], doubt: () => undefined },
      record,
      keeps: { nodes: memoryKeep(), tags: memoryKeep() },
      log: (level, message) => void (level === 'warn' && warnings.push(message)),
      signal: stop.signal,
      bootstrap: bootstrap ? [parseBootstrap(bootstrap.wire.addresses[0]!)] : [],
      resolve: async () => [],
      own: wire.addresses,
      revoked: peer => void shutOut.push(peer),
    });
    const holders = (holding: Holding): number => plane.table.holdings.find(holding.digest, world.now()).length;
    const made: Plane = { plane, wire, members, records, heard, shutOut, warnings, stop, failing: false, holders };
    this.planes.push(made);
    await plane.start();
    await plane.stating.reachable(wire.addresses, 5002);
    return made;
  }

  end(): void {
    for (const { stop } of this.planes) stop.abort();
  }
}

const never = (): Promise<never> => Promise.reject(new MirrorError('CONTENT_ABSENT', 'nothing'));
