/**
 * Streams of the control connection whose other side says anything: greeting, sync, questions, lane keys. Each ends by
 * itself, by a code of the table, and where a rule was broken its record names the peer and the same code.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Code, MirrorError } from '../../src/errors.ts';
import { digestOf } from '../../src/oci/oci.ts';
import { OFFER_REQUEST } from '../../src/peers/frame.ts';
import { encodeHeads, parseHeads } from '../../src/peers/heads.ts';
import { encodeItem } from '../../src/peers/intake.ts';
import { LANE_PROTOCOL } from '../../src/peers/lane-offer.ts';
import { DOUBT_PROTOCOL, PROOF_PROTOCOL } from '../../src/peers/questions.ts';
import { SYNC_PROTOCOL } from '../../src/peers/sync.ts';
import type { Stream } from '../../src/peers/wire.ts';
import { makeCluster } from '../support/cluster.ts';
import { controlRoom } from '../support/control-room.ts';
import { fuzz, fuzzAsync, refusedOr, refusedOrLater, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';
import { streamPair } from '../support/lane-pair.ts';

smallAtTheEnd();

const { signal } = new AbortController();
const cluster = await makeCluster({ nodes: ['here', 'evil'] });
const [here, evil] = [cluster.node('here'), cluster.node('evil')];
const hello = Buffer.from('{"greeting":1,"roster":1}');
const heads = encodeHeads({
  roster: 1,
  peers: new Map([
    [
      evil.peer,
      { credential: 5, node: { start: 1, seq: 2 }, holdings: { start: 1, state: 2, head: 3 }, tags: undefined },
    ],
  ]),
});
const digest = Buffer.from(digestOf(Buffer.from('x')));

const node = () => controlRoom(here, [evil]);

/** Says `frames` to `answer` and ends; answers with what it refused with, if it did. */
async function say(
  frames: readonly Uint8Array[],
  answer: (stream: Stream) => Promise<unknown>,
): Promise<Code | undefined> {
  const [near, far] = streamPair();
  for (const frame of frames) await near.send(frame);
  await near.close();
  let code: Code | undefined;
  await refusedOrLater(() =>
    answer(far).catch((error: unknown) => {
      if (error instanceof MirrorError) code = error.code;
      throw error;
    }),
  );
  return code;
}

const frames = (...good: readonly Uint8Array[]): fc.Arbitrary<readonly Uint8Array[]> => {
  const frame = fc.oneof(fc.constantFrom(...good), spoilt(...good), fc.uint8Array({ maxLength: 200 }));
  return fc.oneof(
    fc.array(frame, { maxLength: 5 }),
    fc.tuple(fc.nat(good.length - 1), frame).map(([at, other]) => good.map((one, i) => (i === at ? other : one))),
  );
};

void test('whoever greets otherwise than a member does is refused, and recorded with the code', async () => {
  const { greet, records } = await node();
  const roster = Buffer.from(await cluster.signRoster({ seq: 2 }));
  const welcome = Uint8Array.of(1);
  const credential = Buffer.from(evil.credential);
  const meant = (said: readonly Uint8Array[]): boolean =>
    said.length >= 3 &&
    Buffer.from(said[0]!).equals(hello) &&
    Buffer.from(said[1]!).equals(credential) &&
    said[2]![0] === 1 &&
    said[2]!.length === 1;
  await fuzzAsync(
    fc.asyncProperty(
      fc.oneof(
        frames(hello, credential, welcome),
        frames(Buffer.from('{"greeting":1,"roster":2}'), roster, credential, welcome),
      ),
      async said => {
        const count = records.length;
        const code = await say(said, far => greet(evil.peer, far, '10.0.0.9:1', signal));
        const [first] = records.slice(count);
        if (meant(said)) assert.equal(code, undefined);
        if (code === undefined) return assert.equal(first?.event, 'peer.admitted');
        // Refused before it was admitted, with a record; or it left before its welcome.
        if (first?.event === 'peer.refused') assert.equal(first.code, code);
        else assert.ok(first?.event === 'peer.admitted' || code === 'PEER_REFUSED', code);
      },
    ),
    600,
  );
});

for (const [protocol, good] of [
  [SYNC_PROTOCOL, [heads, encodeItem('credential', evil.credential), encodeItem('roster', cluster.roster)]],
  [PROOF_PROTOCOL, [digest]],
  [DOUBT_PROTOCOL, [digest]],
  [LANE_PROTOCOL, [OFFER_REQUEST]],
] as const)
  void test(`a stream of ${protocol} ends, whatever is said on it`, async () => {
    const { answer, records, world } = await node();
    await fuzzAsync(
      fc.asyncProperty(frames(...good), async said => {
        await world.advance(10_000);
        const count = records.length;
        const code = await say(said, far => answer(protocol, evil.peer, far));
        const kind = code && new MirrorError(code, '').kind;
        // A peer that broke a rule is on record; one that went away is not.
        if (kind === 'hostile' || kind === 'denied' || code === 'DIGEST_INVALID')
          assert.ok(
            records.slice(count).some(record => record.code === code || record.event.endsWith('.refused')),
            String(code),
          );
      }),
      300,
    );
  });

void test('heads are the one way to write what they say, or refused', () => {
  const parsed = JSON.parse(Buffer.from(heads).toString()) as object;
  const hostile = fc.oneof(
    spoilt(heads),
    twisted(parsed).map(value => Buffer.from(JSON.stringify(value))),
    fc.constant(Buffer.from(`${Buffer.from(heads).toString()} `)),
  );
  fuzz(
    fc.property(hostile, bytes => {
      const read = refusedOr(() => parseHeads(bytes));
      if (read) assert.deepEqual(Buffer.from(encodeHeads(read)), Buffer.from(bytes));
    }),
  );
});
