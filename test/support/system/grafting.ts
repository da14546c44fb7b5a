/**
 * What whoever may push to a registry can do with signatures of others: put those of one image where those of another are
 * looked for, byte for byte but for the subject that a manifest names. Refuses to know keys.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Descriptor, digestOf, OCI_INDEX, OCI_MANIFEST } from '../../../src/oci/oci.ts';
import type { BuiltImage } from '../images.ts';
import { signatureTag } from './cosign.ts';
import { type Answer, request } from './http.ts';
import type { Host } from './netns.ts';
import { pushBlob } from './registry.ts';

export interface Places {
  readonly host: Host;
  /** For files under way. */
  readonly folder: string;
  /** Addresses of the two repositories: `http://host:port/v2/repository`. */
  readonly from: string;
  readonly onto: string;
}

interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

const ACCEPT = { accept: `${OCI_INDEX}, ${OCI_MANIFEST}` };

function good(answer: Answer, status: number): Buffer {
  if (answer.status !== status) throw new Error(`the registry answers ${answer.status}: ${answer.body.toString()}`);
  return answer.body;
}

const ask = async ({ host, from }: Places, path: string): Promise<Buffer> =>
  good(await request(host.netns, `${from}/${path}`, { headers: ACCEPT }), 200);

async function put({ host, folder, onto }: Places, name: string, type: string, bytes: Buffer): Promise<void> {
  const upload = join(folder, 'grafted');
  await writeFile(upload, bytes);
  good(
    await request(host.netns, `${onto}/manifests/${name}`, {
      method: 'PUT',
      headers: { 'content-type': type },
      upload,
    }),
    201,
  );
}

/** Carries over all that a manifest lists. */
async function carry(places: Places, manifest: Buffer): Promise<void> {
  const { config, layers } = JSON.parse(manifest.toString()) as Manifest;
  for (const content of [config, ...layers]) {
    const file = join(places.folder, 'grafted');
    await writeFile(file, await ask(places, `blobs/${content.digest}`));
    await pushBlob(places.host.netns, places.onto, content, file);
  }
}

/** Publishes what is signed about `from`, in both formats, as if it were about `onto`. */
export async function graft(places: Places, from: BuiltImage, onto: BuiltImage): Promise<void> {
  const legacy = await ask(places, `manifests/${signatureTag(from.digest, 'legacy')}`);
  await carry(places, legacy);
  await put(places, signatureTag(onto.digest, 'legacy'), OCI_MANIFEST, legacy);
  const index = JSON.parse((await ask(places, `manifests/${signatureTag(from.digest, 'bundle')}`)).toString()) as {
    manifests: readonly Descriptor[];
  };
  const manifests: Descriptor[] = [];
  for (const { digest } of index.manifests) {
    const original = await ask(places, `manifests/${digest}`);
    await carry(places, original);
    const bytes = Buffer.from(
      JSON.stringify({ ...(JSON.parse(original.toString()) as Manifest), subject: onto.target }),
    );
    await put(places, digestOf(bytes), OCI_MANIFEST, bytes);
    manifests.push({ mediaType: OCI_MANIFEST, digest: digestOf(bytes), size: bytes.length });
  }
  const listing = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
  await put(places, signatureTag(onto.digest, 'bundle'), OCI_INDEX, listing);
}
