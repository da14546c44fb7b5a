/**
 * Nodes with real lanes and a control plane in memory: for tests of lanes over either wire. The wire, the clock and any
 * one node's giver can be replaced.
 */
import assert from 'node:assert/strict';
import { createCipheriv, createHash } from 'node:crypto';
import { MirrorError } from '../../src/errors.ts';
import { type Digest, digestOf, type Node, type PeerId, parsePeerId, type Role } from '../../src/oci/oci.ts';
import { createLanes, type Lanes } from '../../src/peers/lane.ts';
import type { LaneEvent, LaneLimits } from '../../src/peers/lane-rooms.ts';
import type { Chunk, Giver } from '../../src/peers/peers.ts';
import type { ControlWire, LaneWire, Link, Stream } from '../../src/peers/wire.ts';
import type { World } from '../../src/world.ts';

type Handler = (stream: Stream, link: Link) => Promise<void>;

/** A peer id made of a name. */
export const peerNamed = (name: string): PeerId =>
  parsePeerId(
    `12D3KooW${name
      .replace(/[^a-zA-Z1-9]/g, 'x')
      .replace(/[lIO]/g, 'y')
      .padEnd(44, 'Q')}`,
  );

/** The streams of all nodes of a test. */
export class MemoryControl {
  readonly #handlers = new Map<string, Handler>();

  /** What `peer` sees of it. */
  of(peer: PeerId, host = '127.0.0.1'): Pick<ControlWire, 'open' | 'handle'> {
    return {
      handle: (protocol, _limits, handler) => void this.#handlers.set(`${peer} ${protocol}`, handler),
      open: async (to, protocol) => {
        const handler = this.#handlers.get(`${to} ${protocol}`);
        if (!handler) throw new MirrorError('PEER_UNREACHABLE', `${to} is not connected`);
        const [near, far] = streamPair();
        void handler(far, { peer, address: `${host}:5001`, inbound: true });
        return near;
      },
    };
  }

  /** Answers a protocol in the place of `peer`. */
  replace(peer: PeerId, protocol: string, handler: Handler): void {
    this.#handlers.set(`${peer} ${protocol}`, handler);
  }
}

/** Two ends of one stream of frames. */
export function streamPair(): [Stream, Stream] {
  const queues: [Uint8Array[], Uint8Array[]] = [[], []];
  const wakes: (() => void)[] = [];
  const ended = [false, false];
  let failed: Error | undefined;
  const wakeAll = (): void => wakes.splice(0).forEach(wake => wake());
  const end = (own: 0 | 1): Stream => ({
    async send(frame) {
      if (failed) throw new MirrorError('PEER_UNREACHABLE', 'the stream was aborted', { cause: failed });
      queues[own].push(Uint8Array.from(frame));
      wakeAll();
    },
    async receive() {
      const other = own === 0 ? 1 : 0;
      for (;;) {
        const frame = queues[other].shift();
        if (frame) return frame;
        if (failed) throw new MirrorError('PEER_UNREACHABLE', 'the stream was aborted', { cause: failed });
        if (ended[other]) return undefined;
        await new Promise<void>(resolve => wakes.push(resolve));
      }
    },
    async close() {
      ended[own] = true;
      wakeAll();
    },
    abort(reason) {
      failed ??= reason;
      wakeAll();
    },
  });
  return [end(0), end(1)];
}

/** Content that tests give: bytes by digest, and how much went out of each gift. */
export class Shelf implements Giver {
  readonly contents = new Map<Digest, Uint8Array>();
  readonly done: number[] = [];
  /** Bytes that were read from it. */
  readBytes = 0;
  readonly asked: { readonly node: Node; readonly digest: Digest; readonly offset: number; readonly length: number }[] =
    [];

  put(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    this.contents.set(digest, bytes);
    return digest;
  }

  async give(node: Node, digest: Digest, offset: number, length: number): ReturnType<Giver['give']> {
    this.asked.push({ node, digest, offset, length });
    const bytes = this.contents.get(digest);
    if (!bytes || offset + length > bytes.length) throw new MirrorError('CONTENT_ABSENT', `${digest} is not here`);
    return {
      read: async (into, position) => {
        const part = bytes.subarray(position, position + into.length);
        this.readBytes += part.length;
        into.set(part);
        return part.length;
      },
      done: async sent => void this.done.push(sent),
    };
  }

  async proof(): Promise<never> {
    throw new MirrorError('CONTENT_ABSENT', 'no proofs here');
  }

  async referrers(): Promise<readonly []> {
    return [];
  }

  doubt(): void {}
}

export interface LaneNode {
  readonly peer: PeerId;
  readonly lanes: Lanes;
  readonly shelf: Shelf;
  readonly records: LaneEvent[];
  /** Its own view of the others; a test may change it. */
  readonly nodes: Map<PeerId, Node>;
  readonly addresses: Map<PeerId, { host: string; lanePort: number }>;
}

export interface LaneNodesOptions {
  readonly world: World;
  /** The wire of the node of that name. */
  readonly wire: (name: string) => LaneWire;
  readonly roles?: Readonly<Record<string, readonly Role[]>>;
  readonly giver?: Readonly<Record<string, Giver>>;
  readonly limits?: LaneLimits;
  readonly signal: AbortSignal;
  readonly control?: MemoryControl;
}

/** Nodes of these names that know each other. */
export async function laneNodes<const N extends readonly string[]>(
  names: N,
  options: LaneNodesOptions,
): Promise<{ [K in keyof N]: LaneNode }> {
  const control = options.control ?? new MemoryControl();
  const nodes: LaneNode[] = [];
  for (const name of names) {
    const peer = peerNamed(name);
    const shelf = new Shelf();
    const own: Omit<LaneNode, 'lanes'> = { peer, shelf, records: [], nodes: new Map(), addresses: new Map() };
    const lanes = await createLanes({
      world: options.world,
      wire: options.wire(name),
      self: peer,
      listen: '127.0.0.1:0',
      giver: options.giver?.[name] ?? shelf,
      control: control.of(peer),
      nodeOf: of => own.nodes.get(of),
      addressOf: of => own.addresses.get(of),
      record: async event => void own.records.push(event),
      ...(options.limits ? { limits: options.limits } : {}),
      signal: options.signal,
    });
    nodes.push({ ...own, lanes });
  }
  for (const own of nodes)
    for (const [at, other] of nodes.entries()) {
      const name = names[at]!;
      own.nodes.set(other.peer, nodeOf(name, options.roles?.[name]));
      own.addresses.set(other.peer, { host: '127.0.0.1', lanePort: other.lanes.port });
    }
  return nodes as { [K in keyof N]: LaneNode };
}

/** A node of a name, with the roles of most. */
export const nodeOf = (name: string, roles: readonly Role[] = ['fetch', 'serve', 'attest']): Node => ({
  peer: peerNamed(name),
  name,
  roles: new Set(roles),
  issuedAt: 1,
  expiresAt: 2 ** 45,
});

/** Bytes that differ everywhere; the same ones for a seed. */
export function patterned(length: number, seed = 'lane'): Uint8Array {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** Reads all, releasing each chunk; the bytes and the lengths of the chunks. */
export async function readAll(chunks: AsyncIterable<Chunk>): Promise<{ bytes: Buffer; lengths: number[] }> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) {
    parts.push(Buffer.from(chunk.bytes));
    chunk.release();
  }
  return { bytes: Buffer.concat(parts), lengths: parts.map(part => part.length) };
}

/** Waits, turn by turn of the event loop, until `condition` holds; fails after `turns`. */
export async function until(condition: () => boolean, turns = 20_000): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    if (condition()) return;
    await new Promise(resolve => setImmediate(resolve));
  }
  assert.fail(`never came true: ${condition.toString()}`);
}
