/** The cluster follows containerd: what comes is offered within seconds, what goes is withdrawn, and what runs ends whole. */
import assert from 'node:assert/strict';
import { digestOf } from '../../src/oci/oci.ts';
import type { BuiltImage } from '../support/images.ts';
import type { Lab } from '../support/system/lab.ts';
import { assertHolds, joined, type Machine, machine, ownContents, removeImage } from '../support/system/machine.ts';
import { sharing } from '../support/system/node.ts';
import type { ContainerdVersion } from '../support/system/packages.ts';
import { until } from '../support/system/processes.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'reg.test';
const MIB = 2 ** 20;
const COMMON = { policy: sharing(`${REGISTRY}/**`), registry: REGISTRY } as const;
/** "Within seconds", in milliseconds. */
const SECONDS_MS = 8_000;

const holdingsOf = async ({ node }: Machine, name: string): Promise<number> =>
  (await node.status()).peers.find(peer => peer.name === name)?.holdings ?? 0;

function image(lab: Lab, name: string, mib: number): Promise<BuiltImage> {
  return lab.image({ reference: `${REGISTRY}/team/${name}:1`, layers: [{ randomBytes: mib * MIB, seed: name }] });
}

function follows(version: ContainerdVersion): void {
  systemTest(`containerd ${version}: the cluster follows what is pulled and removed`, async lab => {
    const registry = await lab.registry('r');
    const [app, large] = [await image(lab, 'app', 3), await image(lab, 'large', 32)];
    for (const one of [app, large]) await registry.push(one);
    const [a, b] = await Promise.all([
      machine(lab, 'a', { ...COMMON, version, upstream: registry.endpoint }),
      machine(lab, 'b', { ...COMMON, version, bootstrap: ['a'] }),
    ]);
    await joined(a, b);

    await a.containerd.cri.pull(app.reference);
    let began = performance.now();
    await b.node.hears('a', ownContents(app).length, SECONDS_MS);
    await b.node.hearsTag('a', app.reference);
    await b.containerd.cri.pull(app.reference);
    console.log(`# pulled on one, then on the other: ${Math.round(performance.now() - began)} ms`);
    assert.ok(performance.now() - began < SECONDS_MS);
    await assertHolds(b.containerd, app);

    await a.containerd.cri.pull(large.reference);
    await b.node.hears('a', ownContents(app).length + ownContents(large).length, SECONDS_MS);
    const layer = large.manifests[0]?.layers[0];
    assert.ok(layer);
    const asked = `?ns=${REGISTRY}`;
    assert.equal((await b.node.get(`/v2/team/large/manifests/${large.digest}${asked}`)).status, 200);
    // Slow enough that the image is gone long before its layer is over.
    await a.node.host.shape(40);
    const running = b.node.get(`/v2/team/large/blobs/${layer.digest}${asked}`);
    await a.node.records('the gift', ({ event, digest }) => event === 'serve.started' && digest === layer.digest);
    await removeImage(a.containerd, large);
    began = performance.now();
    const gone = async (): Promise<boolean> => (await holdingsOf(b, 'a')) === ownContents(app).length;
    await until('b hears that it is gone', SECONDS_MS, gone);
    console.log(`# removed, then withdrawn: ${Math.round(performance.now() - began)} ms`);
    assert.equal(
      (await a.node.audit()).filter(({ event, digest }) => event === 'serve.ended' && digest === layer.digest).length,
      0,
    );
    const whole = await running;
    assert.deepEqual([whole.status, whole.cut, digestOf(whole.body)], [200, false, layer.digest]);
    await a.node.host.shape(10_000);
  });
}

for (const version of ['1.6', '2.x'] as const) follows(version);

systemTest('content that is gone answers as absent, never in mid-body', async lab => {
  const [a, b] = await Promise.all([
    machine(lab, 'a', { ...COMMON, version: '2.x' }),
    machine(lab, 'b', { ...COMMON, version: '2.x', bootstrap: ['a'] }),
  ]);
  await joined(a, b);
  const app = await image(lab, 'app', 6);
  await a.containerd.load(await lab.archive(app));
  await b.node.hears('a', ownContents(app).length);
  const asked = `?ns=${REGISTRY}`;
  assert.equal((await b.node.get(`/v2/team/app/manifests/${app.digest}${asked}`)).status, 200);
  await removeImage(a.containerd, app);
  await until('b hears that it is gone', SECONDS_MS, async () => (await holdingsOf(b, 'a')) === 0);
  for (const { digest } of ownContents(app).slice(1)) {
    const answer = await b.node.get(`/v2/team/app/blobs/${digest}${asked}`);
    assert.deepEqual([answer.status, answer.cut], [404, false]);
  }
  await assert.rejects(b.containerd.cri.pull(app.reference));

  // Asked in the moment of the removal, when B may or may not know of it yet.
  const race = await image(lab, 'race', 6);
  await a.containerd.load(await lab.archive(race));
  await b.node.hears('a', ownContents(race).length);
  assert.equal((await b.node.get(`/v2/team/race/manifests/${race.digest}${asked}`)).status, 200);
  const [answers] = await Promise.all([
    Promise.all(
      ownContents(race)
        .slice(1)
        .map(({ digest }) => b.node.get(`/v2/team/race/blobs/${digest}${asked}`)),
    ),
    removeImage(a.containerd, race),
  ]);
  for (const [at, { digest }] of ownContents(race).slice(1).entries()) {
    const answer = answers[at];
    assert.equal(answer?.cut, false);
    assert.ok(answer.status === 404 || (answer.status === 200 && digestOf(answer.body) === digest));
  }
});
