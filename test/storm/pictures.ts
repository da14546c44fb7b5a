/**
 * The images of a storm: the true ones, what a liar calls by the same name, and one for each node that policy keeps
 * private. Promises: the same name and layers give the same bytes, made once.
 */
import { type Digest, digestOf, hexOf } from '../../src/oci/oci.ts';
import { type StoryImage, storyImage } from '../mirror/story-image.ts';
import type { MemoryDisk } from '../support/memory-disk.ts';
import type { Picture } from './scenario.ts';

const made = new Map<string, StoryImage>();
const MADE_MAX = 64;

function make(name: string, layers: readonly number[], seed: string): StoryImage {
  const key = `${name} ${layers.join()} ${seed}`;
  const known = made.get(key) ?? storyImage(name, { layers, seed });
  made.delete(key);
  made.set(key, known);
  for (const oldest of made.keys()) if (made.size > MADE_MAX) made.delete(oldest);
  return known;
}

export const trueImage = ({ name, layers }: Picture): StoryImage => make(name, layers, 'true');
export const falseImage = ({ name, layers }: Picture): StoryImage => make(name, layers, 'false');
export const privateImage = (node: string): StoryImage => make(`r.test/private/${node}:1`, [40_000], node);

/** Puts an image as an OCI layout folder on a disk; answers with the source to import. */
export async function putLayout(disk: MemoryDisk, image: StoryImage): Promise<string> {
  const folder = `/images/${hexOf(image.target.digest)}`;
  await disk.mkdir(`${folder}/blobs/sha256`);
  const put = (path: string, json: object): void => disk.poke(`${folder}/${path}`, Buffer.from(JSON.stringify(json)));
  put('oci-layout', { imageLayoutVersion: '1.0.0' });
  put('index.json', { schemaVersion: 2, manifests: [image.target] });
  for (const [digest, bytes] of image.contents) disk.poke(`${folder}/blobs/sha256/${hexOf(digest)}`, bytes);
  return `oci:${folder}`;
}

/** True where `bytes` are what lies at `offset` of the content. */
export function isTrue(image: StoryImage, digest: Digest, offset: number, bytes: Uint8Array): boolean {
  const content = image.contents.get(digest);
  if (!content) return digestOf(bytes) === digest;
  return Buffer.compare(content.subarray(offset, offset + bytes.length), bytes) === 0;
}
