/** `pinnace import`: images and attachments on a node with a store of its own, attachments alone beside containerd. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ATTACHMENTS_DIR } from '../../src/cli/config.ts';
import { hexOf } from '../../src/oci/oci.ts';
import { openAttachments } from '../../src/store/attachments.ts';
import { realDisk } from '../../src/store/disk.ts';
import { realWorld } from '../../src/world.ts';
import { type NodeFolder, nodeFolder } from '../attack/state-ground.ts';
import { listInLayout, putAttachment, REF_NAME } from '../support/attachment-layouts.ts';
import { codeIn, exits, pinnace } from '../support/command-line.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';

const NAME = 'r.test/team/app:1';

void describe('an import on the command line', () => {
  const folders: NodeFolder[] = [];
  let image: BuiltImage;
  let plain: BuiltImage;
  let signature: BuiltAttachment;

  const node = async (more?: string): Promise<NodeFolder> => {
    const made = await nodeFolder(more);
    folders.push(made);
    return made;
  };
  before(async () => {
    const { dir } = await node();
    plain = await buildImage(join(dir, 'plain'), { reference: NAME, layers: [{ randomBytes: 1000, seed: 1 }] });
    image = await buildImage(join(dir, 'signed'), { reference: NAME, layers: [{ randomBytes: 1000, seed: 1 }] });
    signature = buildAttachment(image.digest, 'signed', { bond: 'sig' });
    await listInLayout(image.dir, await putAttachment(image.dir, signature), {
      [REF_NAME]: `r.test/team/app:sha256-${hexOf(image.digest)}.sig`,
    });
  });
  after(async () => {
    for (const folder of folders) await folder.remove();
  });
  const keptBy = async ({ stateDir }: NodeFolder): Promise<string[]> =>
    (await openAttachments(realDisk, join(stateDir, ATTACHMENTS_DIR), realWorld))
      .of(image.digest)
      .map(({ manifest }) => manifest.digest);

  void it('takes the image and its signature, and counts both', async () => {
    const folder = await node();
    const { out } = exits(await pinnace('import', `oci:${image.dir}`, '--config', folder.config), 0);
    assert.match(out, new RegExp(`^${NAME} .*${image.digest}`, 'm'));
    assert.match(out, /^1 attachment kept$/m);
    const { json } = exits(await pinnace('import', `oci:${image.dir}`, '--config', folder.config, '--json'), 0);
    assert.deepEqual(json, {
      images: [{ reference: NAME, digest: image.digest, bytes: image.bytes }],
      attachments: [
        {
          subject: image.digest,
          bond: 'sig',
          digest: signature.digest,
          artifactType: 'application/vnd.oci.empty.v1+json',
        },
      ],
      leftOut: [],
      notTaken: [],
    });
    assert.deepEqual(await keptBy(folder), [signature.digest]);
  });

  void it('beside containerd takes the signature alone, and says so', async () => {
    const folder = await node('store: {kind: containerd}\n');
    const { out } = exits(await pinnace('import', `oci:${image.dir}`, '--config', folder.config), 0);
    assert.match(out, /^1 attachment kept$/m);
    assert.match(out, new RegExp(`^${NAME}  not taken: containerd`, 'm'));
    const { json } = exits(await pinnace('import', `oci:${image.dir}`, '--config', folder.config, '--json'), 0);
    assert.deepEqual([json.images, json.notTaken], [[], [NAME]]);
    assert.deepEqual(await keptBy(folder), [signature.digest]);
    assert.deepEqual(await realDisk.list(join(folder.stateDir, 'layout')), []);
  });

  void it('beside containerd refuses a source without attachments, and says whose images are whose', async () => {
    const folder = await node('store: {kind: containerd}\n');
    const printed = exits(await pinnace('import', `oci:${plain.dir}`, '--config', folder.config, '--json'), 64);
    assert.equal(codeIn(printed), 'USAGE');
    assert.match(printed.out, /containerd.*ctr/);
  });
});
