/** containerd's door: statuses, headers, and how a socket ends. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Kind, MirrorError } from '../../src/errors.ts';
import { SILENCE_MS } from '../../src/mirror/body.ts';
import { digestOf } from '../../src/oci/oci.ts';
import { MIB, type StoryImage, storyImage } from '../mirror/story-node.ts';
import { pullImage } from '../support/pull-client.ts';
import { type OpenDoor, openDoor, raw } from './door.ts';

const IMAGE = storyImage('r.test/team/app:1', { layers: [3 * MIB + 7, 10], platforms: ['linux/amd64', 'linux/arm64'] });
/** An image that only others hold. */
const AWAY = storyImage('r.test/team/away:1', { layers: [4 * MIB, 4 * MIB + 1, 4 * MIB + 2, 4 * MIB + 3] });
const LAYER = IMAGE.layers[0]!;
const path = (image: StoryImage, kind: 'manifests' | 'blobs', what: string): string =>
  `/v2/${image.reference.repository}/${kind}/${what}?ns=r.test`;

void describe('the door', () => {
  let door: OpenDoor;
  before(async () => {
    door = await openDoor();
    door.node.keep(IMAGE);
    for (const name of ['a', 'b']) (await door.story.node(name)).keep(AWAY);
    await delay(400);
    await door.get(path(AWAY, 'manifests', '1'));
  });
  after(() => door.close());

  void it('answers HEAD of a tag with digest, length and a manifest type, and no body', async () => {
    const { status, headers, body } = await door.get(path(IMAGE, 'manifests', '1'), { method: 'HEAD' });
    assert.deepEqual(
      [status, headers['docker-content-digest'], headers['content-length'], headers['content-type'], body.length],
      [200, IMAGE.target.digest, String(IMAGE.target.size), IMAGE.target.mediaType, 0],
    );
  });

  void it('answers GET of manifests and blobs with their bytes, length and digest', async () => {
    for (const [kind, what] of [
      ['manifests', IMAGE.target],
      ['manifests', IMAGE.images[0]!.manifest],
      ['blobs', LAYER],
    ] as const) {
      const { status, headers, body, whole } = await door.get(path(IMAGE, kind, what.digest));
      assert.deepEqual([status, whole, digestOf(body)], [200, true, what.digest]);
      assert.deepEqual(
        [
          headers['docker-content-digest'],
          headers['content-length'],
          headers['content-type'],
          headers['content-encoding'],
        ],
        [what.digest, String(what.size), what.mediaType, undefined],
      );
    }
  });

  void it('needs no ns where the path names the registry', async () => {
    const { status } = await door.get(`/v2/r.test/team/app/manifests/${IMAGE.target.digest}`);
    assert.equal(status, 200);
  });

  void it('gives 206 of what is whole, with Content-Range', async () => {
    const { status, headers, body } = await door.get(path(IMAGE, 'blobs', LAYER.digest), {
      headers: { range: 'bytes=5-9' },
    });
    assert.deepEqual(
      [status, headers['content-range'], headers['content-length']],
      [206, `bytes 5-9/${LAYER.size}`, '5'],
    );
    assert.ok(body.equals(Buffer.from(IMAGE.contents.get(LAYER.digest)!).subarray(5, 10)));
    const end = await door.get(path(IMAGE, 'blobs', LAYER.digest), { headers: { range: `bytes=${LAYER.size}-` } });
    assert.equal(end.status, 416);
  });

  void it('serves a client that pulls as containerd does, also where all comes from peers', async () => {
    const { digest } = await pullImage(door.base, 'r.test/team/app:1', { architecture: 'arm64' });
    assert.equal(digest, IMAGE.target.digest);
    assert.equal((await pullImage(door.base, 'r.test/team/away:1')).digest, AWAY.target.digest);
  });

  void it('answers /v2/ and /healthz always, and /readyz by why not', async () => {
    for (const url of ['/v2/', '/v2', '/healthz', '/readyz']) assert.equal((await door.get(url)).status, 200, url);
    assert.equal((await door.get('/v2/', { method: 'HEAD' })).status, 200);
    door.reason = 'the store is away';
    const { status, body } = await door.get('/readyz');
    door.reason = undefined;
    assert.equal(status, 503);
    assert.match(body.toString(), /the store is away/);
  });

  void it('has nothing else', async () => {
    for (const url of ['/', '/v1/x', '/metrics', '/v2x', '/healthz/x', '//v2/', '/status'])
      assert.equal((await door.get(url)).status, 404, url);
    for (const url of ['/v2/_catalog', '/v2/team/app/tags/list?ns=r.test'])
      assert.ok([400, 404].includes((await door.get(url)).status), url);
  });

  void it('refuses every method but GET and HEAD, whatever the body', async () => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
      for (const [type, body] of [
        ['application/octet-stream', 'bytes'],
        ['application/json', '{'],
        ['', ''],
      ]) {
        const head = `${method} /v2/team/app/blobs/uploads/?ns=r.test HTTP/1.1\r\nHost: 127.0.0.1:${door.port}\r\nConnection: close\r\n`;
        const text = `${head}${type ? `Content-Type: ${type}\r\n` : ''}Content-Length: ${body!.length}\r\n\r\n${body}`;
        const answer = await raw(door.port, text);
        assert.equal(answer.status, 405, `${method} ${type}`);
        assert.match(answer.bytes.toString(), /allow: GET, HEAD/i);
      }
  });

  void it('refuses a Host that is not its own', async () => {
    for (const host of ['evil.test', `evil.test:${door.port}`, `127.0.0.1`, `127.0.0.1:${door.port}.evil.test`, '']) {
      const answer = await raw(door.port, `GET /v2/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      assert.equal(answer.status, 400, host);
      assert.equal(door.node.audit.of('pull.refused').at(-1)?.code, 'REQUEST_INVALID');
    }
    assert.equal((await raw(door.port, 'GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n')).status, 400);
    const own = await raw(door.port, `GET /v2/ HTTP/1.1\r\nHost: LOCALHOST:${door.port}\r\nConnection: close\r\n\r\n`);
    assert.equal(own.status, 200);
  });

  void it('lets one seam refuse a client, before anything is looked up', async () => {
    door.authorize = () => Promise.reject(new MirrorError('DENIED', 'who are you?'));
    const { status, body } = await door.get(path(IMAGE, 'manifests', '1'));
    door.authorize = () => Promise.resolve();
    assert.equal(status, 403);
    assert.deepEqual((JSON.parse(body.toString()) as { errors: { code: string }[] }).errors[0]!.code, 'DENIED');
    assert.equal(door.node.audit.of('pull.refused').at(-1)!.code, 'DENIED');
    assert.equal(door.node.audit.events.at(-1)!.event, 'pull.refused');
  });

  void it('says by the status what kind of error it is, and of what is not here no more than that', async () => {
    const statuses: Record<Kind, number> = { invalid: 400, denied: 403, absent: 404, hostile: 404, unavailable: 503 };
    const codes = {
      invalid: 'NAME_INVALID',
      denied: 'DENIED',
      absent: 'TAG_UNPINNED',
      hostile: 'PROOF_REFUTED',
      unavailable: 'STORE_UNAVAILABLE',
    } as const;
    const policy = door.node.rooms.policy;
    for (const kind of Object.keys(statuses) as Kind[]) {
      Object.assign(door.node.rooms, {
        policy: () => ({
          ...policy(),
          registry: () => {
            throw new MirrorError(codes[kind], 'secret detail');
          },
        }),
      });
      const { status, body } = await door.get(path(IMAGE, 'manifests', '1'));
      assert.equal(status, statuses[kind], kind);
      if (status === 404) assert.doesNotMatch(body.toString(), /secret|PROOF|TAG/);
    }
    Object.assign(door.node.rooms, { policy });
  });

  void it('gives a blob whose manifest calls it by a type that is no header as plain bytes', async () => {
    const nasty = storyImage('r.test/team/nasty:1', { layers: [11] });
    const bytes = Buffer.from('nasty');
    const layer = { ...door.node.store.put(bytes), mediaType: 'a/b\r\nx-evil: 1' };
    const target = door.node.store.put(
      Buffer.from(
        JSON.stringify({ schemaVersion: 2, mediaType: nasty.target.mediaType, config: nasty.config, layers: [layer] }),
      ),
    );
    door.node.store.name(nasty.reference, { ...target, mediaType: nasty.target.mediaType });
    await delay(400);
    const { status, headers, body } = await door.get(path(nasty, 'blobs', layer.digest));
    assert.deepEqual(
      [status, headers['content-type'], headers['x-evil']],
      [200, 'application/octet-stream', undefined],
    );
    assert.ok(body.equals(bytes));
    assert.equal((await door.get(path(nasty, 'blobs', layer.digest), { method: 'HEAD' })).status, 200);
  });

  void it('holds no connection of a client that takes nothing for ever, and waits longer than a body may be silent', () => {
    assert.ok(door.server.server.timeout > SILENCE_MS);
    assert.ok(door.server.server.timeout <= 2 * SILENCE_MS);
    assert.ok(door.server.server.headersTimeout > 0 && door.server.server.maxConnections! > 0);
  });
});

void describe('a body that cannot go on', () => {
  let door: OpenDoor;
  const image = AWAY;
  before(async () => {
    door = await openDoor();
    for (const name of ['a', 'b']) (await door.story.node(name)).keep(image);
    await delay(400);
    await door.get(path(image, 'manifests', '1'));
  });
  after(() => door.close());

  const request = (url: string, more = ''): string =>
    `GET ${url} HTTP/1.1\r\nHost: 127.0.0.1:${door.port}\r\n${more}\r\n`;
  const bodyOf = (bytes: Buffer): Buffer => bytes.subarray(bytes.indexOf('\r\n\r\n') + 4);
  /** `a` and `b` die at `position`. */
  const die = (position: number): void => {
    for (const name of ['a', 'b'])
      door.story.hub.tamper(name, (bytes, at) => {
        if (at >= position && bytes.length === MIB) throw new MirrorError('LANE_CLOSED', 'dead');
        return bytes;
      });
  };
  const heal = (): void => die(Number.POSITIVE_INFINITY);

  void it('ends by FIN after the proved bytes, never by a reset, and the rest is 404', async () => {
    const [layer] = image.layers;
    die(2 * MIB);
    const { bytes, ended, status } = await raw(door.port, request(path(image, 'blobs', layer!.digest)));
    assert.deepEqual([status, ended], [200, 'FIN']);
    assert.match(bytes.subarray(0, 1000).toString(), new RegExp(`content-length: ${layer!.size}`, 'i'));
    assert.ok(bodyOf(bytes).equals(Buffer.from(image.contents.get(layer!.digest)!).subarray(0, 2 * MIB)));
    const rest = await door.get(path(image, 'blobs', layer!.digest), { headers: { range: `bytes=${2 * MIB}-` } });
    assert.equal(rest.status, 404);
    heal();
  });

  void it('ends by FIN also where the client sent more than it was asked for', async () => {
    const [, layer] = image.layers;
    die(2 * MIB);
    // A second request waits in the pipe.
    const { ended, bytes } = await raw(door.port, request(path(image, 'blobs', layer!.digest)) + request('/healthz'));
    assert.equal(ended, 'FIN');
    assert.ok(bodyOf(bytes).length >= 2 * MIB);
    heal();
  });

  void it('leaves nothing open for a client that goes away, and the fetch goes on for the next', async () => {
    const [, , layer] = image.layers;
    const open = Promise.withResolvers<void>();
    for (const name of ['a', 'b'])
      door.story.hub.tamper(name, async (bytes, at) => {
        if (at >= 2 * MIB && bytes.length === MIB) await open.promise;
        return bytes;
      });
    const url = path(image, 'blobs', layer!.digest);
    await raw(door.port, request(url), (socket, sofar) => {
      if (sofar > MIB) socket.resetAndDestroy();
    });
    const ended = await eventually(() =>
      door.node.audit.of('pull.ended').find(event => event.digest === layer!.digest),
    );
    assert.equal(ended.outcome, 'cut');
    open.resolve();
    const again = await door.get(url);
    assert.deepEqual([again.status, digestOf(again.body)], [200, layer!.digest]);
    assert.equal(door.node.asked.filter(({ digest }) => digest === layer!.digest).length, 1);
    heal();
  });

  void it('takes no more than three buffers ahead of a client that reads slowly', async () => {
    const slow = storyImage('r.test/team/slow:1', { layers: [24 * MIB] });
    door.node.keep(slow);
    await delay(600);
    const [layer] = slow.layers;
    let readUpTo = 0;
    const open = door.node.store.open.bind(door.node.store);
    door.node.store.open = async digest => {
      const content = await open(digest);
      return (
        content && {
          ...content,
          read: (into, position) => {
            readUpTo = Math.max(readUpTo, position + into.length);
            return content.read(into, position);
          },
        }
      );
    };
    let paused = false;
    const answer = raw(door.port, request(path(slow, 'blobs', layer!.digest), 'Connection: close\r\n'), socket => {
      if (paused) return;
      paused = true;
      socket.pause();
      setTimeout(() => socket.resume(), 300);
    });
    await delay(250);
    // What the kernel's buffers took is on top of the three.
    assert.ok(readUpTo < 20 * MIB, `${readUpTo} bytes were read ahead`);
    const { bytes } = await answer;
    assert.equal(digestOf(bodyOf(bytes)), layer!.digest);
  });
});

async function eventually<T>(look: () => T | undefined): Promise<T> {
  for (let tries = 0; tries < 200; tries++) {
    const found = look();
    if (found !== undefined) return found;
    await delay(10);
  }
  throw new Error('it did not come');
}
