/**
 * Peers that accept and then send nothing. containerd never turns from a mirror that hangs, and 2.x freezes all pulls of a
 * node at three; so each answer ends in time, and what else is pulled meanwhile is not held up.
 */
import assert from 'node:assert/strict';
import type { BuiltImage } from '../support/images.ts';
import type { Lab } from '../support/system/lab.ts';
import { assertHolds, joined, type Machine, machine, ownContents } from '../support/system/machine.ts';
import { MIRROR, sharing } from '../support/system/node.ts';
import { until } from '../support/system/processes.ts';
import { systemTest } from '../support/system/suite.ts';
import { type Exchange, startWiretap, type Wiretap } from '../support/system/wiretap.ts';

const REGISTRY = 'reg.test';
const TAP = '127.0.0.1:5009';
const MIB = 2 ** 20;
/** One part of containerd's parallel mode, in bytes. */
const PART = MIB;
/** The links of two that die in mid-transfer, in Mbit/s. */
const CUT_MBIT = 100;
/** No request that stalling peers hold up takes longer, in milliseconds. */
const LONGEST_MS = 15_000;

const COMMON = { policy: sharing(`${REGISTRY}/**`), registry: REGISTRY } as const;

const layered = (lab: Lab, name: string, layers: number, mib: number): Promise<BuiltImage> =>
  lab.image({
    reference: `${REGISTRY}/team/${name}:1`,
    layers: Array.from({ length: layers }, (_, at) => ({ randomBytes: mib * MIB, seed: `${name} ${at}` })),
  });

/** The machine that pulls, its mirror behind a wiretap. */
async function puller(lab: Lab, parallel: boolean, upstream?: string): Promise<Machine & { readonly tap: Wiretap }> {
  const more = parallel ? { concurrentLayerFetchBuffer: PART } : {};
  const b = await machine(lab, 'b', { ...COMMON, version: '2.x', bootstrap: ['a'], more });
  const tap = await startWiretap(b.node.host, TAP, MIRROR, end => lab.atEnd(end));
  await b.containerd.hosts(REGISTRY, { mirror: TAP, ...(upstream ? { upstream } : {}) });
  return { ...b, tap };
}

/** A machine `label` that holds `image`, honest or not. */
async function holder(lab: Lab, label: string, image: BuiltImage, lie?: 'stall' | 'die'): Promise<Machine> {
  const options = { ...COMMON, version: '2.x', bootstrap: label === 'a' ? [] : ['a'] } as const;
  const made = await machine(lab, label, { ...options, ...(lie ? { lie } : {}) });
  await made.containerd.load(await lab.archive(image));
  await made.node.holds(ownContents(image).length);
  return made;
}

/** A node that holds `image` in a store of its own and stalls. */
async function staller(lab: Lab, label: string, image: BuiltImage): Promise<void> {
  const bootstrap = [await lab.host('a')];
  const node = await lab.node(label, { policy: COMMON.policy, lie: 'stall', bootstrap, started: false });
  await node.cli('import', await lab.archive(image));
  await node.start();
  await node.holds(ownContents(image).length);
}

const layersOf = (image: BuiltImage): Set<string> =>
  new Set(image.manifests.flatMap(({ layers }) => layers.map(({ digest }) => digest)));

const ofLayers = (tap: Wiretap, image: BuiltImage): readonly Exchange[] => {
  const layers = layersOf(image);
  return tap.exchanges().filter(({ path }) => layers.has(path.replace(/^.*\/blobs\//, '').replace(/\?.*$/, '')));
};

const told = (exchanges: readonly Exchange[]): string =>
  exchanges.map(({ status, bytes, end, endMs, range }) => `${status} ${bytes} ${end} ${endMs}ms ${range}`).join('; ');

/** Each ended in time, cut by FIN or "not here"; a pull that failed already makes containerd leave the others itself. */
function inTime(exchanges: readonly Exchange[]): void {
  const cut = exchanges.filter(({ status, end }) => status === 200 && end === 'fin');
  const absent = exchanges.filter(({ status, end }) => status === 404 && end === 'whole');
  const left = exchanges.filter(({ end }) => end === 'client');
  assert.ok(cut.length >= 1 && absent.length >= 1, told(exchanges));
  assert.equal(cut.length + absent.length + left.length, exchanges.length, told(exchanges));
  for (const { endMs } of exchanges) assert.ok(endMs < LONGEST_MS, told(exchanges));
}

function stalls(parallel: boolean): void {
  const mode = parallel ? 'parallel mode: ' : '';

  systemTest(`${mode}layers that only stalling peers hold end in time, and another pull goes on`, async lab => {
    const stalled = await layered(lab, 'stalled', 3, 4);
    const other = await layered(lab, 'other', 3, 4);
    // Each of them costs a lane's stall; no request waits for all of them.
    const stallers = ['s', 't', 'u', 'v'];
    const [b] = await Promise.all([
      puller(lab, parallel),
      holder(lab, 'a', other),
      ...stallers.map(label => staller(lab, label, stalled)),
    ]);
    await b.node.sees('a', ...stallers);
    for (const label of stallers) await b.node.hears(label, ownContents(stalled).length);
    for (const label of stallers) await b.node.hearsTag(label, stalled.reference);
    await b.node.hearsTag('a', other.reference);
    await b.node.hears('a', ownContents(other).length);
    const hung = b.containerd.cri.pull(stalled.reference, { timeoutMs: 60_000 }).then(
      () => undefined,
      (error: unknown) => error,
    );
    await until('layers are asked for', 20_000, async () => (await b.node.status()).fetches.length >= 2);
    const began = performance.now();
    await b.containerd.cri.pull(other.reference, { timeoutMs: 40_000 });
    console.log(`# another image's pull beside it: ${Math.round(performance.now() - began)} ms`);
    await assertHolds(b.containerd, other);
    assert.ok((await hung) instanceof Error);
    inTime(ofLayers(b.tap, stalled));
  });

  systemTest(`${mode}what stalling peers held up, a live upstream finishes`, async lab => {
    const [hung, vouched] = [await layered(lab, 'hung', 3, 4), await layered(lab, 'vouched', 3, 4)];
    const registry = await lab.registry('r');
    for (const image of [hung, vouched]) await registry.push(image);
    const [a, s, b] = await Promise.all([
      holder(lab, 'a', vouched, 'stall'),
      holder(lab, 's', vouched, 'stall'),
      puller(lab, parallel, registry.endpoint),
    ]);
    await s.containerd.load(await lab.archive(hung));
    await joined(a, s, b);
    await b.node.hears('a', ownContents(vouched).length);
    await b.node.hears('s', ownContents(vouched).length + ownContents(hung).length);
    // Of what one node alone holds no byte went out; of what two vouch for, the first chunk did.
    for (const image of [hung, vouched]) {
      await b.containerd.cri.pull(image.reference, { timeoutMs: 90_000 });
      await assertHolds(b.containerd, image);
      const exchanges = ofLayers(b.tap, image);
      inTime(exchanges);
      const cut = exchanges.filter(({ end }) => end === 'fin').map(({ bytes }) => bytes);
      assert.deepEqual(new Set(cut), new Set([image === hung ? 0 : PART]), told(exchanges));
    }
  });
}

for (const parallel of [false, true]) stalls(parallel);

systemTest('parallel mode: cold, warm and cut pulls end well', async lab => {
  const cold = await layered(lab, 'cold', 3, 6);
  const warm = await layered(lab, 'warm', 3, 6);
  const cut = await layered(lab, 'cut', 2, 16);
  const registry = await lab.registry('r');
  await registry.push(cut);
  const [a, b, d, e] = await Promise.all([
    holder(lab, 'a', cold),
    puller(lab, true, registry.endpoint),
    holder(lab, 'd', cut, 'die'),
    holder(lab, 'e', cut, 'die'),
  ]);
  await a.containerd.load(await lab.archive(warm));
  await joined(a, b, d, e);
  for (const [name, image] of [
    ['a', cold],
    ['a', warm],
    ['d', cut],
    ['e', cut],
  ] as const)
    await b.node.hearsTag(name, image.reference);
  await b.node.hears('a', ownContents(cold).length + ownContents(warm).length);
  for (const name of ['d', 'e']) await b.node.hears(name, ownContents(cut).length);

  await b.containerd.cri.pull(cold.reference);
  await assertHolds(b.containerd, cold);

  // Warm: all of it lies in the spool before containerd asks.
  for (const { digest, size } of ownContents(warm)) {
    const kind = digest === warm.digest ? 'manifests' : 'blobs';
    const answer = await b.node.get(`/v2/team/warm/${kind}/${digest}?ns=${REGISTRY}`);
    assert.deepEqual([answer.status, answer.body.length], [200, size]);
  }
  await b.containerd.cri.pull(warm.reference);
  await assertHolds(b.containerd, warm);
  const parts = ofLayers(b.tap, warm);
  assert.ok(parts.every(({ status }) => status === 206) && parts.length >= 6, told(parts));

  // Cut: two nodes vouch, so bytes go out at once; both die half way, and the upstream finishes. Slow enough that
  // containerd asks while they still live.
  for (const { node } of [d, e]) await node.host.shape(CUT_MBIT);
  await b.containerd.cri.pull(cut.reference, { timeoutMs: 90_000 });
  await assertHolds(b.containerd, cut);
  const ends = ofLayers(b.tap, cut);
  assert.ok(
    ends.some(({ status, bytes, end }) => status === 200 && bytes > 0 && end === 'fin'),
    told(ends),
  );
});
