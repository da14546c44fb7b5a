/** Tries of the limits on documents, names and files. */
import assert from 'node:assert/strict';
import { openKey, sealKey, newKey } from '../../src/identity/issuer.ts';
import {
  type Descriptor,
  digestOf,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  parseManifest,
  parseRegistry,
  parseRepository,
  parseTag,
} from '../../src/oci/oci.ts';
import { parseRequest } from '../../src/oci/request.ts';
import { bytesOf } from '../../src/oci/oci.ts';
import { CHUNK_BYTES, parseProof } from '../../src/proof/proof.ts';
import { readArchive } from '../../src/store/archive.ts';
import { parseDockerImages } from '../../src/store/archive-docker.ts';
import { parseIndex } from '../../src/store/layout-index.ts';
import { walkImage } from '../../src/store/layout-walk.ts';
import { parseConfig } from '../../src/cli/config.ts';
import { kubeImages } from '../../src/cli/kube-images.ts';
import { realWorld } from '../../src/world.ts';
import { parseYaml } from '../../src/yaml.ts';
import tar from 'tar-stream';
import { MemoryDisk } from '../support/memory-disk.ts';
import { is, refused, type Tries } from './table.ts';

const live = new AbortController().signal;

const described = (mediaType: string, seed: string, size = 3): Descriptor => ({
  mediaType,
  digest: digestOf(Buffer.from(seed)),
  size,
});
const image = (layers: readonly Descriptor[], more: object = {}): object => ({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: described(OCI_CONFIG, `config of ${layers[0]?.digest}`),
  layers,
  ...more,
});
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const layers = (count: number, seed = ''): Descriptor[] =>
  Array.from({ length: count }, (_, at) => described(OCI_LAYER, `${seed} ${at}`));

/** Manifests by digest, as a store that holds them all and every layer. */
class Shelf {
  readonly #manifests = new Map<string, Buffer>();

  put(mediaType: string, value: object): Descriptor {
    const bytes = json(value);
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    this.#manifests.set(descriptor.digest, bytes);
    return descriptor;
  }

  walk(target: Descriptor): ReturnType<typeof walkImage> {
    const find = (): Promise<boolean> => Promise.resolve(true);
    return walkImage({ find, read: async ({ digest }) => this.#manifests.get(digest)! }, target);
  }

  /** An index whose images reach `count` contents in all, itself included. */
  reaching(count: number): Descriptor {
    const manifests: Descriptor[] = [];
    for (let left = count - 1; left > 0; ) {
      const some = Math.min(500, left - 2);
      manifests.push(this.put(OCI_MANIFEST, image(layers(some, String(manifests.length)))));
      left -= some + 2;
    }
    return this.put(OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests });
  }
}

type Named = Pick<tar.Header, 'name'> & Partial<tar.Header>;

async function packed(entries: readonly Named[]): Promise<Buffer[]> {
  const pack = tar.pack();
  for (const entry of entries)
    if (entry.type) pack.entry(entry);
    else pack.entry(entry, '');
  pack.finalize();
  const parts: Buffer[] = [];
  for await (const part of pack) parts.push(part as Buffer);
  return parts;
}

function unpacked(bytes: Uint8Array): ReturnType<typeof readArchive> {
  const disk = new MemoryDisk();
  disk.poke('/a', bytes);
  return readArchive(disk, '/a', async () => undefined, live);
}

async function archive(entries: readonly Named[], last?: { links: string }): Promise<void> {
  const links = await unpacked(Buffer.concat(await packed(entries)));
  if (last) links.follow(last.links);
}

/** Reads a good archive from a disk that says it has `size` bytes. */
async function archiveOf(size: number): Promise<void> {
  const disk = new MemoryDisk();
  disk.poke('/a', Buffer.alloc(1024));
  const open = disk.openRead.bind(disk);
  disk.openRead = async (...where) => {
    const file = (await open(...where))!;
    const facts = file.facts.bind(file);
    return Object.assign(file, { facts: async () => ({ ...(await facts()), size }) });
  };
  await readArchive(disk, '/a', async () => undefined, live);
}

const chain = (links: number): Named[] => [
  { name: 'end' },
  ...Array.from({ length: links }, (_, at) => ({
    name: `l${at}`,
    type: 'symlink' as const,
    linkname: at === 0 ? 'end' : `l${at - 1}`,
  })),
];

export const contentTries: Tries = {
  'manifest-bytes': ({ numbers: [most], codes: [code] }) => {
    const text = JSON.stringify(image(layers(1)));
    const padded = (length: number): Buffer => Buffer.from(text.padEnd(length));
    assert.equal(parseManifest(padded(most)).kind, 'image');
    refused(code, () => parseManifest(padded(most + 1)));
  },
  'manifest-entries': ({ numbers: [most], codes: [code] }) => {
    parseManifest(json(image(layers(most))));
    refused(code, () => parseManifest(json(image(layers(most + 1)))));
    const index = (count: number): Buffer => json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: layers(count) });
    parseManifest(index(most));
    refused(code, () => parseManifest(index(most + 1)));
  },
  'manifest-levels': ({ numbers: [most], codes: [code] }) => {
    const nested = (levels: number): Buffer => {
      const inner = JSON.parse(`${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}`) as unknown;
      return json(image(layers(1), { annotations: inner }));
    };
    parseManifest(nested(most));
    refused(code, () => parseManifest(nested(most + 1)));
  },
  'index-levels': async ({ numbers: [most], codes: [code] }) => {
    const shelf = new Shelf();
    let target = shelf.put(OCI_MANIFEST, image(layers(1)));
    const wrap = (): Descriptor =>
      shelf.put(OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [target] });
    for (let level = 0; level < most; level++) target = wrap();
    assert.ok(await shelf.walk(target));
    await assert.rejects(shelf.walk(wrap()), is(code));
  },
  'image-contents': async ({ numbers: [most], codes: [code] }) => {
    const shelf = new Shelf();
    assert.equal((await shelf.walk(shelf.reaching(most)))?.length, most);
    await assert.rejects(shelf.walk(shelf.reaching(most + 1)), is(code));
  },
  'content-bytes': ({ numbers: [most], codes: [code] }) => {
    const digest = digestOf(Buffer.from('large'));
    const list = (size: number): Buffer => {
      const bytes = Buffer.alloc(64 * Math.ceil(size / CHUNK_BYTES));
      bytesOf(digest).copy(bytes, bytes.length - 32);
      return bytes;
    };
    assert.equal(parseProof(digest, most, list(most)).size, most);
    refused(code, () => parseProof(digest, most + 1, list(most + 1)));
  },
  names: ({ numbers: [name, tag], codes: [nameCode, tagCode] }) => {
    parseRegistry('a'.repeat(name));
    parseRepository('a'.repeat(name));
    parseTag('a'.repeat(tag));
    refused(nameCode, () => parseRegistry('a'.repeat(name + 1)));
    refused(nameCode, () => parseRepository('a'.repeat(name + 1)));
    refused(tagCode!, () => parseTag('a'.repeat(tag + 1)));
  },
  'request-line': ({ numbers: [most], codes: [code] }) => {
    const line = (length: number): string => '/v2/a/manifests/1?ns=r.test&x='.padEnd(length, 'x');
    assert.equal(parseRequest('GET', line(most)).registry, 'r.test');
    refused(code, () => parseRequest('GET', line(most + 1)));
  },
  'yaml-bytes': ({ numbers: [most], codes: [code] }) => {
    const text = (length: number): string => 'a: 1\n#'.padEnd(length, 'x');
    assert.deepEqual(parseYaml(text(most), 'f'), { a: 1 });
    refused(code, () => parseYaml(text(most + 1), 'f'));
    // So is one document among several, with the line feeds around it.
    const manifests = (length: number): unknown => kubeImages(`a: 1\n---\n${text(length - 2)}\n---\na: 1\n`, 'f');
    manifests(most);
    refused(code, () => manifests(most + 1));
  },
  'spool-setting': ({ numbers: [least, most], codes: [code] }) => {
    const config = (mib: number): string =>
      JSON.stringify({
        node: 'n1',
        stateDir: '/s',
        policyFile: 'p',
        mirror: { listen: '127.0.0.1:5000' },
        peers: { listen: '127.0.0.1:5001' },
        spool: { maxBytes: mib > 2 ** 19 ? `${mib / 2 ** 20}TiB` : `${mib}MiB` },
      });
    for (const bytes of [least, most]) assert.equal(parseConfig(config(bytes / 2 ** 20), 'c').spool.maxBytes, bytes);
    for (const mib of [least / 2 ** 20 - 1, most / 2 ** 20 + 2 ** 20])
      refused(code, () => parseConfig(config(mib), 'c'));
  },
  passphrase: ({ numbers: [least], codes: [code] }) => {
    const key = newKey(realWorld);
    const pem = sealKey(key, 'a'.repeat(least));
    assert.equal(openKey(pem, 'a'.repeat(least), 'f').asymmetricKeyType, 'ed25519');
    refused(code, () => sealKey(key, 'a'.repeat(least - 1)));
  },
  'archive-bytes': async ({ numbers: [most], codes: [code] }) => {
    await archiveOf(most);
    await assert.rejects(archiveOf(most + 1), is(code));
  },
  'archive-entries': async ({ numbers: [most], codes: [code] }) => {
    const [folder] = await packed([{ name: 'folder', type: 'directory' }]);
    const end = Buffer.alloc(1024);
    const entries = (count: number): Promise<unknown> =>
      unpacked(Buffer.concat([...Array.from({ length: count }, () => folder!.subarray(0, 512)), end]));
    await entries(most);
    await assert.rejects(entries(most + 1), is(code));
  },
  'archive-names': async ({ numbers: [most, links], codes: [code] }) => {
    const entry = (length: number): Named => ({
      name: 'a/'
        .repeat(length)
        .slice(0, length - 1)
        .padEnd(length, 'b'),
    });
    await archive([entry(most)]);
    await assert.rejects(archive([entry(most + 1)]), is(code));
    await archive(chain(links), { links: `l${links - 1}` });
    await assert.rejects(archive(chain(links + 1), { links: `l${links}` }), is(code));
  },
  'archive-images': ({ numbers: [most], codes: [code] }) => {
    const document = (count: number): Buffer =>
      json(Array.from({ length: count }, () => ({ Config: 'c', Layers: [], RepoTags: [] })));
    assert.equal(parseDockerImages(document(most)).length, most);
    refused(code, () => parseDockerImages(document(most + 1)));
  },
  'store-names': ({ numbers: [most], codes: [code] }) => {
    const index = (count: number): Buffer => json({ schemaVersion: 2, manifests: layers(count) });
    assert.equal(parseIndex(index(most)).length, most);
    refused(code, () => parseIndex(index(most + 1)));
  },
};
