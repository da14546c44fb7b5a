/**
 * The connection encrypter: noise, then the greeting on the secured bytes. Promises: libp2p gets a connection, and with
 * it muxer, identify and gossipsub, only after `greet` has accepted the peer; one deadline bounds it all. Refuses to know
 * what a greeting says. Spec: PROTOCOL.md, "Connections".
 */
import { noise, type NoiseComponents } from '@chainsafe/libp2p-noise';
import type { ConnectionEncrypter, MessageStream, SecureConnectionOptions, SecuredConnection } from '@libp2p/interface';
import { asMirrorError, type MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import { within, type World } from '../world.ts';
import { type ByteStream, FramedStream } from './framed.ts';
import type { Greet } from './wire.ts';

/** From the start of the handshake to the end of the greeting. */
export const GREETING_TIMEOUT_MS = 5_000;
/** The largest frame of a greeting: a roster. */
export const GREETING_FRAME_MAX_BYTES = 256 * 1024;

export interface Encryption {
  readonly world: World;
  readonly prologue: Uint8Array;
  readonly greet: Greet;
  /** Takes a place for one more connection with `peer`, until the answer is called. @throws LIMIT_EXCEEDED */
  reserve(peer: PeerId): () => void;
  /** Hears of each inbound handshake that begins. */
  began(address: string): void;
  /** The remote `host:port` of a raw connection. */
  addressOf(connection: MessageStream): string;
  /** Hears why a connection came to nothing: before `greet` (inbound only), and in it (outbound, for the dialler's error). */
  failed(stage: 'before' | 'greeting', inbound: boolean, address: string, error: MirrorError, peer?: PeerId): void;
}

type Secure = (connection: MessageStream, options?: SecureConnectionOptions) => Promise<SecuredConnection>;

/** Builds the encrypter for libp2p's `connectionEncrypters`. */
export const encrypter =
  (encryption: Encryption) =>
  (components: NoiseComponents): ConnectionEncrypter => {
    const inner = noise({ prologueBytes: encryption.prologue })(components);
    const secure =
      (inbound: boolean, handshake: Secure): Secure =>
      (connection, options) => {
        const address = encryption.addressOf(connection);
        if (inbound) encryption.began(address);
        const work = (signal: AbortSignal): Promise<SecuredConnection> =>
          admit(encryption, inbound, address, () => handshake(connection, { ...options, signal }), signal);
        return within(
          encryption.world,
          GREETING_TIMEOUT_MS,
          options?.signal,
          'HANDSHAKE_TIMEOUT',
          `greeting ${address}`,
          work,
        );
      };
    return {
      protocol: inner.protocol,
      secureInbound: secure(true, (connection, options) => inner.secureInbound(connection, options)),
      secureOutbound: secure(false, (connection, options) => inner.secureOutbound(connection, options)),
    };
  };

async function admit(
  encryption: Encryption,
  inbound: boolean,
  address: string,
  handshake: () => Promise<SecuredConnection>,
  signal: AbortSignal,
): Promise<SecuredConnection> {
  let secured: SecuredConnection | undefined;
  let release: (() => void) | undefined;
  try {
    secured = await handshake();
    const peer = secured.remotePeer.toString() as PeerId;
    release = encryption.reserve(peer);
  } catch (error) {
    const code = signal.aborted ? 'HANDSHAKE_TIMEOUT' : 'PEER_REFUSED';
    const reason = asMirrorError(
      error,
      code,
      `no handshake with ${address}; another cluster's node, or no node at all`,
    );
    encryption.failed('before', inbound, address, reason, secured?.remotePeer.toString() as PeerId | undefined);
    throw reason;
  }
  const stream = new FramedStream(secured.connection as unknown as ByteStream, GREETING_FRAME_MAX_BYTES);
  const stop = (): void => stream.abort(asMirrorError(signal.reason, 'HANDSHAKE_TIMEOUT', `greeting ${address}`));
  signal.addEventListener('abort', stop, { once: true });
  try {
    await encryption.greet(secured.remotePeer.toString() as PeerId, stream, address, signal);
    if (signal.aborted) throw asMirrorError(signal.reason, 'HANDSHAKE_TIMEOUT', `greeting ${address}`);
    stream.release();
    return secured;
  } catch (error) {
    const reason = asMirrorError(error, 'PEER_REFUSED', `the greeting with ${address} failed`);
    encryption.failed('greeting', inbound, address, reason);
    stream.abort(reason);
    throw reason;
  } finally {
    signal.removeEventListener('abort', stop);
    release();
  }
}
