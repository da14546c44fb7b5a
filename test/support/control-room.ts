/**
 * A node of a real cluster that answers streams, without a network: table, intake, gossip, sync, questions and lane keys as
 * the control plane joins them, on a simulated clock. Promises: what it recorded can be looked at; streams are handed to it
 * by protocol, within its own bounds. Refuses to know wires.
 */
import { type Code, hasCode, MirrorError } from '../../src/errors.ts';
import { verifyPeer } from '../../src/identity/key.ts';
import { digestOf, type Node, type PeerId } from '../../src/oci/oci.ts';
import { Gossip, TOPIC } from '../../src/peers/gossip.ts';
import { greeter } from '../../src/peers/greeting.ts';
import { InboundStreams } from '../../src/peers/inbound-streams.ts';
import { hearLimited } from '../../src/peers/hearing.ts';
import { Intake } from '../../src/peers/intake.ts';
import { LaneKeys } from '../../src/peers/lane-keys.ts';
import { offerKeys } from '../../src/peers/lane-offer.ts';
import type { Giver } from '../../src/peers/peers.ts';
import { Links } from '../../src/peers/links.ts';
import { Policies } from '../../src/peers/policies.ts';
import { Questions } from '../../src/peers/questions.ts';
import { Sync } from '../../src/peers/sync.ts';
import { Table } from '../../src/peers/table.ts';
import type { ControlWire, Link, Stream, StreamLimits } from '../../src/peers/wire.ts';
import type { ClusterNode } from './cluster.ts';
import { simulatedWorld } from './simulated-world.ts';

/** What the room says it has about whatever it is asked. */
export const SHOWN = digestOf(Buffer.from('an artifact'));

type Handler = Parameters<ControlWire['handle']>[2];
export interface Recorded {
  readonly event: string;
  readonly code?: Code;
  readonly peer?: PeerId;
}

/** The room of `here`, which has admitted `others`. */
export async function controlRoom(here: ClusterNode, others: readonly ClusterNode[]) {
  const { signal } = new AbortController();
  const members = await here.members();
  for (const { credential, peer } of others) await members.admit(credential, peer);
  const world = simulatedWorld(Date.now());
  const records: Recorded[] = [];
  const record = async (event: Recorded): Promise<void> => void records.push(event);
  const handlers = new Map<string, { readonly limits: StreamLimits; readonly handler: Handler }>();
  const cut: PeerId[] = [];
  let judge: Parameters<ControlWire['subscribe']>[1] = async () => 'ignore';
  const wire = {
    handle: (protocol: string, limits: StreamLimits, handler: Handler) => handlers.set(protocol, { limits, handler }),
    subscribe: (topic: string, on: typeof judge) => void (topic === TOPIC && (judge = on)),
    disconnect: async (peer: PeerId) => void cut.push(peer),
  } as unknown as ControlWire;
  const table = new Table({ world, self: here.peer, members, verify: verifyPeer });
  const intake = new Intake({ members, table, record });
  const log = (): void => undefined;
  const giver: Giver = {
    give: () => Promise.reject(new MirrorError('CONTENT_ABSENT', 'nothing')),
    proof: () => Promise.reject(new MirrorError('CONTENT_ABSENT', 'nothing')),
    referrers: async () => [{ bond: 'subject', digest: SHOWN, size: 2 }],
    doubt: () => undefined,
  };
  const nodeOf = (peer: PeerId): Node | undefined => members.node(peer);
  const taken = (): void => undefined;
  new Sync({ world, wire, members, table, intake, log, signal, taken }).start();
  new Gossip({ world, wire, intake, log, taken }).start();
  new Policies({ world, wire, members, intake, log, signal, taken, links: new Links(world, wire) }).start();
  hearLimited({ world, wire, members, limited: table.limited, intake, signal });
  new Questions({ world, wire, giver, record, signal, nodeOf }).start();
  offerKeys({ world, self: here.peer, control: wire, nodeOf, record, signal }, new LaneKeys(world, here.peer));
  const greet = greeter({ self: { ...here.self, credential: () => here.credential }, members, record });
  const linkOf = (peer: PeerId): Link => ({ peer, address: '10.0.0.9:5001', inbound: true });
  return {
    world,
    members,
    table,
    intake,
    records,
    greet,
    /** Peers whose connection it ended. */
    cut,
    /** What it makes of a message of gossip. */
    heard: (from: PeerId, message: Uint8Array) => judge(from, message),
    /** Answers a stream of `peer`; settles as its handler does. */
    answer: (protocol: string, peer: PeerId, stream: Stream): Promise<void> =>
      handlers.get(protocol)!.handler(stream, linkOf(peer)),
    /** The bounds of a protocol's streams. */
    limitsOf: (protocol: string): StreamLimits => handlers.get(protocol)!.limits,
    /** Its streams of a protocol as the wire counts them; `begin` stands in for the handler. */
    inbound: (protocol: string, begin: Handler, refused: (code: Code) => void): InboundStreams =>
      new InboundStreams(protocol, handlers.get(protocol)!.limits, begin, (_, error) => {
        if (hasCode(error, error.code)) refused(error.code);
      }),
    linkOf,
  };
}
