/** A client asks for digests that nobody has, without end: the log tells of none of them as of an image. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../src/oci/oci.ts';
import { Admission, ALL, is, NAME, policy } from '../mirror/admission.ts';
import { storyImage } from '../mirror/story-node.ts';

const AUDITED = policy('mode: audit, share: cluster, signatures: {anyOf: [platform]}');

for (const [what, text, event] of [
  ['allowed', ALL, 'image.admitted'],
  ['let through', AUDITED, 'image.passed'],
] as const)
  void test(`what nobody has is on record as no image that was ${what} (${event}, CONTENT_ABSENT)`, async () => {
    const story = new Admission();
    const node = await story.reader(text);
    for (let at = 0; at < 20; at++) {
      const digest = digestOf(Buffer.from(`nothing ${at}`));
      await assert.rejects(story.get(node, `team/app/manifests/${digest}`), is('CONTENT_ABSENT'));
    }
    assert.deepEqual(node.audit.of(event), []);
    const image = storyImage(NAME, { layers: [10] });
    await assert.rejects(story.get(node, story.manifest(image, image.target.digest)), is('CONTENT_ABSENT'));
    await story.holder('holder', image, ALL);
    await story.get(node, story.manifest(image, image.target.digest));
    assert.deepEqual(
      node.audit.of(event).map(one => one.digest),
      [image.target.digest],
    );
    await story.end();
  });
