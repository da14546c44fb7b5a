/**
 * Handshakes that must be refused, one at a time. On the control port it goes as far as a node lets it that has to work for
 * it: noise's second message, then nonsense; on the lanes' port it brings a key that nobody handed out. It costs itself as
 * little as it can.
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** A handshake that hangs for so long is given up, in milliseconds. */
const HANGS_MS = 5_000;
const MULTISTREAM = Buffer.from('\x13/multistream/1.0.0\n\x07/noise\n', 'latin1');
/** The first message of noise XX is a public key. */
const KEY_BYTES = 32;
/** Bytes of nonsense in place of the third message. */
const NONSENSE_BYTES = 200;

const framed = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);

/** Who tries: on a machine that has several addresses, one of them. */
interface From {
  readonly localAddress?: string;
}

/** One attempt on a control port; true where the node answered with work of its own. */
export function tryControl(host: string, port: number, from: From = {}): Promise<boolean> {
  return new Promise(resolve => {
    let got = 0;
    let answered = false;
    const socket = connect({ ...from, host, port, noDelay: true }, () => {
      socket.write(Buffer.concat([MULTISTREAM, framed(randomBytes(KEY_BYTES))]));
    });
    socket.setTimeout(HANGS_MS, () => socket.destroy());
    socket.on('data', bytes => {
      got += bytes.length;
      if (answered || got <= MULTISTREAM.length) return;
      answered = true;
      socket.write(framed(randomBytes(NONSENSE_BYTES)));
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answered));
  });
}

/** One attempt on a port of lanes; true where TLS answered. */
export function tryLane(host: string, port: number, from: From = {}): Promise<boolean> {
  return new Promise(resolve => {
    let answered = false;
    const psk = randomBytes(KEY_BYTES);
    const identity = randomBytes(16).toString('hex');
    const socket = connectTls({
      ...from,
      host,
      port,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      rejectUnauthorized: false,
      pskCallback: () => ({ psk, identity }),
      checkServerIdentity: () => undefined,
    });
    socket.setTimeout(HANGS_MS, () => socket.destroy());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      answered ||= error.code?.startsWith('ERR_SSL') === true;
    });
    socket.on('close', () => resolve(answered));
  });
}
