/** Tries of the limits on answers, fetches and the spool, on a story's clock or at a real door. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { Catalogue, ownerOf } from '../../src/mirror/catalogue.ts';
import { Fetches } from '../../src/mirror/fetches.ts';
import { type Digest, OCI_LAYER, parseReference } from '../../src/oci/oci.ts';
import { parseConfig } from '../../src/cli/config.ts';
import { openProofFiles } from '../../src/store/hashes-files.ts';
import { openSpool } from '../../src/store/spool.ts';
import { openDoor, raw } from '../http/door.ts';
import { Cast, NAME } from '../mirror/cast.ts';
import { MIB, type StoryImage, storyImage } from '../mirror/story-node.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { is, type Try, type Tries } from './table.ts';

/** Runs `work` on a stage of its own. */
const staged =
  (work: (stage: Cast, row: Parameters<Try>[0]) => Promise<void>): Try =>
  async row => {
    const stage = new Cast();
    try {
      await work(stage, row);
    } finally {
      await stage.end();
    }
  };

/** True once `work` has settled. */
function settled(work: Promise<unknown>): () => boolean {
  let done = false;
  const end = (): void => void (done = true);
  work.then(end, end);
  return () => done;
}

/** `work` is open until `ms` have passed on the stage's clock, and settles then. */
async function settlesAt<T>(stage: Cast, ms: number, work: Promise<T>): Promise<T> {
  const done = settled(work);
  await stage.world.advance(ms - 1);
  assert.ok(!done(), `it was settled before ${ms} ms`);
  await stage.world.advance(1);
  assert.ok(done(), `it is not settled after ${ms} ms`);
  return work;
}

/** An image whose one large layer others hold and do not give until they are told to; and a client that wants it. */
async function gated(stage: Cast, holders: readonly string[] = ['a'], size = 3 * MIB) {
  const image = storyImage(NAME, { layers: [size] });
  for (const name of holders) await stage.holder(name, image);
  const client = await stage.client(image);
  const gates = holders.map(name => stage.gate(name, 0));
  const path = stage.blob(image, image.layers[0]!);
  return { image, client, path, open: () => gates.forEach(gate => gate()) };
}

function names(count: number): Digest[] {
  return Array.from({ length: count }, (_, at) => `sha256:${at.toString(16).padStart(64, '0')}` as Digest);
}

/** Sockets to a port of loopback, and how many of them the other side has closed. */
async function sockets(port: number, count: number): Promise<{ all: Socket[]; closed: () => number }> {
  let closed = 0;
  const all = Array.from({ length: count }, () => connect({ port, host: '127.0.0.1' }));
  for (const socket of all) {
    socket.on('error', () => undefined);
    socket.on('close', () => closed++);
    socket.resume();
  }
  await Promise.all(all.map(socket => new Promise(done => socket.once('connect', done).once('close', done))));
  return { all, closed: () => closed };
}

const soon = async (holds: () => boolean): Promise<void> => {
  for (let turns = 0; turns < 400 && !holds(); turns++) await new Promise(done => setTimeout(done, 10));
  assert.ok(holds(), holds.toString());
};

export const answerTries: Tries = {
  'answer-headers': staged(async (stage, { numbers: [ms] }) => {
    const { client, path } = await gated(stage);
    const { body } = await settlesAt(stage, ms, stage.ask(client, path));
    await body!.close(0);
  }),
  'answer-still': staged(async (stage, { numbers: [ms] }) => {
    const { client, path } = await gated(stage);
    const asked = stage.ask(client, path).then(({ body }) => body!.upTo(0));
    assert.equal(await settlesAt(stage, ms, asked), undefined);
  }),
  'answer-turning': staged(async (stage, { numbers: [ms] }) => {
    const { client, path } = await gated(stage, ['a', 'b', 'c', 'd', 'e']);
    const asked = stage.ask(client, path).then(({ body }) => body!.upTo(0));
    assert.equal(await settlesAt(stage, ms, asked), undefined);
    assert.ok(new Set(client.asked.map(({ from }) => from)).size > 2);
  }),
  'answer-silence': staged(async (stage, { numbers: [ms] }) => {
    const image = storyImage(NAME, { layers: [54 * MIB] });
    await stage.holder('slow', image);
    const client = await stage.client(image);
    stage.hub.tamper('slow', async (bytes, at) => {
      if (bytes.length === MIB && at >= 0) await stage.world.sleep(4_800);
      return bytes;
    });
    const { body } = await stage.until(stage.ask(client, stage.blob(image, image.layers[0]!)), 5_000, 1);
    assert.equal(await settlesAt(stage, ms, body!.upTo(0)), undefined);
  }),
  'answer-cut': staged(async (stage, { numbers: [ms], codes: [code] }) => {
    const { client, path } = await gated(stage);
    assert.equal((await stage.get(client, path)).bytes.length, 0);
    const again = async (): Promise<boolean> => {
      const asked = stage.ask(client, path);
      const done = settled(asked);
      await stage.world.settle();
      if (done()) await assert.rejects(asked, is(code));
      else asked.catch(() => undefined);
      return done();
    };
    await stage.world.advance(ms - 200);
    assert.equal(await again(), true, 'somebody waits for it already');
    await stage.world.advance(200);
    assert.equal(await again(), false, 'nobody waits for it yet');
  }),
  'holder-patience': staged(async (stage, { numbers: [first, least] }) => {
    const { client, path } = await gated(stage, ['a', 'b', 'c', 'd', 'e', 'f']);
    void stage.ask(client, path).catch(() => undefined);
    await stage.world.settle();
    // Each holder gets half the patience of the one before, down to the least.
    for (let ms = first, holders = 1; holders < 5; ms = Math.max(least, ms / 2), holders++) {
      await stage.world.advance(ms - 1);
      assert.equal(client.asked.length, holders);
      await stage.world.advance(1);
      assert.equal(client.asked.length, holders + 1, `after ${ms} ms`);
    }
  }),
  'manifest-wait': staged(async (stage, { numbers: [ms], codes: [code] }) => {
    const image = storyImage(NAME);
    await stage.holder('a', image);
    stage.hub.tamper('a', () => new Promise(() => undefined));
    const client = await stage.node('client');
    const asked = stage.ask(client, stage.manifest(image, image.target.digest));
    asked.catch(() => undefined);
    await assert.rejects(settlesAt(stage, ms, asked), is(code));
  }),
  fetches: staged(async (stage, { numbers: [most], codes: [code] }) => {
    const image = storyImage(NAME, { layers: Array.from({ length: most + 1 }, (_, at) => MIB + at) });
    await stage.holder('a', image);
    const client = await stage.client(image);
    stage.gate('a', 0);
    const paths = image.layers.map(layer => stage.blob(image, layer));
    for (const path of paths.slice(0, most)) void stage.ask(client, path).catch(() => undefined);
    await stage.world.settle();
    assert.equal(client.rooms.fetches.list().length, most);
    await assert.rejects(stage.ask(client, paths.at(-1)!), is(code));
    assert.equal(client.audit.of('pull.refused').at(-1)!.code, code);
  }),
  'read-ahead': staged(async (stage, { numbers: [most, share] }) => {
    const room = 40 * MIB;
    const large = room * share;
    const image = storyImage(NAME, { layers: [large, 2 * MIB, 2 * MIB + 1, 2 * MIB + 2, 2 * MIB + 3] });
    await stage.holder('a', image);
    const client = await stage.node('client', { spoolBytes: room });
    await stage.get(client, stage.manifest(image));
    stage.gate('a', 0);
    await stage.get(client, stage.blob(image, image.config));
    await stage.world.settle();
    const ahead = client.rooms.fetches.list().map(({ size }) => size);
    assert.deepEqual(ahead, [2 * MIB, 2 * MIB + 1].slice(0, most));
    assert.equal(ahead.length, most);
    // A little less than that share of what is free is taken.
    const other = storyImage('r.test/team/other:1', { layers: [large - MIB / 4] });
    await stage.holder('c', other);
    const second = await stage.node('second', { spoolBytes: room });
    await stage.get(second, stage.manifest(other));
    stage.gate('c', 0);
    await stage.get(second, stage.blob(other, other.config));
    await stage.world.settle();
    assert.equal(second.rooms.fetches.list().length, 1);
  }),
  doubts: staged(async (stage, { numbers: [ms] }) => {
    let hashed = 0;
    const node = await stage.node('holder', {
      twist: ({ store, hashes }) => ({
        store,
        hashes: {
          prove: (content, signal) => hashes.prove(content, signal),
          known: digest => hashes.known(digest),
          again: (content, signal) => {
            hashed += 1;
            return hashes.again(content, signal);
          },
        },
      }),
    });
    const image: StoryImage = storyImage(NAME);
    node.keep(image);
    await stage.share();
    const doubt = async (): Promise<number> => {
      node.giver.doubt(stage.hub.join('other').node, image.layers[0]!.digest);
      await stage.world.settle();
      return hashed;
    };
    assert.equal(await doubt(), 1);
    await stage.world.advance(ms - 1);
    assert.equal(await doubt(), 1);
    await stage.world.advance(1);
    assert.equal(await doubt(), 2);
  }),
  spool: async ({ numbers: [most], codes: [code] }) => {
    const text = { node: 'n1', stateDir: '/s', policyFile: 'p', mirror: { listen: '127.0.0.1:1' } };
    const config = parseConfig(JSON.stringify({ ...text, peers: { listen: '127.0.0.1:2' } }), 'c');
    const spool = await openSpool(new MemoryDisk(), '/spool', config.spool.maxBytes, simulatedWorld());
    const [one, two] = names(2);
    const whole = await spool.begin(one!, most);
    assert.equal(spool.free, 0);
    await assert.rejects(spool.begin(two!, 1), is(code));
    await whole.abandon();
    await assert.rejects(spool.begin(two!, most + 1), is(code));
  },
  'spool-contents': async ({ numbers: [most] }) => {
    const disk = new MemoryDisk();
    await disk.mkdir('/spool');
    const digests = names(most + 1);
    for (const [at, digest] of digests.entries())
      disk.poke(`/spool/${digest.replace(':', '-')}-1-${at}`, Buffer.from('x'));
    const spool = await openSpool(disk, '/spool', 2 ** 40, simulatedWorld());
    assert.equal(spool.used, most);
  },
  'kept-proofs': async ({ numbers: [most] }) => {
    const disk = new MemoryDisk();
    await disk.mkdir('/proofs');
    for (const digest of names(most + 1)) disk.poke(`/proofs/${digest.replace(':', '-')}`, Buffer.from('x'));
    await openProofFiles(disk, '/proofs');
    assert.equal((await disk.list('/proofs')).length, most);
  },
  'proved-contents': ({ numbers: [most] }) => {
    const fetches = new Fetches();
    const digests = names(most + 1);
    for (const digest of digests.slice(0, most)) fetches.note(digest);
    assert.ok(fetches.proved(digests[0]!));
    fetches.note(digests.at(-1)!);
    assert.ok(!fetches.proved(digests[0]!) && fetches.proved(digests[1]!));
  },
  'learnt-names': ({ numbers: [owners, contents] }) => {
    const catalogue = new Catalogue();
    const described = (digest: Digest) => ({ mediaType: OCI_LAYER, digest, size: 1 });
    const owner = (at: number) => ownerOf(parseReference(`r.test/a${at}:1`));
    const [first, ...more] = names(contents + 1);
    catalogue.learn(owner(0), described(first!), more.slice(0, -1).map(described));
    assert.ok(catalogue.describe(owner(0), first!));
    catalogue.learn(owner(0), described(more.at(-1)!), []);
    assert.ok(!catalogue.describe(owner(0), first!) && !catalogue.describe(owner(0), more[0]!));
    for (let at = 1; at < owners; at++) catalogue.learn(owner(at), described(first!), []);
    assert.ok(catalogue.describe(owner(0), more.at(-1)!));
    catalogue.learn(owner(owners), described(first!), []);
    assert.ok(!catalogue.describe(owner(0), more.at(-1)!) && catalogue.describe(owner(1), first!));
  },
  clients: async ({ numbers: [most] }) => {
    const door = await openDoor();
    try {
      const open = await sockets(door.port, most);
      const late = await sockets(door.port, 1);
      await soon(() => late.closed() === 1);
      assert.equal(open.closed(), 0);
      for (const socket of open.all) socket.destroy();
    } finally {
      await door.close();
    }
  },
  'client-headers': async ({ numbers: [ms] }) => {
    const door = await openDoor();
    try {
      const begin = performance.now();
      const { status } = await raw(door.port, 'GET /healthz HTTP/1.1\r\nHost: 127');
      const took = performance.now() - begin;
      assert.equal(status, 408);
      assert.ok(took > ms - 100 && took < ms + 5_000, `${took} ms`);
    } finally {
      await door.close();
    }
  },
  // Looked at, as it is longer than anybody waits.
  'client-still': async ({ numbers: [ms] }) => {
    const door = await openDoor();
    assert.equal(door.server.server.timeout, ms);
    await door.close();
  },
};
