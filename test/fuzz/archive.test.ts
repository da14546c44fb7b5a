/** No bytes make the reader of archives do anything but read files of good names, or say no. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import tar from 'tar-stream';
import { MirrorError } from '../../src/errors.ts';
import { digestOf, hexOf, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, parseReference } from '../../src/oci/oci.ts';
import { readArchive } from '../../src/store/archive.ts';
import { parseDockerImages } from '../../src/store/archive-docker.ts';
import { openLayout } from '../../src/store/layout.ts';
import { importImage } from '../../src/store/layout-import.ts';
import { imagesOf, parseIndex } from '../../src/store/layout-index.ts';
import { realWorld } from '../../src/world.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { fuzz, fuzzAsync } from '../support/fuzz.ts';

const live = new AbortController().signal;
const BLOCK_BYTES = 512;
const PATH = '/archive';

interface Entry {
  readonly name: string;
  readonly type: 'file' | 'symlink' | 'link' | 'directory' | 'fifo';
  readonly linkname: string;
  readonly bytes: Uint8Array;
}

async function pack(entries: readonly Partial<Entry>[]): Promise<Buffer> {
  const archive = tar.pack();
  for (const { name = 'n', type = 'file', linkname = '', bytes = new Uint8Array(0) } of entries)
    if (type === 'file') archive.entry({ name }, Buffer.from(bytes));
    else archive.entry({ name, type, linkname });
  archive.finalize();
  const parts: Uint8Array[] = [];
  for await (const part of archive) parts.push(part as Uint8Array);
  return Buffer.concat(parts);
}

/** A small image as `docker save` and as a layout write it, in one archive each. */
async function goodArchives(): Promise<readonly Buffer[]> {
  const layer = Buffer.from('a layer');
  const config = Buffer.from(JSON.stringify({ os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } }));
  const described = (mediaType: string, bytes: Uint8Array): object => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: described(OCI_CONFIG, config),
      layers: [described(OCI_LAYER, layer)],
    }),
  );
  const annotations = { 'org.opencontainers.image.ref.name': 'registry.example/app:1' };
  const index = { schemaVersion: 2, manifests: [{ ...described(OCI_MANIFEST, manifest), annotations }] };
  const docker = [{ Config: 'config.json', RepoTags: ['registry.example/app:1'], Layers: ['layer.tar'] }];
  return Promise.all([
    pack([
      { name: 'oci-layout', bytes: Buffer.from('{"imageLayoutVersion":"1.0.0"}') },
      { name: 'index.json', bytes: Buffer.from(JSON.stringify(index)) },
      ...[layer, config, manifest].map(bytes => ({ name: `blobs/sha256/${hexOf(digestOf(bytes))}`, bytes })),
    ]),
    pack([
      { name: 'config.json', bytes: config },
      { name: 'layer.tar', bytes: layer },
      { name: 'manifest.json', bytes: Buffer.from(JSON.stringify(docker)) },
    ]),
  ]);
}

/** Imports an archive; answers with the names given, none where it was refused. Whatever happened, all is clean after. */
async function importBytes(bytes: Uint8Array): Promise<readonly string[]> {
  const disk = new MemoryDisk();
  const layout = await openLayout(disk, '/state/layout', realWorld);
  disk.poke(PATH, bytes);
  const reference = parseReference('registry.example/given:1');
  const imported = await importImage(disk, layout, PATH, { reference }, () => undefined, live).catch(
    (error: unknown) => {
      assert.ok(error instanceof MirrorError, String(error));
      return [];
    },
  );
  assert.deepEqual(await disk.list('/state/layout/.pinnace/staging'), []);
  assert.deepEqual((await disk.list('/')).toSorted(), ['archive', 'state']);
  assert.equal((await layout.images()).length, imported.length);
  for (const hex of await disk.list('/state/layout/blobs/sha256'))
    assert.equal(hexOf(digestOf(disk.peek(`/state/layout/blobs/sha256/${hex}`)!)), hex);
  return imported.map(({ digest }) => digest);
}

/** Writes the checksum of a header anew, so that what was changed in it is looked at. */
function checksum(bytes: Buffer, at: number): void {
  const header = bytes.subarray(at, at + BLOCK_BYTES).fill(0x20, 148, 156);
  if (header.length < BLOCK_BYTES) return;
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}

void describe('hostile archives', () => {
  void it('that are not spoilt are imported', async () => {
    for (const bytes of await goodArchives()) assert.equal((await importBytes(bytes)).length, 1);
  });

  void it('with any bytes changed are refused, or give what they gave before', async () => {
    const good = await goodArchives();
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
    await fuzzAsync(
      fc.asyncProperty(
        fc.constantFrom(...good),
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        async (archive, changes, repair) => {
          const bytes = Buffer.from(archive);
          for (const [at, value] of changes) {
            const where = at % bytes.length;
            bytes[where] = value;
            if (repair) checksum(bytes, where - (where % BLOCK_BYTES));
          }
          await importBytes(bytes);
        },
      ),
      400,
    );
  });

  void it('cut anywhere are refused, or lack what is only padding', async () => {
    for (const archive of await goodArchives())
      for (let end = 0; end < archive.length; end += 97) {
        const given = await importBytes(archive.subarray(0, end));
        if (given.length) assert.ok(end > archive.length - 3 * BLOCK_BYTES, `${end} of ${archive.length}`);
      }
  });

  void it('with any headers only ever give names that go down', async () => {
    const name = fc.oneof(
      fc.string({ minLength: 1, maxLength: 40 }),
      fc
        .array(fc.constantFrom('a', 'b', '..', '.', '', ' '), { minLength: 1, maxLength: 6 })
        .map(parts => parts.join('/') || 'x'),
    );
    const entry = fc.record({
      name,
      type: fc.constantFrom('file', 'symlink', 'link', 'directory', 'fifo' as const),
      linkname: name,
      bytes: fc.uint8Array({ maxLength: 600 }),
    });
    await fuzzAsync(
      fc.asyncProperty(fc.array(entry, { maxLength: 6 }), async entries => {
        const disk = new MemoryDisk();
        disk.poke(PATH, await pack(entries as Entry[]));
        const seen: string[] = [];
        const take = async (file: { name: string; size: number; bytes: AsyncIterable<Uint8Array> }): Promise<void> => {
          let length = 0;
          for await (const part of file.bytes) length += part.length;
          assert.equal(length, file.size);
          seen.push(file.name);
        };
        const links = await readArchive(disk, PATH, take, live).catch((error: unknown) => {
          assert.ok(error instanceof MirrorError, String(error));
          return undefined;
        });
        for (const each of links ? [...seen, ...seen.map(at => links.follow(at))] : seen) {
          assert.ok(!each.startsWith('/') && !each.includes('\0'), each);
          for (const part of each.split('/')) assert.ok(part !== '' && part !== '.' && part !== '..', each);
        }
        assert.equal(new Set(seen).size, seen.length);
      }),
      300,
    );
  });

  void it('with any sizes in their headers never give more than they have', async () => {
    const [archive] = await goodArchives();
    const size = fc.oneof(
      fc.uint8Array({ minLength: 12, maxLength: 12 }),
      fc.constantFrom('77777777777 ', '00000000000 ', '-0000000001 ').map(text => Buffer.from(text, 'latin1')),
    );
    await fuzzAsync(
      fc.asyncProperty(
        size,
        fc.nat({ max: 4 }),
        fc.constantFrom('0', '1', '2', 'x', 'g', 'L', 'S'),
        async (field, at, type) => {
          const bytes = Buffer.from(archive!);
          const header = at * 2 * BLOCK_BYTES;
          bytes.set(field, header + 124);
          bytes.write(type, header + 156);
          checksum(bytes, header);
          await importBytes(bytes);
        },
      ),
      300,
    );
  });
});

void describe('hostile documents', () => {
  const json = fc.oneof(fc.string(), fc.json());

  void it('called index.json are parsed to well-formed names, or refused', () => {
    const annotations = fc.dictionary(
      fc.constantFrom('org.opencontainers.image.ref.name', 'dev.pinnace.named', 'dev.pinnace.fetched'),
      fc.oneof(fc.string(), fc.constantFrom('registry.example/a:1'), fc.integer()),
    );
    const entry = fc.record({
      mediaType: fc.oneof(fc.string(), fc.constant(OCI_MANIFEST)),
      digest: fc.oneof(fc.string(), fc.constant(digestOf(Buffer.from('x')))),
      size: fc.oneof(fc.integer(), fc.double()),
      annotations,
    });
    const index = fc
      .record({ schemaVersion: fc.constantFrom(1, 2), manifests: fc.array(fc.oneof(entry, fc.anything())) })
      .map(value => JSON.stringify(value));
    fuzz(
      fc.property(fc.oneof(json, index), text => {
        try {
          for (const { reference, target, createdAt } of imagesOf(parseIndex(Buffer.from(text)), 0)) {
            assert.ok(reference.tag ?? reference.digest);
            assert.ok(Number.isSafeInteger(target.size) && target.size >= 0 && Number.isFinite(createdAt));
          }
        } catch (error) {
          assert.ok(error instanceof MirrorError, String(error));
        }
      }),
      1000,
    );
  });

  void it('called manifest.json are parsed to texts, or refused', () => {
    const image = fc.record({
      Config: fc.oneof(fc.string(), fc.integer()),
      Layers: fc.anything(),
      RepoTags: fc.anything(),
    });
    fuzz(
      fc.property(
        fc.oneof(
          json,
          fc.array(image).map(value => JSON.stringify(value)),
        ),
        text => {
          try {
            for (const { config, layers, tags } of parseDockerImages(Buffer.from(text)))
              for (const each of [config, ...layers, ...tags]) assert.equal(typeof each, 'string');
          } catch (error) {
            assert.ok(error instanceof MirrorError, String(error));
          }
        },
      ),
      1000,
    );
  });
});
