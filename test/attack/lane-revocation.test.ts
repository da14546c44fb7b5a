/** A node that was shut out: its open lanes end at once, and keys that it still has in hand open none. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { OFFER_REQUEST, parseOffer } from '../../src/peers/frame.ts';
import { laneKey } from '../../src/peers/lane-keys.ts';
import { LANE_PROTOCOL } from '../../src/peers/lane-offer.ts';
import { createLaneWire } from '../../src/peers/wire-lane.ts';
import { realWorld } from '../../src/world.ts';
import { eventually } from '../conformance/wire.ts';
import { Ground } from '../peers/ground.ts';
import { hostileMember, LOOSE } from './hostile-member.ts';

const live = (): AbortSignal => new AbortController().signal;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise(resolve => server.close(resolve));
  return port;
}

void test('revocation ends the open lanes of a node and the keys that it has not used, and both are recorded', async () => {
  const ground = await Ground.make();
  const lanePort = await freePort();
  const victim = await ground.start('victim', { config: { lanePort } });
  const evil = await hostileMember(ground, victim, 'evil');
  const offer = async (): Promise<{ identity: string; key: Uint8Array }> => {
    const stream = await evil.wire.open(victim.peer, LANE_PROTOCOL, LOOSE, live());
    await stream.send(OFFER_REQUEST);
    const offered = parseOffer((await stream.receive())!);
    assert.ok(!('refused' in offered));
    const identity = Buffer.from(offered.identity).toString('hex');
    return { identity, key: laneKey(offered.key, evil.node.peer, victim.peer) };
  };
  const lanes = createLaneWire({ world: realWorld });
  const dial = async () => {
    const { identity, key } = await offer();
    return lanes.dial(`127.0.0.1:${lanePort}`, identity, key, live());
  };
  try {
    const open = [await dial(), await dial()];
    let closed = 0;
    for (const lane of open) {
      lane.receive(() => true);
      void lane.closed.then(() => closed++);
    }
    const kept = await offer();
    const count = (): number => victim.peers.status().find(peer => peer.node.peer === evil.node.peer)?.lanes ?? 0;
    await eventually(() => count() === 2, 'both lanes are open');

    await victim.members.offerRoster(await ground.cluster.signRoster({ seq: 2, revoked: ['evil'] }));
    await eventually(() => closed === open.length, 'its lanes end long before they would for want of requests');
    await eventually(() => victim.records.some(e => e.event === 'peer.revoked'), 'the revocation is recorded');
    assert.ok(!victim.records.some(e => e.event === 'peer.refused'));
    await assert.rejects(offer());
    const late = lanes.dial(`127.0.0.1:${lanePort}`, kept.identity, kept.key, live());
    await assert.rejects(late, error => hasCode(error, 'LANE_REFUSED'));
    await eventually(() => victim.records.some(e => e.event === 'peer.refused'), 'the refusal is recorded');
    assert.deepEqual(
      victim.records.flatMap(e => (e.event === 'peer.refused' ? [[e.address, e.code]] : [])),
      [['127.0.0.1', 'LANE_REFUSED']],
    );
    assert.deepEqual(victim.records.find(e => e.event === 'peer.revoked')?.peer, evil.node.peer);
  } finally {
    await evil.wire.close();
    await ground.end();
  }
});
