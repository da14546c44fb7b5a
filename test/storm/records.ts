/**
 * What an honest node does on its wires, seen in the moment in which it does it. Promises: each link, statement, proof and
 * gift needs a record of its own, of this life, that is there before it. Refuses to know why it is done.
 */
import type { PeerId } from '../../src/oci/oci.ts';
import { parseSigned } from '../../src/peers/envelope.ts';
import { ANSWER_BYTES, encodeAnswer } from '../../src/peers/frame.ts';
import { PROOF_PROTOCOL } from '../../src/peers/questions.ts';
import type { LaneWire, Stream } from '../../src/peers/wire.ts';
import type { MemoryWire } from '../support/memory-wire.ts';
import { tapped } from './lane-taps.ts';
import type { StormNode } from './storm-node.ts';

/** The first byte of gossip that is a statement. */
const STATEMENT = 0x73;
const ABSENT = encodeAnswer('absent');

/** Tells `missing` what has no record. */
type Missing = (what: string) => void;

/** Counts what is done with each peer; each time needs one record more. */
class Effects {
  readonly #node: StormNode;
  readonly #event: string;
  readonly #missing: Missing;
  readonly #counts = new Map<PeerId, number>();

  constructor(node: StormNode, event: string, missing: Missing) {
    this.#node = node;
    this.#event = event;
    this.#missing = missing;
  }

  happens(peer: PeerId): void {
    const count = (this.#counts.get(peer) ?? 0) + 1;
    this.#counts.set(peer, count);
    const recorded = this.#node.recorded(this.#event, { peer });
    if (recorded < count) this.#missing(`${this.#node.name}, ${peer}: ${count} effects, ${recorded} of ${this.#event}`);
  }
}

/** Looks at the links, the statements and the proofs of a node from now on. */
export function observeWire(node: StormNode, wire: MemoryWire, missing: Missing): void {
  const links = new Effects(node, 'peer.admitted', missing);
  wire.onLink(({ peer }, open) => {
    if (open) links.happens(peer);
  });
  const publish = wire.publish.bind(wire);
  wire.publish = (topic, message) => {
    if (message[0] === STATEMENT) {
      const { signer, kind, seq } = parseSigned(message.subarray(1)).statement;
      if (signer === node.peer && node.recorded('statement.signed', { kind, seq }) === 0)
        missing(`${node.name} sends statement ${seq} (${kind}), and has no record of signing it`);
    }
    return publish(topic, message);
  };
  const proofs = new Effects(node, 'serve.proof', missing);
  const handle = wire.handle.bind(wire);
  wire.handle = (protocol, limits, handler) =>
    handle(protocol, limits, (stream, link) =>
      handler(protocol === PROOF_PROTOCOL ? giving(stream, () => proofs.happens(link.peer)) : stream, link),
    );
}

/** A stream that tells of each proof that is sent; one byte says that it is not to be had. */
const giving = (stream: Stream, given: () => void): Stream => ({
  receive: () => stream.receive(),
  close: () => stream.close(),
  abort: reason => stream.abort(reason),
  send: frame => {
    if (frame.length > 1) given();
    return stream.send(frame);
  },
});

/** Lanes on which each content that is begun to be given is looked at. */
export function observeLanes(node: StormNode, wire: LaneWire, missing: Missing): LaneWire {
  const gifts = new Effects(node, 'serve.started', missing);
  return tapped(wire, (socket, peer, bytes) => {
    if (bytes.length === ANSWER_BYTES && !ABSENT.equals(bytes)) gifts.happens(peer);
    return socket.send(bytes);
  });
}
