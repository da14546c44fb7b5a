/** Tries of the limits on questions, and on what is told one node alone. */
import assert from 'node:assert/strict';
import { encodeSigned, parseSigned, signStatement } from '../../src/peers/envelope.ts';
import { encodeMark, KNOWN, LIMITED_PROTOCOL, SEND } from '../../src/peers/hearing.ts';
import type { Referrer } from '../../src/peers/peers.ts';
import { DOUBT_PROTOCOL, PROOF_PROTOCOL, REFERRERS_PROTOCOL } from '../../src/peers/questions.ts';
import { encodeReferrers, parseReferrers } from '../../src/peers/referrers.ts';
import { Telling } from '../../src/peers/telling.ts';
import type { ControlWire, Stream } from '../../src/peers/wire.ts';
import { ask, evil, here, holdings, parsed, rated, room, said, saying, silent, streams } from './member.ts';
import { refused, type Row, type Tries } from './table.ts';

/** A peer that asks too much at once, too often, or says nothing. */
async function questions({ numbers: [many, burst, perSecond, ms], codes: [code, late] }: Row, protocol: string) {
  await streams(protocol, many, code);
  const on = await room();
  await rated(on.world, burst, 1000 / perSecond, () => ask(on, protocol));
  assert.equal(on.records.at(-1)!.code, code);
  await on.world.advance(60_000);
  await silent(on, protocol, ms, late!);
}

/** What `here` tells of so many limited holdings: bytes of its statement, and warnings. */
async function telling(count: number) {
  const { world, members } = await room();
  const sent: Uint8Array[] = [];
  const warned: string[] = [];
  const answers = [SEND, KNOWN];
  const stream = {
    send: async (frame: Uint8Array) => void sent.push(frame),
    receive: async () => Uint8Array.of(answers.shift()!),
    close: async () => undefined,
    abort: () => undefined,
  } as Stream;
  const wire = { links: () => [{ peer: evil.peer }], open: async () => stream } as unknown as ControlWire;
  const { signal } = new AbortController();
  const log = (level: string, text: string): void => void (level === 'warn' && warned.push(text));
  new Telling({ world, wire, members, self: here.self, record: async () => undefined, log, signal }).hold(
    holdings(count).map(one => ({ ...one, audience: () => true })),
  );
  await world.settle();
  return { statement: parseSigned(sent[1]!).statement, warned };
}

export const questionTries: Tries = {
  'proof-questions': row => questions(row, PROOF_PROTOCOL),
  'referrer-questions': row => questions(row, REFERRERS_PROTOCOL),
  'peer-doubts': async ({ numbers: [many, burst, ms], codes: [code] }) => {
    await streams(DOUBT_PROTOCOL, many, code);
    const on = await room();
    await rated(on.world, burst, ms, () => ask(on, DOUBT_PROTOCOL));
    assert.equal(on.records.at(-1)!.code, code);
  },
  referrers: ({ numbers: [most, bytes], codes: [code] }) => {
    const list = (count: number, size = 1): Referrer[] =>
      holdings(count).map(({ digest }) => ({ bond: 'subject', digest, size }));
    const frame = (referrers: readonly Referrer[]): Buffer =>
      Buffer.from(JSON.stringify({ referrers: referrers.map(({ digest, bond, size }) => [digest, bond, size]) }));
    assert.equal(parseReferrers(encodeReferrers(list(most + 1))).length, most);
    assert.equal(parseReferrers(frame(list(most))).length, most);
    refused(code, () => parseReferrers(frame(list(most + 1))));
    parseReferrers(frame(list(1, bytes)));
    refused(code, () => parseReferrers(frame(list(1, bytes + 1))));
    assert.equal(parseReferrers(encodeReferrers(list(1, bytes + 1))).length, 0);
  },
  'limited-holdings': async ({ numbers: [most, ms], codes: [code, future] }) => {
    for (const [count, warns] of [
      [most, false],
      [most + 1, true],
    ] as const) {
      const { statement, warned } = await telling(count);
      assert.ok(statement.kind === 'limited');
      assert.deepEqual([statement.body.entries.length, warned.length > 0], [most, warns]);
    }
    const limited = (count: number, seq = 1, notAfter = 1) =>
      said({ kind: 'limited', body: { audience: here.peer, entries: holdings(count) } }, seq, notAfter);
    parsed(limited(most));
    refused(code, () => parsed(limited(most + 1)));
    const { table, world } = await room();
    const take = (seq: number, ahead: number): void => {
      const signed = signStatement(limited(1, seq, world.now() + ahead), bytes => evil.self.sign(bytes));
      table.limited.take(encodeSigned(signed), evil.peer);
    };
    // Clocks may differ by a minute.
    take(1, ms + 60_000);
    refused(future!, () => take(2, ms + 60_001));
  },
  'limited-lists': async ({ numbers: [many, burst, perSecond, ms], codes: [code, late] }) => {
    await streams(LIMITED_PROTOCOL, many, code);
    const on = await room();
    const mark = encodeMark({ start: 1, seq: 1 });
    await rated(on.world, burst, 1000 / perSecond, () => on.answer(LIMITED_PROTOCOL, evil.peer, saying([mark])));
    assert.equal(on.records.at(-1)!.code, code);
    await on.world.advance(60_000);
    await silent(on, LIMITED_PROTOCOL, ms, late!);
  },
};
