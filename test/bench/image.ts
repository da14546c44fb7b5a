/**
 * Images for benches: one plain tar layer of random bytes, of an exact size, in an OCI layout. Promises: never more than a
 * few MiB in memory, whatever the size. Refuses to know who pulls them. Spec: OCI image-spec image-layout.md; POSIX ustar.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Descriptor,
  type Digest,
  digestOf,
  hexOf,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
} from '../../src/oci/oci.ts';
import { realWorld } from '../../src/world.ts';

/** Bytes of a tar block. */
const BLOCK = 512;
/** The header of the one file, and two empty blocks at the end. */
const TAR_OVERHEAD_BYTES = 3 * BLOCK;
const WRITE_BYTES = 4 << 20;

/** A built image; all it consists of lies in `dir`. */
export interface BenchImage {
  readonly dir: string;
  /** `registry/repository:tag`. */
  readonly reference: string;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layer: Descriptor;
}

/** The path of a content of the image. */
export const blobPath = (image: BenchImage, digest: Digest): string =>
  join(image.dir, 'blobs', 'sha256', hexOf(digest));

function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, width: number): void => {
    header.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1');
  };
  header.write(name, 0, 'latin1');
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  header.fill(' ', 148, 156);
  header.write('0', 156, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

async function writeLayer(folder: string, bytes: number): Promise<Digest> {
  const path = join(folder, 'layer.part');
  const file = await open(path, 'wx', 0o600);
  const hash = createHash('sha256');
  const put = async (piece: Uint8Array): Promise<void> => {
    hash.update(piece);
    await file.writeFile(piece);
  };
  try {
    const payload = bytes - TAR_OVERHEAD_BYTES;
    await put(tarHeader('random', payload));
    for (let left = payload; left > 0; left -= WRITE_BYTES) await put(realWorld.random(Math.min(left, WRITE_BYTES)));
    await put(Buffer.alloc(2 * BLOCK));
  } finally {
    await file.close();
  }
  const digest = `sha256:${hash.digest('hex')}` as Digest;
  await rename(path, join(folder, hexOf(digest)));
  return digest;
}

/** Builds an image whose one layer has `layerBytes` bytes (a multiple of 512), in `dir`, which must not be there yet. */
export async function buildBenchImage(dir: string, reference: string, layerBytes: number): Promise<BenchImage> {
  const folder = join(dir, 'blobs', 'sha256');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const put = async (mediaType: string, value: unknown): Promise<Descriptor> => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = digestOf(bytes);
    await writeFile(join(folder, hexOf(digest)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const layer = { mediaType: OCI_LAYER, digest: await writeLayer(folder, layerBytes), size: layerBytes };
  const config = await put(OCI_CONFIG, {
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
  });
  const manifest = await put(OCI_MANIFEST, { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] });
  const annotations = { 'org.opencontainers.image.ref.name': reference };
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [{ ...manifest, annotations }] };
  await writeFile(join(dir, 'index.json'), JSON.stringify(index));
  await writeFile(join(dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  return { dir, reference, manifest, config, layer };
}
