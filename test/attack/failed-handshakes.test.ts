/** Handshakes that fail, one after the other: soon their host gets none any more, which is on record, and others do. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { PeerId } from '../../src/oci/oci.ts';
import { FAILED_HANDSHAKES } from '../../src/peers/knocks.ts';
import { createLaneWire } from '../../src/peers/wire-lane.ts';
import { createControlWire } from '../../src/peers/wire-libp2p.ts';
import type { LaneSocket } from '../../src/peers/wire.ts';
import { realWorld } from '../../src/world.ts';
import { until } from '../support/lane-pair.ts';
import { tryControl, tryLane } from '../support/refused-handshakes.ts';

/** Loopback has many addresses: the attacker has one of its own. */
const ATTACKER = '127.0.0.2';
/** The bucket fills while it is emptied; so many more attempts than its burst are enough on a slow machine too. */
const ATTEMPTS_MAX = 10 * FAILED_HANDSHAKES.burst;

let life = new AbortController();
let ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  life.abort();
  for (const end of ends) await end();
  ends = [];
  life = new AbortController();
});

/** Refusals of the attacker's host, by code. */
class Refusals {
  readonly codes: Record<string, number> = {};
  readonly note = (address: string, { code }: { readonly code: string }): void => {
    assert.ok(address.startsWith(ATTACKER), address);
    this.codes[code] = (this.codes[code] ?? 0) + 1;
  };
}

/** Knocks until the port turns the attacker away. */
async function wearOut(attempt: typeof tryControl, port: number, refusals: Refusals): Promise<void> {
  for (let at = 0; at < ATTEMPTS_MAX && !refusals.codes['LIMIT_EXCEEDED']; at++)
    await attempt('127.0.0.1', port, { localAddress: ATTACKER });
}

void test('on the control port: the host gets no handshake, and a node on another host connects', async () => {
  const refusals = new Refusals();
  const wire = (seed: number, refused?: Refusals) =>
    createControlWire({
      seed: Buffer.alloc(32, seed),
      prologue: Buffer.from('pinnace/1/test'),
      listen: '127.0.0.1:0',
      greet: () => Promise.resolve(),
      world: realWorld,
      signal: life.signal,
      ...(refused ? { refused: refused.note } : {}),
    });
  const [victim, honest] = [await wire(1, refusals), await wire(2)];
  ends = [() => victim.close(), () => honest.close()];
  const [address = ''] = victim.addresses;
  await wearOut(tryControl, Number(address.split(':')[1]), refusals);
  assert.ok(refusals.codes['PEER_REFUSED']! >= FAILED_HANDSHAKES.burst, JSON.stringify(refusals.codes));
  assert.ok(refusals.codes['LIMIT_EXCEEDED']! >= 1, JSON.stringify(refusals.codes));
  await honest.dial(address, life.signal);
  // The dialler has its link first; were it closed then, the other side would rightly tell of a handshake that failed.
  await until(() => victim.links().length === 1);
});

void test('on the port of lanes: the host gets no handshake, and a lane from another host opens', async () => {
  const refusals = new Refusals();
  const [peer, key] = ['reader' as PeerId, Buffer.alloc(32, 7)];
  const opened: LaneSocket[] = [];
  const wire = createLaneWire({ world: realWorld });
  const listener = await wire.listen(
    '127.0.0.1:0',
    identity => (identity === 'live' ? { key, peer } : undefined),
    socket => void opened.push(socket),
    refusals.note,
  );
  ends = [() => listener.close()];
  await wearOut(tryLane, listener.port, refusals);
  assert.ok(refusals.codes['LANE_REFUSED']! >= FAILED_HANDSHAKES.burst, JSON.stringify(refusals.codes));
  assert.ok(refusals.codes['LIMIT_EXCEEDED']! >= 1, JSON.stringify(refusals.codes));
  const lane = await wire.dial(`127.0.0.1:${listener.port}`, 'live', key, life.signal);
  ends.unshift(() => Promise.resolve(lane.destroy()));
  await until(() => opened.length === 1);
});
