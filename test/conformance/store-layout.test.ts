/** The embedded store on disk, and the fake in memory, pass the suite of stores. */
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseReference } from '../../src/oci/oci.ts';
import { realDisk } from '../../src/store/disk.ts';
import { openLayout } from '../../src/store/layout.ts';
import { importImage } from '../../src/store/layout-import.ts';
import { realWorld } from '../../src/world.ts';
import { blobPath } from '../support/images.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { storeConformance } from './store.ts';

storeConformance('the layout', async t => {
  const dir = await mkdtemp(join(tmpdir(), 'pinnace-layout-'));
  t.after(() => rm(dir, { recursive: true }));
  const store = await openLayout(realDisk, join(dir, 'layout'), realWorld);
  let files = 0;
  return {
    store,
    put: async image => {
      await importImage(realDisk, store, `oci:${image.dir}`, {}, () => undefined, new AbortController().signal);
    },
    remove: reference => store.keeping.remove(parseReference(reference)),
    cut: async digest => {
      const path = blobPath(join(dir, 'layout'), digest);
      await truncate(path, (await stat(path)).size - 1);
    },
    file: async bytes => {
      files += 1;
      const path = join(dir, `file-${files}`);
      await writeFile(path, bytes);
      return path;
    },
  };
});

storeConformance('in memory', async () => {
  const disk = new MemoryDisk();
  const store = new MemoryStore({ disk });
  let files = 0;
  return {
    store,
    put: async image => {
      for (const { digest, mediaType } of image.contents)
        store.put(await readFile(blobPath(image.dir, digest)), mediaType);
      store.name(parseReference(image.reference), image.target);
    },
    remove: async reference => store.unname(parseReference(reference)),
    cut: async digest => store.cut(digest),
    file: async bytes => {
      files += 1;
      disk.poke(`/file-${files}`, bytes);
      return `/file-${files}`;
    },
  };
});
