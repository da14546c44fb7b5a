/** What a crash leaves behind: nodes find each other again, pulls end well or begin again, and nothing half is served. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf } from '../../src/oci/oci.ts';
import type { BuiltImage } from '../support/images.ts';
import type { Lab } from '../support/system/lab.ts';
import { assertHolds, joined, type Machine, machine, ownContents } from '../support/system/machine.ts';
import { type PinnaceNode, sharing } from '../support/system/node.ts';
import type { ContainerdVersion } from '../support/system/packages.ts';
import { run, until } from '../support/system/processes.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'reg.test';
const MIB = 2 ** 20;
const COMMON = { policy: sharing(`${REGISTRY}/**`), registry: REGISTRY } as const;
/** Slow enough that a pull of two layers of LAYER_BYTES can be caught in its middle, in Mbit/s. */
const SLOW_MBIT = 60;
const LAYER_BYTES = 16 * MIB;
const UNSHAPED_MBIT = 10_000;
const UNDER_WAY_MS = 20_000;

const layered = (lab: Lab, name: string): Promise<BuiltImage> =>
  lab.image({
    reference: `${REGISTRY}/team/${name}:1`,
    layers: [0, 1].map(at => ({ randomBytes: LAYER_BYTES, seed: `${name} ${at}` })),
  });

/** Puts an image into a machine's containerd, and waits until the other knows all of it. */
async function given(lab: Lab, from: Machine, to: Machine, image: BuiltImage): Promise<void> {
  const before = (await from.node.status()).holdings.contents;
  await from.containerd.load(await lab.archive(image));
  await to.node.hears(from.node.name, before + ownContents(image).length);
  await to.node.hearsTag(from.node.name, image.reference);
}

/** A pull that is begun, with what comes of it, when some of its layers' bytes have come and some have not. */
async function caught(at: Machine, image: BuiltImage): Promise<{ readonly outcome: Promise<unknown> }> {
  const outcome = at.containerd.cri.pull(image.reference, { timeoutMs: 90_000 }).then(
    () => undefined,
    (error: unknown) => error,
  );
  await until(`${image.reference} is under way`, UNDER_WAY_MS, async () => {
    const { fetches } = await at.node.status();
    return fetches.some(({ size, checked }) => size >= LAYER_BYTES && checked > 2 * MIB && checked < size / 2);
  });
  return { outcome };
}

const partial = async (node: PinnaceNode): Promise<string[]> =>
  (await node.spooled()).filter(name => name.endsWith('.part'));

/** All contents of an image that a node answers are whole. */
async function servesWhole(node: PinnaceNode, image: BuiltImage): Promise<void> {
  const [, , repository = ''] = /^([^/]+)\/(.+):/.exec(image.reference) ?? [];
  for (const { digest } of ownContents(image)) {
    const kind = digest === image.digest ? 'manifests' : 'blobs';
    const answer = await node.get(`/v2/${repository}/${kind}/${digest}?ns=${REGISTRY}`);
    if (answer.status === 200) assert.deepEqual([answer.cut, digestOf(answer.body)], [false, digest]);
    else assert.equal(answer.status, 404);
  }
}

systemTest('with the bootstrap gone a node that restarts finds the others', async lab => {
  const [a, b, c] = await Promise.all([
    machine(lab, 'a', { ...COMMON, version: '2.x' }),
    machine(lab, 'b', { ...COMMON, version: '2.x', bootstrap: ['a'] }),
    machine(lab, 'c', { ...COMMON, version: '2.x', bootstrap: ['a'] }),
  ]);
  await joined(a, b, c);
  const image = await lab.image({
    reference: `${REGISTRY}/team/app:1`,
    layers: [{ randomBytes: 3 * MIB, seed: 'app' }],
  });
  await given(lab, c, b, image);
  // A crash may cost what was learnt in the last second.
  const kept = async (file: string): Promise<string> => readFile(join(b.node.stateDir, file), 'utf8');
  const { peer } = await c.node.status();
  await until('b keeps what it knows of c', UNDER_WAY_MS, async () => {
    const { credentials } = JSON.parse(await kept('credentials.json')) as { credentials: unknown[] };
    return credentials.length === 3 && (await kept('nodes.json')).includes(peer);
  });
  await a.node.kill();
  await b.node.kill();
  // C would come to B by itself; here B has to find C.
  await run(['iptables', '-A', 'INPUT', '-p', 'tcp', '--dport', '5001', '--syn', '-j', 'DROP'], b.node.host);
  await b.node.start();
  const began = performance.now();
  await b.node.sees('c');
  console.log(`# found again: ${Math.round(performance.now() - began)} ms`);
  await b.node.hears('c', ownContents(image).length);
  await b.containerd.cri.pull(image.reference);
  await assertHolds(b.containerd, image);
  const { peers } = await b.node.status();
  assert.equal(peers.find(({ name }) => name === 'a')?.connected ?? false, false);
});

function crashes(version: ContainerdVersion): void {
  systemTest(`containerd ${version}: a daemon killed in mid-pull, with an upstream that ends the pull`, async lab => {
    const registry = await lab.registry('r');
    const upstream = registry.endpoint;
    const [a, b] = await Promise.all([
      machine(lab, 'a', { ...COMMON, version: '2.x' }),
      machine(lab, 'b', { ...COMMON, version, upstream, bootstrap: ['a'] }),
    ]);
    await joined(a, b);
    for (const [name, killed] of [
      ['taker', b],
      ['giver', a],
    ] as const) {
      const image = await layered(lab, name);
      await registry.push(image);
      await given(lab, a, b, image);
      await a.node.host.shape(SLOW_MBIT);
      const { outcome } = await caught(b, image);
      await killed.node.kill();
      assert.equal(await outcome, undefined);
      await assertHolds(b.containerd, image);
      await a.node.host.shape(UNSHAPED_MBIT);
      await killed.node.start();
      await joined(a, b);
      await until(`${name}: no half content`, UNDER_WAY_MS, async () => (await partial(b.node)).length === 0);
      await servesWhole(b.node, image);
    }
  });

  systemTest(
    `containerd ${version}: a daemon killed in mid-pull, without an upstream: the next pull ends well`,
    async lab => {
      const [a, b] = await Promise.all([
        machine(lab, 'a', { ...COMMON, version: '2.x' }),
        machine(lab, 'b', { ...COMMON, version, bootstrap: ['a'] }),
      ]);
      await joined(a, b);
      for (const [name, killed] of [
        ['taker', b],
        ['giver', a],
      ] as const) {
        const image = await layered(lab, name);
        await given(lab, a, b, image);
        await a.node.host.shape(SLOW_MBIT);
        const { outcome } = await caught(b, image);
        await killed.node.kill();
        assert.ok((await outcome) instanceof Error);
        await a.node.host.shape(UNSHAPED_MBIT);
        await killed.node.start();
        await joined(a, b);
        assert.deepEqual(await partial(b.node), []);
        await b.node.hears('a', ownContents(image).length);
        await servesWhole(b.node, image);
        await b.containerd.cri.pull(image.reference);
        await assertHolds(b.containerd, image);
      }
      await until('the spool is empty again', UNDER_WAY_MS, async () => (await b.node.spooled()).length === 0);
    },
  );
}

for (const version of ['1.6', '2.x'] as const) crashes(version);
