/**
 * Private content asked for under a public name, at the mirror's real door: it is absent, as what exists nowhere is. Neither
 * status nor headers nor body nor time tells them apart.
 */
import assert from 'node:assert/strict';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { type OpenDoor, openDoor } from '../http/door.ts';
import { storyImage } from '../mirror/story-node.ts';

const POLICY = `
registries: [r.test]
share: [r.test/public/**]
tags: [{match: r.test/**, min: 1}]
`;
const PUBLIC = storyImage('r.test/public/app:1', { layers: [1000] });
/** In the store of the node that is asked, and of another, neither of which shares it. */
const PRIVATE = storyImage('r.test/private/app:1', { layers: [300_000], platforms: ['linux/amd64', 'linux/arm64'] });
/** Pulled through the mirror that is asked, under its own name, from one that shares it no more. */
const PULLED = storyImage('r.test/private/pulled:1', { layers: [200_000] });
const NOWHERE = storyImage('r.test/nowhere/app:1', { layers: [300_000], platforms: ['linux/amd64', 'linux/arm64'] });

const TIMED = 200;
const DIFFERENCE_MAX_MS = 5;
/** A busy machine only makes a difference larger: one quiet round of these is enough. */
const ROUNDS_MAX = 5;

interface Seen {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly names: readonly string[];
  readonly body: string;
  readonly ms: number;
}

void describe('private content under a public name', () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let door: OpenDoor;
  before(async () => {
    door = await openDoor({ policy: POLICY, kind: 'containerd' });
    const { story, node } = door;
    const other = await story.node('other', { policy: POLICY.replace('/public/**]', '/**]') });
    other.keep(PULLED);
    await story.world.sleep(400);
    for (const path of [story.manifest(PULLED), story.blob(PULLED, PULLED.layers[0]!)])
      assert.equal((await door.get(`/v2/${path}?ns=r.test`)).status, 200);
    other.decree(POLICY);
    for (const holder of [node, other]) for (const image of [PUBLIC, PRIVATE]) holder.keep(image);
    await story.world.sleep(600);
    assert.ok(node.rooms.catalogue.describe('r.test/private/app' as Owner, PRIVATE.layers[0]!.digest));
    assert.ok(node.rooms.spool.list().includes(PULLED.layers[0]!.digest));
    assert.deepEqual(node.rooms.peers.holders(PRIVATE.target.digest), []);
    assert.deepEqual(node.rooms.peers.holders(PULLED.target.digest), []);
  });
  after(async () => {
    agent.destroy();
    await door.close();
  });

  const ask = (path: string, method = 'GET', headers: Record<string, string> = {}): Promise<Seen> =>
    new Promise((done, failed) => {
      const since = performance.now();
      const url = `${door.base}/v2/public/app/${path}?ns=r.test`;
      const client = request(url, { agent, method, headers }, response => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const { date: _, ...rest } = response.headers;
          const names = response.rawHeaders.filter((_name, at) => at % 2 === 0);
          const body = Buffer.concat(parts).toString();
          done({ status: response.statusCode!, headers: rest, names, body, ms: performance.now() - since });
        });
      });
      client.on('error', failed);
      client.end();
    });

  /** What is asked for of an image: its manifests, its config, its layers; as a blob, too, what is a manifest. */
  const paths = (image: typeof PRIVATE): string[] => {
    const [first] = image.images;
    const [layer] = image.layers;
    return [
      `manifests/${image.target.digest}`,
      `manifests/${first!.manifest.digest}`,
      `manifests/${layer!.digest}`,
      `blobs/${image.target.digest}`,
      `blobs/${image.config.digest}`,
      `blobs/${layer!.digest}`,
    ];
  };

  for (const [where, image] of [
    ['the store', PRIVATE],
    ['the spool', PULLED],
  ] as const)
    for (const [method, headers] of [
      ['GET', {}],
      ['HEAD', {}],
      ['GET', { range: 'bytes=100-' }],
    ] as const)
      void it(`from ${where}, by ${method}${'range' in headers ? ' of a part' : ''}, looks as what is nowhere, and is recorded alike`, async () => {
        const nowhere = paths(NOWHERE);
        for (const [at, path] of paths(image).entries()) {
          const before = door.node.audit.of('pull.refused').length;
          const [{ ms: _, ...secret }, { ms: __, ...nothing }] = [
            await ask(path, method, headers),
            await ask(nowhere[at]!, method, headers),
          ];
          assert.deepEqual(secret, nothing);
          assert.equal(secret.status, 404);
          assert.deepEqual(
            door.node.audit
              .of('pull.refused')
              .slice(before)
              .map(({ code, reference }) => `${code} ${reference}`),
            [path, nowhere[at]!].map(one => `CONTENT_ABSENT r.test/public/app@${one.split('/')[1]}`),
          );
        }
        assert.deepEqual(
          door.node.audit.of('pull.started').filter(({ reference }) => reference.startsWith('r.test/public/')),
          [],
        );
      });

  void it('takes as long as what is nowhere', async () => {
    const [secrets, nothings] = [paths(PRIVATE), paths(NOWHERE)];
    let difference = Infinity;
    for (let round = 0; round < ROUNDS_MAX && difference >= DIFFERENCE_MAX_MS; round++) {
      const times: [number[], number[]] = [[], []];
      for (let at = 0; at < TIMED; at++) {
        const which = Math.floor(at / 2) % secrets.length;
        // Who comes first changes, so that neither profits.
        for (const side of at % 2 ? [0, 1] : [1, 0])
          times[side]!.push((await ask([secrets, nothings][side]![which]!)).ms);
      }
      difference = Math.abs(median(times[0]) - median(times[1]));
    }
    assert.ok(difference < DIFFERENCE_MAX_MS, `the medians differ by ${difference} ms`);
  });

  void it('does not hinder its own name, nor what is public', async () => {
    assert.equal((await ask(`blobs/${PUBLIC.layers[0]!.digest}`)).status, 200);
    const own = `/v2/${door.story.blob(PRIVATE, PRIVATE.layers[0]!)}?ns=r.test`;
    assert.equal((await door.get(own)).status, 200);
  });
});

type Owner = Parameters<OpenDoor['node']['rooms']['catalogue']['describe']>[0];

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]!;
