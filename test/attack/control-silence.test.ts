/** Peers that connect to the control plane and say nothing: bounded, recorded, and no honest node is kept out by them. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { parseAddress } from '../../src/peers/address.ts';
import { PENDING_MAX } from '../../src/peers/inbound-handshakes.ts';
import { eventually } from '../conformance/wire.ts';
import { Ground, type TestNode } from '../peers/ground.ts';

const OWN_HOST = '127.0.0.1';
const OTHER_HOST = '127.0.0.9';

void describe('a peer that connects and says nothing', { concurrency: true }, () => {
  let ground: Ground;
  const silent: Socket[] = [];
  before(async () => {
    ground = await Ground.make();
  });
  after(async () => {
    for (const socket of silent) socket.destroy();
    await ground.end();
  });

  /** Opens `count` connections from `localAddress`; answers how many of them have ended. */
  function say(nothing: string, to: TestNode, count: number, localAddress: string): () => number {
    let ended = 0;
    const { host, port } = parseAddress(to.peers.addresses[0]!);
    for (let at = 0; at < count; at++) {
      const socket = connect({ host, port, localAddress });
      socket.on('error', () => undefined);
      socket.once('close', () => ended++);
      socket.resume();
      if (nothing) socket.write(nothing);
      silent.push(socket);
    }
    return () => ended;
  }

  const codes = ({ records }: TestNode): string[] =>
    records.flatMap(e => (e.event === 'peer.refused' ? [`${e.address.split(':')[0]} ${e.code}`] : []));

  /** Six more from `host` than there are places, then an honest node, then as many again; what the six left on record. */
  const crowd = async (host: string): Promise<readonly string[]> => {
    const victim = await ground.start(`victim-${host.at(-1)}`);
    const ended = say('', victim, PENDING_MAX + 6, host);
    await eventually(() => ended() === 6, 'the oldest have made room');
    const recorded = codes(victim);
    const honest = await ground.start(`honest-${host.at(-1)}`, { bootstrap: victim.peers.addresses });
    await eventually(() => honest.peers.status().some(({ connected }) => connected), 'the honest node is linked');
    assert.equal(ended(), 7);
    // A link is no handshake any more, and stays.
    const more = say('', victim, PENDING_MAX, host);
    await eventually(() => ended() + more() === PENDING_MAX + 6, 'all places are taken again');
    assert.ok(victim.peers.status().some(({ connected }) => connected));
    return recorded;
  };

  void it('from another host does not keep an honest node out', async () => {
    assert.deepEqual(
      await crowd(OTHER_HOST),
      Array.from({ length: 6 }, () => `${OTHER_HOST} LIMIT_EXCEEDED`),
    );
  });

  void it('from the host of an honest node does not keep that out', async () => {
    assert.deepEqual(
      await crowd(OWN_HOST),
      Array.from({ length: 6 }, () => `${OWN_HOST} LIMIT_EXCEEDED`),
    );
  });

  void it('is left when the time of a greeting has passed, and recorded', async () => {
    const victim = await ground.start('patient');
    const ended = [say('', victim, 1, OTHER_HOST), say('\x13/multistream/1.0.0\n', victim, 1, OTHER_HOST)];
    // The time-outs of these two moments are libp2p's own: six seconds by the machine's clock.
    for (const end = performance.now() + 8_000; ended.some(one => one() === 0) && performance.now() < end; )
      await new Promise(resolve => setTimeout(resolve, 50));
    await eventually(() => codes(victim).length === 2, 'both are recorded');
    assert.deepEqual(codes(victim), [`${OTHER_HOST} HANDSHAKE_TIMEOUT`, `${OTHER_HOST} HANDSHAKE_TIMEOUT`]);
  });
});
