/** A member of a real cluster whose wire says whatever a test wants: admitted by its credential, and not to be believed. */
import { type Body } from '../../src/peers/bodies.ts';
import { encodeSigned, KINDS, signStatement, type Statement } from '../../src/peers/envelope.ts';
import { greeter } from '../../src/peers/greeting.ts';
import { encodeHeads } from '../../src/peers/heads.ts';
import { encodeItem, ITEM_MAX_BYTES } from '../../src/peers/intake.ts';
import { SYNC_PROTOCOL } from '../../src/peers/sync.ts';
import { createControlWire } from '../../src/peers/wire-libp2p.ts';
import type { ControlWire, Stream } from '../../src/peers/wire.ts';
import type { Role } from '../../src/oci/oci.ts';
import { realWorld } from '../../src/world.ts';
import { eventually } from '../conformance/wire.ts';
import type { Ground, TestNode } from '../peers/ground.ts';
import type { ClusterNode } from '../support/cluster.ts';

const live = (): AbortSignal => new AbortController().signal;

/** Twice of what an honest node would send or take. */
export const LOOSE = { maxFrame: ITEM_MAX_BYTES * 2, maxInbound: 4 };

/** How a statement differs from an honest one. */
export interface How {
  readonly start?: number;
  /** Milliseconds since 1970. */
  readonly notAfter?: number;
  /** Whose name it bears; the key is always the member's own. */
  readonly as?: ClusterNode;
}

export interface HostileMember {
  readonly node: ClusterNode;
  readonly wire: ControlWire;
  /** An item that it signed, honest but for `how`. */
  say(body: Body, seq: number, how?: How): Uint8Array;
  /** Hands items over in a sync that it opens, and waits for its end. */
  sync(...items: Uint8Array[]): Promise<void>;
  /** Opens a stream to the victim, sends frames, and waits for its end. */
  ask(protocol: string, ...frames: Uint8Array[]): Promise<void>;
  /** What the victim recorded against it: `kind CODE`, or `peer CODE`. */
  refusals(): readonly string[];
  recorded(what: string): Promise<void>;
}

/** Joins the cluster as `name` and links with `victim`. The caller closes `wire`. */
export async function hostileMember(
  ground: Ground,
  victim: TestNode,
  name: string,
  roles: readonly Role[] = ['fetch', 'serve', 'attest'],
): Promise<HostileMember> {
  const node = await ground.cluster.add({ name, roles });
  const wire = await linked(ground, victim, node);
  const say: HostileMember['say'] = (body, seq, how = {}) => {
    const { start = 1, notAfter = Date.now() + KINDS[body.kind].validityMs, as = node } = how;
    const statement = { ...body, signer: as.peer, start, seq, notAfter } as Statement;
    return encodeItem('statement', encodeSigned(signStatement(statement, bytes => node.self.sign(bytes))));
  };
  const ask: HostileMember['ask'] = async (protocol, ...frames) => {
    const stream = await wire.open(victim.peer, protocol, LOOSE, live());
    for (const frame of frames) await stream.send(frame).catch(() => undefined);
    await stream.close();
    await drain(stream);
  };
  const refusals = (): string[] =>
    victim.records.flatMap(e =>
      (e.event === 'statement.refused' || e.event === 'peer.refused') && e.peer === node.peer
        ? [`${e.event === 'statement.refused' ? e.kind : 'peer'} ${e.code}`]
        : [],
    );
  return {
    node,
    wire,
    say,
    ask,
    refusals,
    sync: (...items) => ask(SYNC_PROTOCOL, encodeHeads({ roster: 9999, peers: new Map() }), ...items),
    recorded: what => eventually(() => refusals().includes(what), `${what} among ${refusals().join(', ')}`),
  };
}

async function linked(ground: Ground, victim: TestNode, node: ClusterNode): Promise<ControlWire> {
  const self = {
    peer: node.peer,
    start: 1,
    sign: (bytes: Uint8Array) => node.self.sign(bytes),
    credential: () => node.credential,
  };
  const wire = await createControlWire({
    seed: node.self.seed,
    prologue: Buffer.from(`pinnace/1/${ground.cluster.id}`),
    listen: '127.0.0.1:0',
    greet: greeter({ self, members: await node.members(), record: async () => undefined }),
    world: realWorld,
    signal: live(),
  });
  await wire.dial(victim.peers.addresses[0]!, live());
  await eventually(
    () => victim.peers.status().some(peer => peer.node.name === node.name && peer.connected),
    `${node.name} is linked`,
  );
  return wire;
}

/** Reads what comes until the stream ends, one way or another. */
export async function drain(stream: Stream): Promise<void> {
  while (await stream.receive().catch(() => undefined));
}
