/**
 * The greeting: the newer roster, then both credentials, each judged and recorded before anybody is welcome. Promises:
 * when it returns, this node has admitted the peer and the peer has admitted this node; both sides run the same code.
 * Refuses to know transport and keys: members judge. Spec: PROTOCOL.md, "Greeting".
 */
import { asMirrorError, hasCode, MirrorError } from '../errors.ts';
import type { Node, PeerId } from '../oci/oci.ts';
import type { Membership, OwnKey, RecordEvent } from './peers.ts';
import type { Greet, Stream } from './wire.ts';

/** Bytes of the first frame. */
export const HELLO_MAX_BYTES = 128;
/** Bytes of a roster. */
export const ROSTER_MAX_BYTES = 256 * 1024;
/** Bytes of a credential. */
export const CREDENTIAL_MAX_BYTES = 4 * 1024;

const GREETING_VERSION = 1;
const HELLO = /^\{"greeting":1,"roster":(0|[1-9]\d{0,14})\}$/;
const WELCOME = Uint8Array.of(1);

export interface Greeter {
  readonly self: OwnKey;
  readonly members: Membership;
  readonly record: RecordEvent;
}

/** Makes the function that the wire calls on each secured connection. */
export const greeter =
  ({ self, members, record }: Greeter): Greet =>
  async (peer, stream, address, signal) => {
    if (peer === self.peer) throw new MirrorError('PEER_REFUSED', `${address} is this node itself`);
    let node: Node;
    try {
      node = await judge(self, members, peer, stream);
    } catch (error) {
      const late = signal.aborted ? signal.reason : error;
      const reason = asMirrorError(late, 'PEER_UNREACHABLE', `the greeting with ${address} broke off`);
      // Who closed on us decided it, not this node.
      const { code } = reason;
      if (!hasCode(reason, 'PEER_REFUSED', 'PEER_UNREACHABLE', 'STOPPED'))
        await record({ event: 'peer.refused', peer, address, code });
      throw reason;
    }
    await record({ event: 'peer.admitted', peer, node: node.name, address });
    await stream.send(WELCOME);
    const welcome = await next(stream, 1, 'the welcome').catch((error: unknown) => {
      throw signal.aborted ? signal.reason : error;
    });
    if (welcome[0] !== WELCOME[0])
      throw new MirrorError('FRAME_INVALID', `${address} sent another byte than a welcome`);
  };

async function judge(self: OwnKey, members: Membership, peer: PeerId, stream: Stream): Promise<Node> {
  const mine = members.roster;
  await stream.send(Buffer.from(JSON.stringify({ greeting: GREETING_VERSION, roster: mine.seq })));
  const [, theirs] = HELLO.exec(Buffer.from(await next(stream, HELLO_MAX_BYTES, 'the hello')).toString('latin1')) ?? [];
  if (theirs === undefined) throw new MirrorError('FRAME_INVALID', `${peer} greets in a way that is not version 1`);
  if (mine.seq > Number(theirs)) await stream.send(Buffer.from(mine.jwt));
  if (mine.seq < Number(theirs)) await members.offerRoster(text(await next(stream, ROSTER_MAX_BYTES, 'the roster')));
  await stream.send(Buffer.from(self.credential()));
  return members.admit(text(await next(stream, CREDENTIAL_MAX_BYTES, 'the credential')), peer);
}

const text = (frame: Uint8Array): string => Buffer.from(frame).toString('latin1');

async function next(stream: Stream, limit: number, what: string): Promise<Uint8Array> {
  const frame = await stream.receive();
  if (frame === undefined)
    throw new MirrorError('PEER_REFUSED', `the other side closed before ${what}; its log says why`);
  if (frame.length > limit)
    throw new MirrorError('LIMIT_EXCEEDED', `${what} has ${frame.length} bytes, at most ${limit} may be`);
  return frame;
}
