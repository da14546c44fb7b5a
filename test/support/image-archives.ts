/**
 * Test images as tar archives: `oci-archive` (a layout in a tar) and `docker-archive` (what `docker save` writes).
 * Promises: only what the image's closure holds goes in. Spec: OCI image-spec image-layout.md; Docker image spec v1.2.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import tar from 'tar-stream';
import { hexOf, OCI_INDEX } from '../../src/oci/oci.ts';
import { blobPath } from './image-layers.ts';
import type { BuiltImage } from './images.ts';

const mtime = new Date(0);

async function pack(path: string, fill: (pack: tar.Pack) => Promise<void>): Promise<void> {
  const archive = tar.pack();
  const filled = async (): Promise<void> => {
    await fill(archive);
    archive.finalize();
  };
  await Promise.all([filled(), pipeline(archive, createWriteStream(path))]);
}

/** Writes the image as one OCI layout in a tar at `path`. */
export function writeOciArchive(image: BuiltImage, path: string): Promise<void> {
  const annotations = {
    'org.opencontainers.image.ref.name': image.reference,
    'io.containerd.image.name': image.reference,
  };
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [{ ...image.target, annotations }] };
  return pack(path, async archive => {
    archive.entry({ name: 'oci-layout', mtime }, JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    archive.entry({ name: 'index.json', mtime }, JSON.stringify(index));
    for (const { digest, size } of image.contents) {
      const entry = archive.entry({ name: `blobs/sha256/${hexOf(digest)}`, size, mtime });
      await pipeline(createReadStream(blobPath(image.dir, digest)), entry);
    }
  });
}

/** Writes the image's first platform as `docker save` does, its layers as plain tars, to `path`. */
export function writeDockerArchive(image: BuiltImage, path: string): Promise<void> {
  const [chosen] = image.manifests;
  if (!chosen) throw new Error('the image has no manifest');
  const config = `${hexOf(chosen.config.digest)}.json`;
  const layers = chosen.built.map(layer => `${hexOf(layer.diffId)}/layer.tar`);
  return pack(path, async archive => {
    archive.entry({ name: config, mtime }, await readFile(blobPath(image.dir, chosen.config.digest)));
    for (const [at, { digest, diffId, tarSize }] of chosen.built.entries()) {
      if (layers.indexOf(layers[at] ?? '') < at) continue;
      const entry = archive.entry({ name: `${hexOf(diffId)}/layer.tar`, size: tarSize, mtime });
      const source = createReadStream(blobPath(image.dir, digest));
      await (digest === diffId ? pipeline(source, entry) : pipeline(source, createGunzip(), entry));
    }
    const manifest = [{ Config: config, RepoTags: [image.reference], Layers: layers }];
    archive.entry({ name: 'manifest.json', mtime }, JSON.stringify(manifest));
  });
}
