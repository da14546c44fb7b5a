/** A member that lies: what it hands over is judged by its signatures, dates and numbers, and each refusal is recorded. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Digest, Role } from '../../src/oci/oci.ts';
import type { Body } from '../../src/peers/bodies.ts';
import { KINDS } from '../../src/peers/envelope.ts';
import { TOPIC } from '../../src/peers/gossip.ts';
import { encodeItem, ITEM_MAX_BYTES } from '../../src/peers/intake.ts';
import { DOUBT_PROTOCOL, PROOF_PROTOCOL } from '../../src/peers/questions.ts';
import { SYNC_PROTOCOL } from '../../src/peers/sync.ts';
import type { ControlWire } from '../../src/peers/wire.ts';
import { eventually } from '../conformance/wire.ts';
import { content, Ground, type TestNode } from '../peers/ground.ts';
import { drain, hostileMember, type HostileMember, LOOSE } from './hostile-member.ts';

const live = (): AbortSignal => new AbortController().signal;
const node = (port: number): Body => ({ kind: 'node', body: { addresses: [], lanePort: port } });

void describe('from a member that lies', () => {
  let ground: Ground;
  let victim: TestNode;
  let friend: TestNode;
  const wires: ControlWire[] = [];
  before(async () => {
    ground = await Ground.make();
    victim = await ground.start('victim');
    friend = await ground.start('friend', { bootstrap: victim.peers.addresses });
  });
  after(async () => {
    await Promise.all(wires.map(wire => wire.close()));
    await ground.end();
  });

  const liar = async (name: string, roles?: readonly Role[]): Promise<HostileMember> => {
    const member = await hostileMember(ground, victim, name, roles);
    wires.push(member.wire);
    return member;
  };

  void it('a statement in the name of another', async () => {
    const evil = await liar('mimic');
    await evil.sync(evil.say(node(1), 1, { as: friend.node, start: friend.node.self.start + 1 }));
    await evil.recorded('node STATEMENT_INVALID');
  });

  void it('statements that were replaced, of an earlier start, or ended', async () => {
    const evil = await liar('replayer');
    await evil.sync(evil.say(node(5), 5, { start: 2 }));
    await evil.sync(evil.say(node(1), 9, { start: 1 }));
    await evil.recorded('node STATEMENT_REPLAYED');
    await evil.sync(evil.say({ kind: 'tags', body: { tags: [] } }, 6, { start: 2, notAfter: Date.now() - 1 }));
    await evil.recorded('tags STATEMENT_REPLAYED');
  });

  void it('statements from the future', async () => {
    const evil = await liar('prophet');
    await evil.sync(evil.say(node(5), 5, { notAfter: Date.now() + 2 * KINDS.node.validityMs }));
    await evil.recorded('node STATEMENT_FUTURE');
    const digest = content(1).holding.digest;
    const seen = Date.now() + 3_600_000;
    const reference = { registry: 'r.example', repository: 'a', tag: '1' } as never;
    await evil.sync(
      evil.say({ kind: 'tags', body: { tags: [{ reference, digest, observedAt: seen, renewedAt: seen }] } }, 6),
    );
    await evil.recorded('tags STATEMENT_FUTURE');
    assert.equal(victim.peers.statedTags().length, 0);
  });

  void it('statements that are not written in the one way, and items of no known type', async () => {
    const evil = await liar('scribbler');
    const item = evil.say(node(5), 5);
    await evil.sync(Buffer.concat([item, Buffer.from(' ')]), Uint8Array.of(0x7a, 1, 2));
    await evil.recorded('node STATEMENT_INVALID');
    await evil.recorded('item FRAME_INVALID');
  });

  void it('rosters and credentials that the issuer did not sign', async () => {
    const evil = await liar('forger');
    const forged = await ground.cluster.forged('somebody');
    await evil.sync(encodeItem('credential', forged.credential), encodeItem('roster', 'no.ro.ster'));
    await evil.recorded('credential CREDENTIAL_INVALID');
    await eventually(
      () => victim.records.some(event => event.event === 'roster.refused' && event.source === evil.node.peer),
      'the roster is recorded',
    );
  });

  void it('gossip that does not hold, which nobody passes on', async () => {
    const evil = await liar('gossiper');
    evil.wire.subscribe(TOPIC, async () => 'ignore');
    const forged = evil.say(node(1), 77, { as: friend.node, start: friend.node.self.start + 1 });
    for (let n = 0; n < 100 && !evil.refusals().includes('node STATEMENT_INVALID'); n++) {
      await evil.wire.publish(TOPIC, forged);
      await evil.wire.publish(TOPIC, evil.say(node(n), n + 1, { as: friend.node, start: friend.node.self.start + 1 }));
      await new Promise(resolve => setTimeout(resolve, 50));
    }
    await evil.recorded('node STATEMENT_INVALID');
    assert.ok(!friend.records.some(event => event.event === 'statement.refused' && event.peer === victim.peer));
  });

  void it('a flood of its own statements', async () => {
    const evil = await liar('flooder');
    await evil.sync(...Array.from({ length: 200 }, (_, i) => evil.say(node(i), i + 1)));
    await evil.recorded('node LIMIT_EXCEEDED');
    await evil.recorded('sync LIMIT_EXCEEDED');
  });

  void it('more syncs than are due', async () => {
    const evil = await liar('eager');
    for (let i = 0; i < 10; i++) await evil.sync().catch(() => undefined);
    await evil.recorded('sync LIMIT_EXCEEDED');
  });

  void it('heads and frames over their bounds', async () => {
    const evil = await liar('bloated');
    const stream = await evil.wire.open(victim.peer, SYNC_PROTOCOL, LOOSE, live());
    await stream.send(new Uint8Array((1 << 20) + 1));
    await drain(stream);
    await evil.recorded('sync LIMIT_EXCEEDED');
    const other = await liar('bloated2');
    const long = await other.wire.open(victim.peer, SYNC_PROTOCOL, LOOSE, live());
    await long.send(new Uint8Array(ITEM_MAX_BYTES + 1)).catch(() => undefined);
    await drain(long);
    await other.recorded('sync LIMIT_EXCEEDED');
    const third = await liar('bloated3');
    const junk = await third.wire.open(victim.peer, SYNC_PROTOCOL, LOOSE, live());
    await junk.send(Buffer.from('{"sync":1,"roster":1,"peers":[[1]]}'));
    await drain(junk);
    await third.recorded('sync STATEMENT_INVALID');
  });

  void it('more streams than it may have', async () => {
    const evil = await liar('octopus');
    const streams = await Promise.all(
      Array.from({ length: 4 }, () => evil.wire.open(victim.peer, SYNC_PROTOCOL, LOOSE, live())),
    );
    await evil.recorded('peer LIMIT_EXCEEDED');
    for (const stream of streams) stream.abort(new Error('done'));
  });

  void it('questions without the role, of no digest, and too many doubts', async () => {
    const ask = (who: HostileMember, protocol: string, question: string): Promise<void> =>
      who.ask(protocol, Buffer.from(question));
    const digest: Digest = content(1).holding.digest;
    const mute = await liar('mute', ['serve']);
    await ask(mute, PROOF_PROTOCOL, digest);
    await mute.recorded('peer ROLE_MISSING');
    const evil = await liar('doubter');
    await ask(evil, PROOF_PROTOCOL, 'sha256:../../etc/passwd');
    await evil.recorded('peer DIGEST_INVALID');
    for (let i = 0; i < 9; i++) await ask(evil, DOUBT_PROTOCOL, digest);
    await evil.recorded('peer LIMIT_EXCEEDED');
    assert.equal(victim.doubts.filter(([who]) => who === evil.node.peer).length, 8);
  });
});
