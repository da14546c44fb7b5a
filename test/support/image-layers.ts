/**
 * Layers for test images: real tars, plain or gzip, a function of what they are asked to hold and of a seed. Promises:
 * a few MiB of memory whatever the size; source files are only read. Refuses to know manifests. Spec: OCI image-spec
 * layer.md.
 */
import { createCipheriv, createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import tar from 'tar-stream';
import { type Digest, hexOf } from '../../src/oci/oci.ts';

/** Bytes that are made or read in one piece. */
const PIECE_BYTES = 1 << 20;

/** What a path in a layer holds: bytes, a file of this machine, or a symbolic link. */
export type FileSpec =
  | string
  | Uint8Array
  | { readonly from: string; readonly mode?: number }
  | { readonly link: string };

export interface LayerSpec {
  /** By path inside the image, without a leading slash. */
  readonly files?: Readonly<Record<string, FileSpec>>;
  /** Bytes of a file `random` of incompressible content. */
  readonly randomBytes?: number;
  /** What the random content depends on; the same seed gives the same digest everywhere. */
  readonly seed?: number | string;
}

export interface BuiltLayer {
  readonly digest: Digest;
  /** Bytes as stored. */
  readonly size: number;
  /** Digest and bytes of the plain tar. */
  readonly diffId: Digest;
  readonly tarSize: number;
}

/** The path of a content in an OCI layout. */
export const blobPath = (dir: string, digest: Digest): string =>
  join(dir, 'blobs', digest.split(':')[0] ?? '', hexOf(digest));

/** `length` bytes that look random and depend on `seed` alone, in pieces. */
export function* seededBytes(seed: number | string, length: number): Generator<Buffer> {
  const key = createHash('sha256').update(`layer ${seed}`).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(PIECE_BYTES);
  for (let left = length; left > 0; left -= PIECE_BYTES)
    yield cipher.update(zeros.subarray(0, Math.min(left, PIECE_BYTES)));
}

async function addFile(pack: tar.Pack, name: string, spec: FileSpec): Promise<void> {
  const common = { name, mtime: new Date(0) };
  if (typeof spec === 'string' || spec instanceof Uint8Array) {
    pack.entry({ ...common, mode: 0o644 }, Buffer.from(spec));
  } else if ('link' in spec) {
    pack.entry({ ...common, type: 'symlink', linkname: spec.link, mode: 0o777 });
  } else {
    const { size, mode } = await stat(spec.from);
    const entry = pack.entry({ ...common, size, mode: spec.mode ?? mode & 0o777 });
    await pipeline(createReadStream(spec.from, { end: size - 1, highWaterMark: PIECE_BYTES }), entry);
  }
}

async function fill(pack: tar.Pack, spec: LayerSpec): Promise<void> {
  for (const [name, file] of Object.entries(spec.files ?? {})) await addFile(pack, name, file);
  if (spec.randomBytes) {
    const entry = pack.entry({ name: 'random', mtime: new Date(0), mode: 0o644, size: spec.randomBytes });
    await pipeline(Readable.from(seededBytes(spec.seed ?? 0, spec.randomBytes)), entry);
  }
  pack.finalize();
}

/** Passes bytes on and knows their digest and number at the end. */
function meter(): Transform & { result(): { digest: Digest; size: number } } {
  const hash = createHash('sha256');
  let size = 0;
  const stream = new Transform({
    transform(bytes: Buffer, _encoding, done) {
      hash.update(bytes);
      size += bytes.length;
      done(null, bytes);
    },
  });
  return Object.assign(stream, { result: () => ({ digest: `sha256:${hash.digest('hex')}` as Digest, size }) });
}

/** Writes a layer into the blobs of the layout `dir`. */
export async function buildLayer(dir: string, spec: LayerSpec, gzip: boolean): Promise<BuiltLayer> {
  await mkdir(join(dir, 'blobs', 'sha256'), { recursive: true });
  const part = join(dir, 'blobs', 'sha256', `.part-${randomUUID()}`);
  const pack = tar.pack();
  const [plain, stored] = [meter(), meter()];
  const sink = createWriteStream(part);
  const writing = gzip
    ? pipeline(pack, plain, createGzip({ level: 1 }), stored, sink)
    : pipeline(pack, plain, stored, sink);
  await Promise.all([fill(pack, spec), writing]);
  const [tarred, kept] = [plain.result(), stored.result()];
  await rename(part, blobPath(dir, kept.digest));
  return { ...kept, diffId: tarred.digest, tarSize: tarred.size };
}
