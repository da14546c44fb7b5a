/** Real containerds pass the suite that every store passes. */
import { truncate } from 'node:fs/promises';
import { test } from 'node:test';
import { createContainerdStore } from '../../src/store/containerd.ts';
import { blobPath } from '../../src/store/containerd-blob.ts';
import { realDisk } from '../../src/store/disk.ts';
import { realWorld } from '../../src/world.ts';
import { storeConformance } from '../conformance/store.ts';
import { openLab } from '../support/system/lab.ts';
import { systemReady } from '../support/system/packages.ts';

const ready = await systemReady();
if (!ready.ok) void test('real containerds are stores', { skip: ready.why });
else
  for (const version of ['1.6', '2.x'] as const)
    storeConformance(`containerd ${ready.containerd[version].version}`, async t => {
      const open = await openLab(ready);
      t.after(() => open.close(!t.passed));
      const containerd = await open.lab.containerd('a', version);
      return {
        store: createContainerdStore({ socket: containerd.socket, namespaces: ['k8s.io'], world: realWorld }),
        put: async image => containerd.load(await open.lab.archive(image)),
        remove: async reference => void (await containerd.ctr('images', 'rm', reference)),
        async cut(digest) {
          const path = blobPath(containerd.content, digest);
          await truncate(path, ((await realDisk.facts(path))?.size ?? 1) - 1);
        },
      };
    });
