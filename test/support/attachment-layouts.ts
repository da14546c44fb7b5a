/** Attachments in layout folders and their tars, as registries' tools write them. Promises: no file of the folder is made up. */
import { createWriteStream } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import tar from 'tar-stream';
import { type Descriptor, OCI_MANIFEST } from '../../src/oci/oci.ts';
import { putContent } from './images.ts';
import type { BuiltAttachment } from './memory-attachments.ts';

/** How an entry of `index.json` is called. */
export const REF_NAME = 'org.opencontainers.image.ref.name';

/** Puts an attachment's files into a layout folder. */
export async function putAttachment(folder: string, { artifact, contents }: BuiltAttachment): Promise<Descriptor> {
  for (const bytes of contents.values()) await putContent(folder, '', bytes);
  return putContent(folder, OCI_MANIFEST, artifact.manifest);
}

/** Lists a manifest in the folder's index, beside what is there. */
export async function listInLayout(
  folder: string,
  target: Descriptor,
  annotations: Readonly<Record<string, string>> = {},
): Promise<void> {
  const path = join(folder, 'index.json');
  const index = JSON.parse(await readFile(path, 'utf8')) as { manifests: object[] };
  index.manifests.push({ ...target, annotations });
  await writeFile(path, JSON.stringify(index));
}

/** Writes a tar of all files of a folder to `path`. */
export async function tarFolder(folder: string, path: string): Promise<string> {
  const pack = tar.pack();
  const writing = pipeline(pack, createWriteStream(path));
  for (const file of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (file.isFile()) {
      const from = join(file.parentPath, file.name);
      pack.entry({ name: relative(folder, from) }, await readFile(from));
    }
  pack.finalize();
  await writing;
  return path;
}
