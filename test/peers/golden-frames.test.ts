/** Golden files of what crosses the wire beside statements: the greeting, and the frames of lanes. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { digestOf } from '../../src/oci/oci.ts';
import {
  encodeAnswer,
  encodeOffer,
  encodeRequest,
  parseAnswer,
  parseOffer,
  parseRequest,
} from '../../src/peers/frame.ts';
import { greeter } from '../../src/peers/greeting.ts';
import type { Stream } from '../../src/peers/wire.ts';
import { credentialFor, FakeMembers, ownKey } from '../support/fake-peers.ts';
import { streamPair } from '../support/lane-pair.ts';

const WRITE = process.env.PINNACE_WRITE_GOLDEN === '1';

async function same(name: string, lines: readonly string[]): Promise<void> {
  const file = new URL(`golden/${name}.txt`, import.meta.url);
  const text = `${lines.join('\n')}\n`;
  if (WRITE) await writeFile(file, text);
  assert.equal(text, await readFile(file, 'utf8'));
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const seed = (name: string): Uint8Array => Buffer.from(digestOf(Buffer.from(name)).slice('sha256:'.length), 'hex');

void test('the frames of lanes are written as their golden file, and read back', async () => {
  const request = { digest: digestOf(Buffer.from('golden')), offset: 3 << 20, length: 5_000_000 };
  const long = { ...request, digest: digestOf(Buffer.from('golden'), 'sha512') };
  const offer = { identity: Buffer.alloc(16, 0xab), key: Buffer.alloc(32, 0xcd) };
  await same('lane-frames', [
    `request-sha256 ${hex(encodeRequest(request))}`,
    `request-sha512 ${hex(encodeRequest(long))}`,
    `answer ${hex(encodeAnswer({ length: request.length }))}`,
    `answer-absent ${hex(encodeAnswer('absent'))}`,
    `offer ${hex(encodeOffer(offer))}`,
  ]);
  assert.deepEqual(parseRequest(encodeRequest(long)), long);
  assert.deepEqual(parseAnswer(encodeAnswer({ length: request.length }), request), { length: request.length });
  assert.equal(parseAnswer(encodeAnswer('absent'), request), 'absent');
  assert.equal(hex(encodeOffer(parseOffer(encodeOffer(offer)))), hex(encodeOffer(offer)));
});

/** The stream, and each frame that was sent on it. */
function overheard(stream: Stream): { readonly stream: Stream; readonly sent: string[] } {
  const sent: string[] = [];
  const send = (frame: Uint8Array): Promise<void> => {
    const text = Buffer.from(frame).toString('latin1');
    sent.push(/^[\x20-\x7e]+$/.test(text) ? text : hex(frame));
    return stream.send(frame);
  };
  return {
    sent,
    stream: { send, receive: () => stream.receive(), close: () => stream.close(), abort: error => stream.abort(error) },
  };
}

void test('the greeting of a node with the newer roster is the golden file', async () => {
  const [a, b] = [ownKey(seed('a')), ownKey(seed('b'))].map(key => ({
    ...key,
    credential: () => credentialFor(key.peer, { name: 'n' }),
  }));
  const [near, far] = streamPair();
  const heard = { a: overheard(near), b: overheard(far) };
  const record = (): Promise<void> => Promise.resolve();
  const { signal } = new AbortController();
  await Promise.all([
    greeter({ self: a!, members: new FakeMembers(7), record })(b!.peer, heard.a.stream, 'b:1', signal),
    greeter({ self: b!, members: new FakeMembers(3), record })(a!.peer, heard.b.stream, 'a:1', signal),
  ]);
  await same('greeting', [
    ...heard.a.sent.map(frame => `newer ${frame}`),
    ...heard.b.sent.map(frame => `older ${frame}`),
  ]);
});
