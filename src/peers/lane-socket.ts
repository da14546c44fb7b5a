/**
 * A socket of node:net or node:tls as a lane's socket. Promises: bytes are handed on without being kept, and those that
 * come before anybody listens are kept and stop the sender. Refuses to know how the socket was secured.
 */
import type { Socket } from 'node:net';
import { MirrorError } from '../errors.ts';
import type { LaneSocket } from './wire.ts';

/** Where a socket's bytes go: to whoever listens, or into waiting until somebody does. */
export class Inlet {
  #on: ((bytes: Uint8Array) => boolean) | undefined;
  readonly #early: Uint8Array[] = [];

  /** False where the socket should pause. */
  deliver(bytes: Uint8Array): boolean {
    if (this.#on) return this.#on(bytes);
    this.#early.push(Uint8Array.from(bytes));
    return false;
  }

  /** Whether the socket may go on, once `on` had what came before. */
  listen(on: (bytes: Uint8Array) => boolean): boolean {
    this.#on = on;
    return this.#early.splice(0).every(bytes => on(bytes));
  }
}

export class SocketLane implements LaneSocket {
  readonly remoteAddress: string;
  readonly closed: Promise<Error | undefined>;
  readonly #socket: Socket;
  readonly #inlet: Inlet;

  /** `socket` is connected and secured, and delivers to `inlet`. */
  constructor(socket: Socket, inlet: Inlet) {
    this.#socket = socket;
    this.#inlet = inlet;
    this.remoteAddress = hostOf(socket);
    let reason: Error | undefined;
    socket.on('error', error => {
      reason = error;
    });
    this.closed = new Promise(resolve => {
      socket.once('close', () => resolve(reason));
    });
    socket.setNoDelay(true);
  }

  receive(on: (bytes: Uint8Array) => boolean): void {
    if (this.#inlet.listen(bytes => !this.#socket.destroyed && on(bytes))) this.#socket.resume();
  }

  resume(): void {
    this.#socket.resume();
  }

  async send(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.write(bytes, error => {
        if (error)
          reject(new MirrorError('LANE_CLOSED', `the lane to ${this.remoteAddress} is closed`, { cause: error }));
        else resolve();
      });
    });
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** The remote host of a socket, without the prefix of an IPv4 address on an IPv6 socket; empty once it is gone. */
export const hostOf = (socket: Socket): string => (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '');
