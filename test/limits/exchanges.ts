/** Tries of the limits on gossip, syncs and exchanges of policies. */
import assert from 'node:assert/strict';
import type { PeerId } from '../../src/oci/oci.ts';
import { encodeStatement } from '../../src/peers/envelope.ts';
import { POLICY_TOPIC } from '../../src/peers/gossip.ts';
import { encodeItem } from '../../src/peers/intake.ts';
import { Links } from '../../src/peers/links.ts';
import { Policies } from '../../src/peers/policies.ts';
import { encodePolicyHead, POLICY_PROTOCOL } from '../../src/peers/policy-exchange.ts';
import { SYNC_PROTOCOL } from '../../src/peers/sync.ts';
import type { ControlWire } from '../../src/peers/wire.ts';
import { is, type Tries } from './table.ts';
import {
  cluster,
  evil,
  room,
  said,
  sealed,
  soon,
  saying,
  times,
  HEADS,
  synced,
  rated,
  silent,
  streams,
  tagsOf,
} from './member.ts';

export const exchangeTries: Tries = {
  'statement-rate': async ({ numbers: [burst, perSecond], codes: [code] }) => {
    const { intake, world, records } = await room();
    let seq = 0;
    const say = (): Promise<unknown> =>
      intake.take(
        sealed(said({ kind: 'node', body: { addresses: [], lanePort: 1 } }, ++seq, soon(world))),
        evil.peer,
        'sync',
      );
    await rated(world, burst, 1000 / perSecond, say);
    assert.equal(records.at(-1)!.code, code);
  },
  'gossip-bytes': async ({ numbers: [most], codes: [code] }) => {
    const { heard, records } = await room();
    await heard(evil.peer, Buffer.alloc(most));
    assert.equal(records.at(-1)!.code, 'FRAME_INVALID');
    await heard(evil.peer, Buffer.alloc(most + 1));
    assert.equal(records.at(-1)!.code, code);
  },
  'gossip-rate': async ({ numbers: [burst, perSecond], codes: [code] }) => {
    const { heard, records, cut, world } = await room();
    const known = encodeItem('roster', cluster.roster);
    const hear = async (): Promise<void> => {
      const before = cut.length;
      await heard(evil.peer, known);
      if (cut.length > before) throw new Error('the connection was ended');
    };
    await rated(world, burst, 1000 / perSecond, hear);
    assert.deepEqual([records.at(-1)!.code, cut[0]], [code, evil.peer]);
  },
  'heads-bytes': async ({ numbers: [most], codes: [code] }) => {
    for (const [length, expected] of [
      [most, 'STATEMENT_INVALID'],
      [most + 1, code],
    ] as const) {
      const { answer, records } = await room();
      await assert.rejects(answer(SYNC_PROTOCOL, evil.peer, saying([Buffer.alloc(length, ' ')])), is(expected));
      assert.equal(records.at(-1)!.code, expected);
    }
  },
  'sync-time': async ({ numbers: [ms], codes: [code] }) => {
    const { answer, world } = await room();
    let error: unknown;
    answer(SYNC_PROTOCOL, evil.peer, saying([HEADS], false)).catch((reason: unknown) => (error = reason));
    await world.advance(ms - 1);
    assert.equal(error, undefined);
    await world.advance(1);
    assert.ok(is(code)(error));
  },
  'sync-items': async ({ numbers: [items, bytes], codes: [code] }) => {
    const stranger = cluster.node('stranger');
    // Of somebody who is not known here: judged, and left.
    const small = sealed(said({ kind: 'holdings-head', body: { of: 1 } }, 1, 9, stranger), stranger);
    const statement = encodeStatement({ ...tagsOf(2 << 20), signer: stranger.peer });
    const large = encodeItem('statement', Buffer.concat([new Uint8Array(64), statement]));
    for (const [item, fit] of [
      [small, items],
      [large, Math.floor(bytes / large.length)],
    ] as const) {
      let taken = 0;
      const all = (function* () {
        for (; ; taken++) yield item;
      })();
      await assert.rejects(synced(all), is(code));
      assert.equal(taken, fit, 'so many were taken before the one that was too much');
    }
  },
  'sync-refusals': async ({ numbers: [most], codes: [code] }) => {
    const nonsense = Uint8Array.of(0x7a);
    await synced(times(most - 1, nonsense));
    await assert.rejects(synced(times(most, nonsense)), is(code));
  },
  'sync-rate': async ({ numbers: [many, burst, ms], codes: [code] }) => {
    await streams(SYNC_PROTOCOL, many, code);
    const { answer, world, records } = await room();
    await rated(world, burst, ms, () => answer(SYNC_PROTOCOL, evil.peer, saying([HEADS])));
    assert.equal(records.at(-1)!.code, code);
  },
  'policy-exchanges': async ({ numbers: [many, burst, every, ms], codes: [code, late] }) => {
    await streams(POLICY_PROTOCOL, many, code);
    const on = await room();
    await rated(on.world, burst, every, () => on.answer(POLICY_PROTOCOL, evil.peer, saying([encodePolicyHead(0)])));
    assert.equal(on.records.at(-1)!.code, code);
    await on.world.advance(60_000);
    await silent(on, POLICY_PROTOCOL, ms, late!);
  },
  'policy-gossip': async ({ numbers: [burst, perSecond], codes: [code] }) => {
    const { world, members, intake, records } = await room();
    const cut: PeerId[] = [];
    let judge: Parameters<ControlWire['subscribe']>[1] = async () => 'ignore';
    const wire = {
      handle: () => undefined,
      subscribe: (topic: string, on: typeof judge) => void (topic === POLICY_TOPIC && (judge = on)),
      disconnect: async (peer: PeerId) => void cut.push(peer),
    } as unknown as ControlWire;
    const [{ signal }, nothing] = [new AbortController(), () => undefined];
    const links = new Links(world, wire);
    new Policies({ world, wire, members, intake, links, log: nothing, taken: nothing, signal }).start();
    const hear = async (): Promise<void> => {
      const before = cut.length;
      await judge(evil.peer, encodeItem('policy', 'nonsense'));
      if (cut.length > before) throw new Error('the connection was ended');
    };
    await rated(world, burst, 1000 / perSecond, hear);
    assert.equal(records.filter(record => record.code === code).length, cut.length);
    assert.equal(cut[0], evil.peer);
  },
  'policy-again': async ({ numbers: [ms] }) => {
    const on = await room();
    const bring = async (): Promise<number> => {
      const frames = [encodePolicyHead(9), encodeItem('roster', 'no policy')];
      await on.answer(POLICY_PROTOCOL, evil.peer, saying(frames)).catch(() => undefined);
      return on.records.filter(({ code }) => code === 'BUNDLE_INVALID').length;
    };
    assert.equal(await bring(), 1);
    await on.world.advance(ms - 1);
    assert.equal(await bring(), 1);
    await on.world.advance(1);
    assert.equal(await bring(), 2);
  },
};
