/**
 * Full disks, each a small file system of its own, under real processes: under the spool, under the audit log, under the
 * state, under the embedded store. What is promised of each: bounded answers, nothing that cannot be recorded, a
 * revocation all the same, nothing half, and all is well again once there is room.
 */
import assert from 'node:assert/strict';
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { Aftermath, rosterOnDisk } from '../support/kills/aftermath.ts';
import { askAll, type Truth, truthOf } from '../support/kills/work.ts';
import { eventually, pinnace, ProcessCluster, type ProcessNode } from '../support/nodes.ts';
import { get } from '../support/pull-client.ts';
import { mountless, SmallDisk } from '../support/system/small-disk.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const MS = 30_000;
const TIMEOUT_MS = 180_000;

/** A cluster of nodes that are not started yet, with the means to make images and small disks. */
class Scene {
  readonly cluster: ProcessCluster;
  readonly #disks: SmallDisk[] = [];

  private constructor(cluster: ProcessCluster) {
    this.cluster = cluster;
  }

  static async of(...names: readonly string[]): Promise<Scene> {
    const scene = new Scene(await ProcessCluster.make(names.length));
    for (const name of names) await scene.cluster.add(name);
    return scene;
  }

  node(name: string): ProcessNode {
    return this.cluster.nodes.find(node => node.name === name)!;
  }

  async disk(folder: string, bytes: number): Promise<SmallDisk> {
    const disk = await SmallDisk.at(folder, bytes);
    this.#disks.push(disk);
    return disk;
  }

  async start(): Promise<void> {
    for (const node of this.cluster.nodes) await node.start();
  }

  async image(name: string, ...layers: readonly number[]): Promise<{ image: BuiltImage; truth: Truth }> {
    const image = await buildImage(join(this.cluster.dir, 'images', name), {
      reference: `registry.example/full/${name}:1`,
      layers: layers.map((randomBytes, at) => ({ randomBytes, seed: `${name} ${at}` })),
    });
    return { image, truth: await truthOf(image) };
  }

  /** Imports an image at one node. */
  async give(at: string, { reference, dir }: BuiltImage): Promise<void> {
    await pinnace('import', `oci:${dir}`, '--name', reference, '--config', this.node(at).config);
  }

  /** Waits until a node knows of whole contents that another holds. */
  async hears(name: string, of: string, contents: number): Promise<void> {
    await eventually(`${name} hears of ${contents} contents of ${of}`, MS, async () => {
      const { peers } = await this.node(name).status();
      return peers.some(peer => peer.name === of && peer.holdings >= contents) || undefined;
    });
  }

  async end(): Promise<void> {
    await Promise.all(this.cluster.nodes.map(node => node.stop()));
    for (const disk of this.#disks.reverse()) await disk.remove();
    await this.cluster.remove();
  }
}

const url = (node: ProcessNode, { reference }: BuiltImage, kind: string, what: string): string => {
  const [, repository = ''] = /^[^/]+\/(.+):/.exec(reference) ?? [];
  return `${node.mirror}/v2/${repository}/${kind}/${what}?ns=registry.example`;
};

const codes = (records: readonly Record<string, unknown>[], event: string): unknown[] =>
  records.filter(record => record.event === event).map(record => record.code);

/** A node that was never down: the same process, ready, and it answers its operator. */
async function lives(node: ProcessNode, pid: number | undefined): Promise<void> {
  assert.equal(node.pid, pid);
  assert.equal((await get(`${node.mirror}/healthz`)).status, 200);
  assert.equal((await node.status()).node, node.name);
}

function diskTest(name: string, body: (scene: (...names: string[]) => Promise<Scene>) => Promise<void>): void {
  void test(name, { timeout: TIMEOUT_MS }, async context => {
    const why = await mountless();
    if (why !== undefined) return context.skip(why);
    let scene: Scene | undefined;
    try {
      await body(async (...names) => (scene = await Scene.of(...names)));
    } finally {
      await scene?.end();
    }
  });
}

diskTest(
  'a spool without room is "not here" to a client, and the node goes on, and fetches once there is room',
  async make => {
    const scene = await make('n1', 'n2');
    const taker = scene.node('n2');
    const disk = await scene.disk(join(taker.stateDir, 'spool'), 8 * MIB);
    await scene.start();
    const pid = taker.pid;
    const large = await scene.image('large', 300 * KIB, 12 * MIB);
    const small = await scene.image('small', 300 * KIB, 3 * MIB);
    for (const { image } of [large, small]) await scene.give('n1', image);
    await scene.hears('n2', 'n1', large.image.contents.length + small.image.contents.length);

    // A layer that the disk cannot have; all else of the image comes.
    await eventually('all but the large layer comes', MS, async () => {
      return (await askAll(taker, large.image, large.truth)) === large.image.contents.length - 1 || undefined;
    });
    const refused = codes(await taker.records(), 'pull.refused');
    assert.ok(refused.includes('SPOOL_FULL'), String(refused));

    await disk.fill();
    assert.equal(await disk.free(), 0);
    const before = (await taker.records()).length;
    // What was spooled before makes room for little things, and for no more.
    assert.ok((await askAll(taker, small.image, small.truth)) < small.image.contents.length);
    const { status } = await get(url(taker, small.image, 'blobs', small.image.contents.at(-1)!.digest));
    assert.equal(status, 404);
    assert.ok(codes((await taker.records()).slice(before), 'pull.refused').includes('SPOOL_FULL'));
    await lives(taker, pid);

    await disk.empty();
    await eventually('the small image comes', MS, async () => {
      const whole = await askAll(taker, small.image, small.truth);
      return whole === small.image.contents.length || undefined;
    });
    await lives(taker, pid);
    await taker.stop();
    await new Aftermath(taker).check([small.image]);
  },
);

diskTest('with the audit log’s disk full nothing is done that cannot be recorded, until there is room', async make => {
  const scene = await make('n1', 'n2');
  const [taker, giver] = [scene.node('n1'), scene.node('n2')];
  await mkdir(giver.stateDir, { recursive: true, mode: 0o700 });
  const disk = await scene.disk(join(scene.cluster.dir, 'log-disk'), 256 * KIB);
  await disk.lend('audit.jsonl', join(giver.stateDir, 'audit.jsonl'));
  await scene.start();
  const pid = giver.pid;
  const { image, truth } = await scene.image('app', 300 * KIB, 2 * MIB);
  await scene.give('n2', image);
  await scene.hears('n1', 'n2', image.contents.length);
  await eventually('it answers', MS, async () => {
    return (await askAll(giver, image, truth)) === image.contents.length || undefined;
  });

  await disk.fill();
  let answered = 0;
  // What is left of the last page of the file still takes some records; each answer so far has its own.
  await eventually('the log takes nothing more', MS, async () => {
    const { status } = await get(url(giver, image, 'blobs', image.contents.at(-1)!.digest), { discard: true });
    answered += status === 200 ? 1 : 0;
    return status === 503 || undefined;
  });
  const before = (await lines(giver)).filter(({ event }) => event === 'pull.started').length;
  assert.ok(before >= answered);
  for (const { digest } of image.contents)
    assert.equal((await get(url(giver, image, 'blobs', digest))).status, 503, 'bytes without a record');
  // Nor does it give to others: whoever asks there has nothing from it.
  assert.equal(await askAll(taker, image, truth), 0);
  assert.equal((await lines(giver)).filter(({ event }) => event === 'serve.started').length, 0);
  await lives(giver, pid);

  await disk.empty();
  await eventually('it answers again', MS, async () => {
    return (await askAll(giver, image, truth)) === image.contents.length || undefined;
  });
  await eventually('it gives again', MS, async () => {
    return (await askAll(taker, image, truth)) === image.contents.length || undefined;
  });
  await lives(giver, pid);
  const after = await lines(giver);
  assert.ok(after.some(({ event, refused }) => event === 'audit.resumed' && Number(refused) > 0));
  assert.ok(after.filter(({ event }) => event === 'serve.started').length > 0);
  const numbers = after.map(({ record }) => Number(record));
  assert.ok(numbers.every((number, at) => at === 0 || number > numbers[at - 1]!));
});

/** The records of a log, a torn line left out. */
async function lines(node: ProcessNode): Promise<Record<string, unknown>[]> {
  return (await readFile(join(node.stateDir, 'audit.jsonl'), 'utf8')).split('\n').flatMap(line => {
    try {
      return [JSON.parse(line) as Record<string, unknown>];
    } catch {
      return [];
    }
  });
}

diskTest(
  'with the state’s disk full a revocation takes effect all the same, and is written once there is room',
  async make => {
    const scene = await make('n1', 'n2', 'n3');
    const [n1, n2, n3] = [scene.node('n1'), scene.node('n2'), scene.node('n3')];
    const elsewhere = join(scene.cluster.dir, 'elsewhere');
    await mkdir(elsewhere);
    const disk = await scene.disk(n2.stateDir, 4 * MIB);
    for (const folder of ['spool', 'layout']) await disk.show(join(elsewhere, folder), folder, 'folder');
    await disk.show(join(elsewhere, 'audit.jsonl'), 'audit.jsonl', 'file');
    await scene.start();
    const pid = n2.pid;
    const { image, truth } = await scene.image('app', 300 * KIB, 2 * MIB);
    await scene.give('n1', image);
    await scene.hears('n2', 'n1', image.contents.length);
    const connected = async (node: ProcessNode): Promise<string> =>
      (await node.status()).peers
        .flatMap(peer => (peer.connected ? peer.name : []))
        .toSorted()
        .join();
    await eventually('n2 is connected with both', MS, async () => (await connected(n2)) === 'n1,n3' || undefined);

    await disk.fill();
    const dir = join(scene.cluster.dir, 'cluster');
    await pinnace('revoke', 'n3', '--dir', dir);
    await mkdir(join(n1.stateDir, 'incoming'), { recursive: true });
    await copyFile(join(dir, 'roster.jwt'), join(n1.stateDir, 'incoming', '2.jwt'));
    await eventually('n2 speaks to n3 no more', MS, async () => (await connected(n2)) === 'n1' || undefined);
    assert.equal((await n2.status()).roster.seq, 2);
    assert.equal(await rosterOnDisk(n2), 1);
    const shutOut = (await n2.records()).filter(({ event }) => event === 'peer.revoked').length;
    assert.equal(shutOut, 1);
    assert.equal(await connected(n3), '');
    await lives(n2, pid);
    assert.ok((await askAll(n2, image, truth)) > 0, 'contents come although the state cannot be written');

    await disk.empty();
    await eventually('the roster is on the disk', MS, async () => (await rosterOnDisk(n2)) === 2 || undefined);
    await lives(n2, pid);
    // After a crash it knows by itself, with nobody there to tell it.
    await Promise.all([n1.stop(), n3.stop()]);
    await n2.stop('SIGKILL');
    await n2.start();
    assert.equal((await n2.status()).roster.seq, 2);

    await n2.stop();
    await disk.fill();
    n2.launch();
    await assert.rejects(n2.ready(), /FILE_UNREADABLE.*|ended with 69/s);
    await disk.empty();
    await n2.start();
    assert.equal((await n2.status()).roster.seq, 2);
  },
);

diskTest(
  'an import that the store’s disk cannot have leaves nothing half, and the next one that fits is well',
  async make => {
    const scene = await make('n1', 'n2');
    const node = scene.node('n2');
    const layout = join(node.stateDir, 'layout');
    const disk = await scene.disk(layout, 8 * MIB);
    await scene.start();
    const pid = node.pid;
    const large = await scene.image('large', 4 * MIB, 6 * MIB);
    const small = await scene.image('small', 300 * KIB, 2 * MIB);
    const other = await scene.image('other', 200 * KIB, 1 * MIB);
    const free = await disk.free();
    await assert.rejects(scene.give('n2', large.image), (error: { code?: number; stderr?: string }) => {
      assert.equal(error.code, 69, error.stderr ?? '');
      assert.match(error.stderr ?? '', /FILE_UNREADABLE/);
      assert.doesNotMatch(error.stderr ?? '', /\n\s+at /, 'a stack is no message');
      return true;
    });
    assert.deepEqual(await readdir(join(layout, 'blobs', 'sha256')), []);
    assert.deepEqual(await readdir(join(layout, '.pinnace', 'staging')), []);
    assert.deepEqual(
      (JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: [] }).manifests,
      [],
    );
    assert.equal(await disk.free(), free);
    await lives(node, pid);

    await scene.give('n2', small.image);
    await eventually('the small image is answered', MS, async () => {
      return (await askAll(node, small.image, small.truth)) === small.image.contents.length || undefined;
    });
    // What is pulled crosses from the disk of the spool to that of the store.
    await scene.give('n1', other.image);
    await scene.hears('n2', 'n1', other.image.contents.length);
    await pinnace('pull', other.image.reference, '--wait', '20', '--config', node.config);
    await eventually('the pulled image is in the store', MS, async () => {
      const { manifests } = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
        manifests: { digest: string }[];
      };
      return manifests.some(({ digest }) => digest === other.image.digest) || undefined;
    });
    await lives(node, pid);
    await node.stop();
    await new Aftermath(node).check([small.image, other.image]);
  },
);
