/** One member offers more than anybody can judge at once: others keep their turn, and what is remembered stays small. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { JUDGED_MAX_CHARACTERS, Verdicts } from '../../src/mirror/verdicts.ts';
import { type Digest, digestOf } from '../../src/oci/oci.ts';
import { Admission, countJudged, legacyBy, NAME, PLATFORM, referrerOf, SIGNED, STRANGER } from '../mirror/admission.ts';
import { storyImage } from '../mirror/story-node.ts';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';

const IMAGE = storyImage(NAME, { layers: [10] });
const { digest } = IMAGE.target;

/** A manifest under cosign's tag with the layers of these, one after the other. */
function together(all: readonly BuiltAttachment[]): BuiltAttachment {
  const layers = all.flatMap(
    ({ artifact }) => (JSON.parse(artifact.manifest.toString()) as { layers: { digest: Digest }[] }).layers,
  );
  const payload = all[0]!.contents.get(layers[0]!.digest)!;
  return buildAttachment(digest, payload, { bond: 'sig', layers });
}

let story: Admission;
beforeEach(() => {
  story = new Admission();
});
afterEach(() => story.end());

const offer = (one: BuiltAttachment) =>
  story.offering('source', {
    contents: new Map([...IMAGE.contents, [one.digest, one.artifact.manifest], ...one.contents]),
    offers: [referrerOf(one)],
  });

void test('of 512 signatures in one artifact the last 32 are judged (SIGNATURE_UNTRUSTED)', async () => {
  await offer(together(Array.from({ length: 512 }, () => legacyBy(STRANGER, digest))));
  const node = await story.reader(SIGNED);
  const judged = countJudged(node);
  await story.refuses(node, IMAGE, 'SIGNATURE_UNTRUSTED', digest);
  assert.equal(judged.times, 32);
});

void test('the signature that was added last to 300 others counts', async () => {
  const others = Array.from({ length: 300 }, () => legacyBy(STRANGER, digest));
  await offer(together([...others, legacyBy(PLATFORM, digest)]));
  const node = await story.reader(SIGNED);
  assert.ok((await story.get(node, story.manifest(IMAGE, digest))).whole);
});

void test('between two signatures that take long to judge others have their turn', async () => {
  await offer(together(Array.from({ length: 20 }, () => legacyBy(STRANGER, digest))));
  const node = await story.reader(SIGNED);
  const { signers, world } = node.rooms;
  let now = 0;
  const rests: number[] = [];
  Object.assign(node.rooms, {
    signers: () => ({
      judge: (...of: Parameters<ReturnType<typeof signers>['judge']>) => {
        now += 8;
        return signers().judge(...of);
      },
    }),
    world: {
      ...world,
      monotonic: () => now,
      sleep: async (ms: number, signal?: AbortSignal) => {
        if (ms > 0) return world.sleep(ms, signal);
        rests.push(now);
      },
    },
  });
  await story.refuses(node, IMAGE, 'SIGNATURE_UNTRUSTED', digest);
  assert.ok(rests.length >= 9, `${rests.length} turns in ${now} ms`);
});

void test('what many artifacts show is remembered up to a size, and the newest of it', () => {
  const verdicts = new Verdicts();
  const predicate = 'x'.repeat(1 << 20);
  const known = (at: number) => ({ bond: 'subject' as const, digest: digestOf(Buffer.from(`${at}`)) });
  const signed = [{ authority: 'platform', format: 'bundle' as const, signer: 'k', predicateType: 't', predicate }];
  for (let at = 0; at < 100; at++) verdicts.judged(known(at), digest, 'h', () => [{ signed }]);
  const left = Array.from({ length: 100 }, (_, at) => at).filter(at => verdicts.known(known(at), digest, 'h'));
  assert.ok(left.length * predicate.length <= JUDGED_MAX_CHARACTERS, `${left.length} are remembered`);
  assert.equal(left.at(-1), 99);
});
