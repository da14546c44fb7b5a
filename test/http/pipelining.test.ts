/**
 * Several requests on one connection: where an answer is cut, nothing else may go into the place of its missing bytes. The
 * client counts what it was promised, so a second answer's bytes would count as the first one's.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { MirrorError } from '../../src/errors.ts';
import { digestOf } from '../../src/oci/oci.ts';
import { MIB, storyImage } from '../mirror/story-node.ts';
import { type OpenDoor, openDoor, raw } from './door.ts';

const AWAY = storyImage('r.test/team/away:1', { layers: [4 * MIB, 4 * MIB + 1, 4 * MIB + 2, 4 * MIB + 3] });
const HELD = storyImage('r.test/team/held:1', { layers: [1000] });
/** Where the holders of what is away die. */
const PROVED = 2 * MIB;
const AGAIN = /HTTP\/1\.1 /g;

void describe('a request that waits behind an answer', () => {
  let door: OpenDoor;
  before(async () => {
    door = await openDoor();
    door.node.keep(HELD);
    for (const name of ['a', 'b']) {
      (await door.story.node(name)).keep(AWAY);
      door.story.hub.tamper(name, (bytes, position) => {
        if (position >= PROVED && bytes.length === MIB) throw new MirrorError('LANE_CLOSED', 'dead');
        return bytes;
      });
    }
    await delay(400);
    await door.get(`/v2/team/away/manifests/1?ns=r.test`);
  });
  after(() => door.close());

  const request = (path: string, method = 'GET', more = ''): string =>
    `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${door.port}\r\n${more}\r\n`;
  /** After which the door would end the connection, did it answer. */
  const last = (path: string, method = 'GET'): string => request(path, method, 'Connection: close\r\n');
  const away = (layer: number): string => request(`/v2/team/away/blobs/${AWAY.layers[layer]!.digest}?ns=r.test`);
  const held = `/v2/team/held/blobs/${HELD.layers[0]!.digest}?ns=r.test`;
  /** The body is the proved part of the layer, and nothing else. */
  const assertCut = (bytes: Buffer, layer: number): void => {
    const { digest, size } = AWAY.layers[layer]!;
    const end = bytes.indexOf('\r\n\r\n') + 4;
    assert.match(bytes.subarray(0, end).toString(), new RegExp(`content-length: ${size}`, 'i'));
    const body = bytes.subarray(end);
    assert.equal(body.length, PROVED);
    assert.ok(body.equals(Buffer.from(AWAY.contents.get(digest)!).subarray(0, PROVED)));
  };

  for (const [layer, what, second] of [
    [0, 'that needs no look-up', () => last('/healthz')],
    [1, 'for content that is here', () => last(held)],
    [2, 'that is refused', () => request(held, 'DELETE') + last('/v2/team/held/blobs/x?ns=r.test')],
  ] as const)
    void it(`${what} goes unanswered where that one is cut`, async () => {
      const { status, ended, bytes } = await raw(door.port, away(layer) + second());
      assert.deepEqual([status, ended], [200, 'FIN']);
      assertCut(bytes, layer);
    });

  void it('goes unanswered also where it is sent after the cut', async () => {
    const parts: Buffer[] = [];
    await new Promise<void>((done, failed) => {
      const socket = connect({ port: door.port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.write(away(3)));
      socket.on('data', (part: Buffer) => parts.push(part));
      // Our half is still open: the door could read this, and must not write.
      socket.on('end', () => socket.end(last(held)));
      socket.on('error', failed);
      socket.on('close', () => done());
    });
    assertCut(Buffer.concat(parts), 3);
  });

  void it('is answered in its turn where nothing is cut', async () => {
    const { ended, bytes } = await raw(door.port, request(held) + request('/healthz') + last(held));
    assert.equal(ended, 'FIN');
    assert.equal(bytes.toString('latin1').match(AGAIN)?.length, 3);
    for (const part of [bytes.subarray(bytes.indexOf('\r\n\r\n') + 4).subarray(0, 1000), bytes.subarray(-1000)])
      assert.equal(digestOf(part), HELD.layers[0]!.digest);
  });
});
