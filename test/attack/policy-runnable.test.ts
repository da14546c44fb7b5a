/** An image that nobody signed, given out as a signature of one that somebody did: it never gets in through that door. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { digestOf } from '../../src/oci/oci.ts';
import {
  Admission,
  bundleBy,
  is,
  legacyBy,
  NAME,
  PINNED,
  PLATFORM,
  referrerOf,
  SIGNED,
  withPins,
} from '../mirror/admission.ts';
import { storyImage } from '../mirror/story-node.ts';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';

const IMAGE = storyImage(NAME, { layers: [10] });
const { digest } = IMAGE.target;
const LAYER = Buffer.from('a layer that nobody signed');
const CONFIG = Buffer.from(JSON.stringify({ os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(LAYER)] } }));
const part = (mediaType: string, bytes: Uint8Array) => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
const EVIL = [
  part('application/vnd.oci.image.config.v1+json', CONFIG),
  part('application/vnd.oci.image.layer.v1.tar', LAYER),
] as const;

/** `signature`, which holds, with the config and a layer of an image that a runtime runs. */
function runnable(good: BuiltAttachment, payload: Uint8Array): BuiltAttachment {
  const { artifact, contents } = good;
  const { bond } = artifact;
  const { layers } = JSON.parse(artifact.manifest.toString()) as { layers: object[] };
  const built = buildAttachment(digest, payload, { bond, config: EVIL[0], layers: [...layers, EVIL[1]] });
  for (const bytes of [...contents.values(), CONFIG, LAYER])
    (built.contents as Map<typeof digest, Uint8Array>).set(digestOf(bytes), bytes);
  return built;
}

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

const BUNDLE = bundleBy(PLATFORM, digest);
const LEGACY = legacyBy(PLATFORM, digest);
for (const [form, code, evil] of [
  ['a bundle', 'SIGNATURE_MISSING', runnable(buildAttachment(digest, BUNDLE), BUNDLE)],
  ['cosign’s older form', 'SIGNATURE_UNTRUSTED', runnable(LEGACY, [...LEGACY.contents.values()][0]!)],
] as const)
  void test(`an image with the signature of another in it, as ${form}, is not to be had by its digest (${code})`, async () => {
    await story.offering('liar', {
      contents: new Map([...IMAGE.contents, [evil.digest, evil.artifact.manifest], ...evil.contents]),
      offers: [referrerOf(evil)],
    });
    const node = await story.reader(SIGNED);
    await story.get(node, story.manifest(IMAGE, digest)).catch(() => undefined);
    await assert.rejects(story.get(node, `team/app/manifests/${evil.digest}`), is(code));
    await assert.rejects(story.get(node, `team/app/blobs/${EVIL[1].digest}`), is('CONTENT_ABSENT'));
  });

void test('where pins decide, an image that is offered as attached to a pinned one is not to be had (PIN_MISMATCH)', async () => {
  const evil = runnable(buildAttachment(digest, BUNDLE), BUNDLE);
  await story.offering('liar', {
    contents: new Map([...IMAGE.contents, [evil.digest, evil.artifact.manifest], ...evil.contents]),
    offers: [referrerOf(evil)],
  });
  const node = await story.reader(PINNED, withPins({ [NAME]: digest }));
  await story.get(node, story.manifest(IMAGE, digest));
  await story.get(node, `team/app/manifests/${digest.replace(':', '-')}`).catch(() => undefined);
  await assert.rejects(story.get(node, `team/app/manifests/${evil.digest}`), is('PIN_MISMATCH'));
});
