import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildImage } from '../support/images.ts';
import { eventually, pinnace, ProcessCluster } from '../support/nodes.ts';

void test('an image is imported, offered, removed on the operator’s word, recorded, and no longer offered', async () => {
  const cluster = await ProcessCluster.make(1);
  try {
    const image = await buildImage(join(cluster.dir, 'image'), {
      reference: 'r.test/team/app:1',
      layers: [{ randomBytes: 100_000, seed: 1 }],
    });
    const node = await cluster.add('n1');
    await node.start();
    await pinnace('import', `oci:${image.dir}`, '--config', node.config);
    await eventually('it is offered', 10_000, async () =>
      (await node.status()).holdings.contents === image.contents.length ? true : undefined,
    );
    await pinnace('remove', image.reference, '--config', node.config);
    await eventually('it is offered no longer', 10_000, async () =>
      (await node.status()).holdings.contents === 0 ? true : undefined,
    );
    const events = (await node.records()).map(({ event }) => event);
    assert.ok(events.indexOf('image.removed') > events.indexOf('share.offered'));
    assert.ok(events.indexOf('share.withdrawn') > events.indexOf('image.removed'));
    await assert.rejects(pinnace('remove', image.reference, '--config', node.config), /CONTENT_ABSENT/);
  } finally {
    await cluster.remove();
  }
});
