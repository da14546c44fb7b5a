/** Tries of the limits on the search for signatures, and on what was decided. */
import assert from 'node:assert/strict';
import { Admitted } from '../../src/mirror/admitted.ts';
import { candidatesIn } from '../../src/mirror/candidates.ts';
import { Pace } from '../../src/mirror/pace.ts';
import { Verdicts } from '../../src/mirror/verdicts.ts';
import { parseArtifact, parseReference, parseTagReference } from '../../src/oci/oci.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { Admission, countJudged, junk, referrerOf, SIGNED } from '../mirror/admission.ts';
import { buildAttachment } from '../support/memory-attachments.ts';
import { storyImage } from '../mirror/story-node.ts';
import { memoryKeep } from '../support/cluster.ts';
import { digest, GOOD, IMAGE, list, numbered, offering, staged } from './admission-stage.ts';
import { is, type Row, type Tries } from './table.ts';

/** The ms that a client waits for the refusal of an image that nobody can show to be signed. */
async function refusedAfter(story: Admission, code: Row['codes'][0]): Promise<number> {
  const node = await story.reader(SIGNED);
  const before = story.world.monotonic();
  let after = 0;
  const asked = story.ask(node, story.manifest(IMAGE, digest)).finally(() => (after = story.world.monotonic()));
  await assert.rejects(story.until(asked, 20_000, 50), is(code));
  return after - before;
}

export const admissionTries: Tries = {
  artifacts: staged(async (story, { numbers: [each, all, nodes], codes: [code] }) => {
    const one = await offering(story, 'one', [...list(each, at => junk(digest, at)), GOOD]);
    const node = await story.reader(SIGNED);
    await story.refuses(node, IMAGE, code, digest);
    // Of each its manifest is asked for first.
    assert.equal(one.contents.filter(asked => list(each, at => junk(digest, at).digest).includes(asked)).length, each);
    const many = Math.ceil(all / each);
    for (let at = 1; at <= many; at++)
      await offering(
        story,
        `more${at}`,
        list(each, number => junk(digest, at * each + number)),
      );
    const second = await story.reader(SIGNED, undefined, 'second');
    const judged = countJudged(second);
    await story.refuses(second, IMAGE, code, digest);
    assert.equal(judged.times, all);
    const others = new Admission();
    const sources = [];
    for (let at = 0; at <= nodes; at++) sources.push(await offering(others, `n${at}`, at === nodes ? [GOOD] : []));
    await others.refuses(await others.reader(SIGNED), IMAGE, 'SIGNATURE_MISSING', digest);
    assert.equal(sources.filter(({ lists }) => lists.length === 1).length, nodes);
    await others.end();
  }),
  'artifact-signatures': ({ numbers: [most] }) => {
    const layers = list(most + 1, at => ({ mediaType: 'm', digest: numbered(at), size: 1 }));
    const { artifact: made } = buildAttachment(digest, 'x', { bond: 'sig', layers });
    const contents = new Map(layers.map((layer, at) => [layer.digest, Buffer.from(`${at}`)]));
    const found = candidatesIn({ bond: 'sig', artifact: parseArtifact(made.manifest), contents });
    assert.deepEqual(
      found.map(one => one.format === 'legacy' && Buffer.from(one.payload).toString()),
      list(most, at => `${at + 1}`),
    );
  },
  'artifact-search': async ({ numbers: [all, each], codes: [code] }) => {
    const silent = new Admission();
    await silent.offering('silent', { contents: IMAGE.contents, offers: [], list: () => new Promise(() => undefined) });
    assert.equal(await refusedAfter(silent, code), each);
    await silent.end();
    // Each artifact takes a second, and is not brought then: after so many no other one is asked for.
    const slow = new Admission();
    const source = await slow.offering('slow', {
      contents: IMAGE.contents,
      offers: list(20, at => referrerOf(junk(digest, at))),
      read: async () => {
        await slow.world.sleep(1_000);
        throw new Error('no');
      },
    });
    assert.equal(await refusedAfter(slow, code), all);
    assert.equal(source.contents.length, all / 1_000);
    await slow.end();
  },
  verdicts: ({ numbers: [most, artifacts, characters] }) => {
    const verdicts = new Verdicts();
    const named = (at: number) => ({ ...parseReference('r.test/a:1'), digest: numbered(at) });
    const keep = (at: number): void => verdicts.keep(named(at), { allowed: true, rule: 'a', detail: '' }, 'h', 1);
    for (let at = 0; at < most; at++) keep(at);
    assert.ok(verdicts.of(named(0), 'h', 1));
    keep(most);
    assert.ok(!verdicts.of(named(0), 'h', 1) && verdicts.of(named(1), 'h', 1));
    const bonded = (at: number) => ({ bond: 'subject', digest: numbered(at) }) as const;
    const judge = (at: number): unknown => verdicts.judged(bonded(at), digest, 'h', () => []);
    for (let at = 0; at < artifacts; at++) judge(at);
    assert.ok(verdicts.known(bonded(0), digest, 'h'));
    judge(artifacts);
    assert.ok(!verdicts.known(bonded(0), digest, 'h') && verdicts.known(bonded(1), digest, 'h'));
    const large = (length: number): boolean => {
      const around = JSON.stringify([{ signed: [], reason: '' }]).length;
      const some = new Verdicts();
      some.judged(bonded(0), digest, 'h', () => [{ signed: [], reason: 'x'.repeat(length - around) }]);
      return some.known(bonded(0), digest, 'h') !== undefined;
    };
    assert.deepEqual([large(characters), large(characters + 1)], [true, false]);
  },
  'refused-again': staged(async (story, { numbers: [asked, alone], codes: [code] }) => {
    const node = await story.reader(SIGNED);
    const source = await offering(story, 'source', []);
    const ask = async (): Promise<number> => {
      await assert.rejects(story.get(node, story.manifest(IMAGE, digest)), is(code));
      return source.lists.length;
    };
    assert.equal(await ask(), 1);
    await story.world.advance(asked - 1);
    assert.equal(await ask(), 1);
    await story.world.advance(1);
    assert.equal(await ask(), 2);
    const other = new Admission();
    const asks: number[] = [];
    await other.offering('source', {
      contents: IMAGE.contents,
      offers: [],
      list: async () => {
        asks.push(other.world.monotonic());
        return [];
      },
    });
    (await other.reader(SIGNED)).keep(IMAGE);
    await other.world.advance(alone + 2_000);
    // What is to be looked at is gathered for 200 ms.
    assert.deepEqual(
      asks.map(at => at - asks[0]!),
      [0, alone + 200],
    );
    await other.end();
  }),
  searches: staged(async (story, { numbers: [ms, together] }) => {
    const images = list(40, at => storyImage(`r.test/team/app:${at}`, { layers: [10] }));
    const asks: number[] = [];
    await story.offering('silent', {
      contents: new Map(images.flatMap(({ contents }) => [...contents])),
      offers: [],
      list: () => {
        asks.push(story.world.monotonic());
        return new Promise(() => undefined);
      },
    });
    const node = await story.reader(SIGNED);
    for (const image of images) node.keep(image);
    await story.world.advance(ms + 10_000);
    assert.equal(asks.filter(at => at === asks[0]).length, together);
    // A silent node is waited for 2 s.
    assert.equal(asks.length, together * Math.ceil(ms / 2_000));
  }),
  'judging-rests': async ({ numbers: [most] }) => {
    let [now, rested] = [0, 0];
    const sleep = async (ms: number): Promise<void> => void (rested += ms);
    const pace = new Pace({ monotonic: () => now, sleep }, () => true, new AbortController().signal);
    for (let worked = 0; worked < 2 * most; worked += 10) await pace.after(async () => void (now += 10));
    assert.equal(rested, most);
  },
  admitted: async ({ numbers: [most], codes: [code] }) => {
    const admitted = await Admitted.open(memoryKeep());
    const policy = { hash: 'h', expiresAt: 1, onExpiry: 'freeze' } as unknown as Policy;
    const closure = (at: number) => ({
      reference: parseTagReference(`r.test/a:${String(at).padStart(6, '0')}`),
      target: IMAGE.target,
      contents: [IMAGE.target],
    });
    const of = (at: number): boolean =>
      admitted.over({ allowed: false, code, rule: 'a', detail: '' }, { ...closure(at).reference, digest }, policy, 0)
        .allowed;
    await admitted.save(list(most + 1, closure), policy, () => undefined);
    assert.deepEqual([of(0), of(most - 1), of(most)], [true, true, false]);
  },
};
