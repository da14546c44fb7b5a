/** The ground that all system tests stand on: links that are shaped and cut, pulls and pods that work without Pinnace. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ContainerdVersion } from '../support/system/packages.ts';
import { run, start, until } from '../support/system/processes.ts';
import { systemTest } from '../support/system/suite.ts';

const MIB = 2 ** 20;

function pulls(version: ContainerdVersion): void {
  systemTest(`containerd ${version} pulls from a registry on another machine, and a pod writes its line`, async lab => {
    const containerd = await lab.containerd('a', version);
    const registry = await lab.registry('r');
    const runnable = await lab.busybox('reg.test/team/line:1');
    const schema2 = await lab.image({
      reference: 'reg.test/team/docker:1',
      layers: [{ randomBytes: MIB, seed: 1 }],
      platforms: ['linux/amd64', 'linux/arm64'],
      dockerSchema2: true,
    });
    for (const image of [runnable, schema2]) await registry.push(image);
    await containerd.hosts('reg.test', { upstream: registry.endpoint });
    await lab.pause(containerd);
    for (const { reference, digest } of [runnable, schema2]) {
      await containerd.cri.pull(reference);
      assert.match(await containerd.ctr('images', 'ls', `name==${reference}`), new RegExp(digest));
    }
    assert.equal(await containerd.cri.runLine(runnable.reference, ['/bin/echo', 'a line']), 'a line\n');
    await assert.rejects(containerd.cri.runLine(runnable.reference, ['/bin/cat', '/absent']));
    await containerd.hosts('reg.test', undefined);
    await assert.rejects(containerd.cri.pull('reg.test/team/line:2'));
  });
}

for (const version of ['1.6', '2.x'] as const) pulls(version);

systemTest('a link is shaped, cut and joined again', async lab => {
  const containerd = await lab.containerd('a', '2.x');
  const registry = await lab.registry('r');
  const machine = await lab.host('r');
  await containerd.hosts('reg.test', { upstream: registry.endpoint });
  const slow = await lab.image({ reference: 'reg.test/team/slow:1', layers: [{ randomBytes: 10 * MIB, seed: 1 }] });
  const last = await lab.image({ reference: 'reg.test/team/last:1', layers: [{ randomBytes: 1000, seed: 2 }] });
  for (const image of [slow, last]) await registry.push(image);
  await machine.shape(80);
  const began = performance.now();
  await containerd.cri.pull(slow.reference);
  // 10 MiB at 80 Mbit/s take a second and a bit.
  assert.ok(performance.now() - began > 900);
  await machine.cut();
  await assert.rejects(containerd.cri.pull(last.reference, { timeoutMs: 1500 }));
  await machine.join();
  await containerd.cri.pull(last.reference);
});

systemTest('a network goes with its lab, and a program with the test that started it', async lab => {
  const { netns } = await lab.host('a');
  assert.match(await run(['ip', 'netns', 'list']), new RegExp(netns));
  const module = fileURLToPath(new URL('../support/system/processes.ts', import.meta.url));
  const script = `import { start } from ${JSON.stringify(module)};
    const { pid } = await start(['sleep', '1000'], { netns: ${JSON.stringify(netns)} });
    console.log('started ' + pid);
    setInterval(() => undefined, 1000);`;
  const parent = await start([process.execPath, '--input-type=module', '-e', script]);
  const pid = await until(
    'it started',
    10_000,
    async () => /started (\d+)/.exec(parent.log())?.[1],
    () => parent.log(),
  );
  assert.ok(existsSync(`/proc/${pid}`));
  parent.signal('SIGKILL');
  assert.equal(await parent.ended, 'SIGKILL');
  const state = async (): Promise<string> =>
    (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/.*\) /, '').charAt(0);
  // An orphan that ended may wait for whoever is process 1 here.
  await until('its child ended', 5000, async () => !existsSync(`/proc/${pid}`) || (await state()) === 'Z');
  await lab.network.remove();
  assert.doesNotMatch(await run(['ip', 'netns', 'list']), new RegExp(netns));
});
