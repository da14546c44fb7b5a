/**
 * Opens the room: wires, control plane, lanes. Promises: when it answers, this node listens and seeks others; where one
 * part cannot start, none stays open. Refuses to know whom to trust and what to give away: it is given `members` and a
 * `giver`.
 */
import type { PeerId } from '../oci/oci.ts';
import type { Keep, World } from '../world.ts';
import { formatAddress, isLoopback, parseAddress, parseBootstrap } from './address.ts';
import { ADDRESSES_MAX } from './bodies.ts';
import { ControlPlane } from './control-plane.ts';
import type { Resolve } from './discovery.ts';
import { greeter } from './greeting.ts';
import { createLanes, type Lanes } from './lane.ts';
import type { LaneLimits } from './lane-rooms.ts';
import type { Giver, Log, Membership, OwnKey, RecordEvent, Verify } from './peers.ts';
import { type OpenPeers, PeersNode } from './open-peers.ts';
import { createLaneWire, type LaneWireOptions } from './wire-lane.ts';
import { resolveHost } from './wire-dns.ts';
import { type ControlWireOptions, createControlWire, type ListeningWire } from './wire-libp2p.ts';
import type { ControlWire, LaneWire } from './wire.ts';

export type { OpenPeers } from './open-peers.ts';

/** What every node of a cluster must agree on; the cluster's id follows. */
const PROLOGUE = 'pinnace/1/';

export interface PeersConfig {
  /** `host:port` of the control plane; lanes listen on the same host. */
  readonly listen: string;
  readonly lanePort: number;
  /** What others dial; none: the addresses that are listened on. */
  readonly advertise: readonly string[];
  /** `host:port` or `dns:NAME:PORT`. */
  readonly bootstrap: readonly string[];
  readonly peerCidrs: readonly string[];
  readonly lanes?: LaneLimits;
}

export interface PeersOptions {
  readonly world: World;
  readonly self: OwnKey & { readonly seed: Uint8Array; readonly cluster: { readonly id: string } };
  readonly members: Membership;
  readonly verify: Verify;
  readonly giver: Giver;
  readonly record: RecordEvent;
  readonly log: Log;
  readonly keeps: { readonly nodes: Keep; readonly tags: Keep };
  readonly config: PeersConfig;
  /** Ends everything. */
  readonly signal: AbortSignal;
  /** All addresses of a host name; the machine's own resolver unless given. */
  readonly resolve?: Resolve;
  /** How this node meets the network; the machine's own unless given. */
  readonly wires?: Wires;
}

/** Makes the two wires of a node. */
export interface Wires {
  /** Listens and is ready to dial. @throws PORT_TAKEN, CONFIG_INVALID */
  control(options: ControlWireOptions): Promise<ListeningWire>;
  lane(options: LaneWireOptions): LaneWire;
}

/** The machine's network. */
const realWires: Wires = { control: createControlWire, lane: createLaneWire };

/** Listens, says where it is, and begins to seek others. @throws PORT_TAKEN, CONFIG_INVALID, FILE_UNREADABLE, AUDIT_UNAVAILABLE */
export async function createPeers(options: PeersOptions): Promise<OpenPeers> {
  const { world, self, members, record, log, config, signal, wires = realWires } = options;
  const control = await listen(options, wires);
  const addresses = advertised(config, control.addresses);
  let lanes: Lanes | undefined;
  try {
    const plane = new ControlPlane({
      ...options,
      wire: control,
      bootstrap: config.bootstrap.map(parseBootstrap),
      resolve: options.resolve ?? resolveHost,
      own: [...control.addresses, ...addresses],
      revoked: peer => lanes?.dropPeer(peer),
    });
    const { host } = parseAddress(config.listen, true);
    lanes = await createLanes({
      world,
      control,
      record,
      signal,
      giver: options.giver,
      self: self.peer,
      wire: wires.lane({ world, peerCidrs: config.peerCidrs }),
      listen: formatAddress(host, config.lanePort),
      nodeOf: peer => members.node(peer),
      addressOf: peer => laneOf(control, plane, peer),
      ...(config.lanes ? { limits: config.lanes } : {}),
    });
    await members.offerCredential(self.credential()).catch((error: unknown) => {
      log('warn', `this node's own credential does not hold: ${(error as Error).message}`);
    });
    await plane.start();
    await plane.stating.reachable(addresses, lanes.port);
    return new PeersNode(options, control, plane, lanes, addresses);
  } catch (error) {
    await lanes?.close();
    await control.close();
    throw error;
  }
}

/** What others are told to dial; loopback only where nothing else is listened on. */
function advertised({ advertise }: PeersConfig, listening: readonly string[]): readonly string[] {
  if (advertise.length > 0) return advertise.slice(0, ADDRESSES_MAX);
  const outer = listening.filter(address => !isLoopback(parseAddress(address).host));
  return (outer.length > 0 ? outer : listening).slice(0, ADDRESSES_MAX);
}

function listen(options: PeersOptions, wires: Wires): Promise<ListeningWire> {
  const { world, self, members, record, log, config, signal } = options;
  return wires.control({
    world,
    signal,
    seed: self.seed,
    listen: config.listen,
    peerCidrs: config.peerCidrs,
    prologue: Buffer.from(PROLOGUE + self.cluster.id),
    greet: greeter({ self, members, record }),
    refused: (address, { code }, peer) => {
      record({ event: 'peer.refused', address, code, ...(peer ? { peer } : {}) }).catch((error: unknown) =>
        log('warn', `no record of ${address}: ${String(error)}`),
      );
    },
  });
}

/** Lanes go where the control connection went, not where a record says. */
function laneOf(
  control: ControlWire,
  plane: ControlPlane,
  peer: PeerId,
): { host: string; lanePort: number } | undefined {
  const link = control.links().find(one => one.peer === peer);
  const lanePort = plane.table.nodes.get(peer)?.body.lanePort;
  return link && lanePort ? { host: parseAddress(link.address).host, lanePort } : undefined;
}
