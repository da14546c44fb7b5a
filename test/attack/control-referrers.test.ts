/**
 * Members that lie about what is told beside statements: they ask without a right, answer nonsense, pass on what was told
 * to one reader, and forge it. Each is refused by its code and recorded, and learns nothing.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it, test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import { digestOf, type Role } from '../../src/oci/oci.ts';
import type { Body } from '../../src/peers/bodies.ts';
import { TOPIC } from '../../src/peers/gossip.ts';
import { encodeMark, LIMITED_PROTOCOL, LIMITED_RATE } from '../../src/peers/hearing.ts';
import { encodeItem, POLICY_MAX_BYTES } from '../../src/peers/intake.ts';
import type { Holding } from '../../src/peers/peers.ts';
import { encodePolicyHead, POLICY_PROTOCOL, POLICY_RATE } from '../../src/peers/policy-exchange.ts';
import { REFERRERS_PROTOCOL } from '../../src/peers/questions.ts';
import { encodeReferrers } from '../../src/peers/referrers.ts';
import type { ControlWire } from '../../src/peers/wire.ts';
import { eventually } from '../conformance/wire.ts';
import { content, Ground, type TestNode } from '../peers/ground.ts';
import { makeCluster } from '../support/cluster.ts';
import { controlRoom } from '../support/control-room.ts';
import { streamPair } from '../support/lane-pair.ts';
import { mentions } from '../support/tapped-wire.ts';
import { hostileMember, type HostileMember, LOOSE } from './hostile-member.ts';

const live = (): AbortSignal => new AbortController().signal;
const is = (code: Code) => (error: unknown) => hasCode(error, code);
const subject = digestOf(Buffer.from('subject'));
const artifact = { bond: 'subject', digest: digestOf(Buffer.from('artifact')), size: 500 } as const;

void describe('from a member that lies', () => {
  let ground: Ground;
  let victim: TestNode;
  let friend: TestNode;
  const wires: ControlWire[] = [];
  before(async () => {
    ground = await Ground.make();
    victim = await ground.start('victim', { referrers: of => (of === subject ? [artifact] : []) });
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

  /** What the victim answers on a stream on which `frames` were said. */
  async function answers(who: HostileMember, protocol: string, ...frames: readonly Uint8Array[]): Promise<string[]> {
    const stream = await who.wire.open(victim.peer, protocol, LOOSE, live());
    for (const frame of frames) await stream.send(frame).catch(() => undefined);
    await stream.close();
    const heard: string[] = [];
    for (;;) {
      const frame = await stream.receive().catch(() => undefined);
      if (!frame) return heard;
      heard.push(Buffer.from(frame).toString());
    }
  }

  void it('questions about a digest without the role, and of no digest', async () => {
    const mute = await liar('mute', ['serve']);
    assert.deepEqual(await answers(mute, REFERRERS_PROTOCOL, Buffer.from(subject)), []);
    await mute.recorded('peer ROLE_MISSING');
    const evil = await liar('asker');
    assert.deepEqual(await answers(evil, REFERRERS_PROTOCOL, Buffer.from(subject)), [
      Buffer.from(encodeReferrers([artifact])).toString(),
    ]);
    assert.deepEqual(await answers(evil, REFERRERS_PROTOCOL, Buffer.from('sha256:../../etc/passwd')), []);
    await evil.recorded('peer DIGEST_INVALID');
    await answers(evil, REFERRERS_PROTOCOL);
    await evil.recorded('peer FRAME_INVALID');
  });

  void it('answers that are no list, are too long, or never come', async () => {
    const evil = await liar('answerer');
    let next: Uint8Array | undefined;
    evil.wire.handle(REFERRERS_PROTOCOL, LOOSE, async stream => {
      await stream.receive();
      if (next) await stream.send(next);
    });
    const asked = () => victim.peers.referrers(evil.node.peer, subject, live());
    next = encodeReferrers([artifact]);
    assert.deepEqual(await asked(), [artifact]);
    const text = Buffer.from(next).toString();
    for (const nonsense of ['', '[]', `${text} `, text.replace('500', '1048577'), text.replace('subject', 'index')]) {
      next = Buffer.from(nonsense);
      await assert.rejects(asked(), is('FRAME_INVALID'), nonsense);
    }
    next = Buffer.alloc(1 << 20, 0x20);
    await assert.rejects(asked(), is('LIMIT_EXCEEDED'));
    next = undefined;
    await assert.rejects(asked(), is('PEER_UNREACHABLE'));
  });

  const held = content(7).holding;
  const body = (audience: TestNode | HostileMember, ...entries: Holding[]): Body => ({
    kind: 'limited',
    body: { audience: 'peers' in audience ? audience.peer : audience.node.peer, entries },
  });
  const found = (node: TestNode): number => node.peers.holders(held.digest).length;

  void it('lists for another reader, in the name of another, replayed, and passed on by sync or gossip', async () => {
    const evil = await liar('forger');
    const statement = (...said: Parameters<HostileMember['say']>): Uint8Array => evil.say(...said).subarray(1);
    const tell = (seq: number, bytes: Uint8Array): Promise<void> =>
      evil.ask(LIMITED_PROTOCOL, encodeMark({ start: 1, seq }), bytes);
    await tell(1, statement(body(friend, held), 1));
    await evil.recorded('limited STATEMENT_INVALID');
    await tell(2, statement(body(victim, held), 2, { as: friend.node }));
    await tell(3, statement({ kind: 'node', body: { addresses: [], lanePort: 1 } }, 3));
    assert.equal(found(victim), 0);
    await tell(9, statement(body(victim, held), 9));
    await eventually(() => found(victim) === 1, 'an honest one is taken');
    await tell(8, statement(body(victim), 8));
    await evil.recorded('limited STATEMENT_REPLAYED');
    assert.equal(found(victim), 1);
    await evil.sync(evil.say(body(victim, held), 10), evil.say(body(friend, held), 11));
    await evil.wire.publish(TOPIC, evil.say(body(victim, held), 12));
    const invalid = (): number => evil.refusals().filter(what => what === 'limited STATEMENT_INVALID').length;
    await eventually(() => invalid() >= 5, 'each is recorded');
    assert.equal(found(friend), 0);
    assert.equal(mentions(friend.heard, held.digest), false);
  });

  void it('a list that this node told it is believed by nobody else', async () => {
    const relay = await liar('relay');
    const told: Uint8Array[] = [];
    relay.wire.handle(LIMITED_PROTOCOL, LOOSE, async stream => {
      await stream.receive();
      await stream.send(Uint8Array.of(1));
      const list = await stream.receive();
      if (list) told.push(list);
      await stream.send(Uint8Array.of(0));
    });
    await victim.peers.hold([{ ...held, audience: node => node.name === 'relay' }]);
    await eventually(() => told.length > 0, 'it is told');
    const other = await hostileMember(ground, friend, 'relay2');
    wires.push(other.wire);
    await other.ask(LIMITED_PROTOCOL, encodeMark({ start: 1, seq: 1 }), told[0]!);
    await other.sync(encodeItem('statement', told[0]!));
    await eventually(
      () => other.refusals().filter(what => what === 'limited STATEMENT_INVALID').length === 2,
      'it is recorded',
    );
    assert.equal(found(friend), 0);
    await victim.peers.hold([]);
  });

  void it('marks of no form', async () => {
    const evil = await liar('scribbler');
    await evil.ask(LIMITED_PROTOCOL, Buffer.from('{"limited":1}'));
    await evil.recorded('limited FRAME_INVALID');
  });

  void it('policies of no form, too large, or of a serial that it does not have', async () => {
    const evil = await liar('politician');
    await evil.ask(POLICY_PROTOCOL, Buffer.from('{"policy":1,"serial":1,"more":1}'));
    await evil.recorded('policy FRAME_INVALID');
    const other = await liar('politician2');
    await other.ask(POLICY_PROTOCOL, encodePolicyHead(3), new Uint8Array(POLICY_MAX_BYTES + 2));
    await other.recorded('policy LIMIT_EXCEEDED');
    await other.ask(POLICY_PROTOCOL, encodePolicyHead(3), encodeItem('roster', 'no.ro.ster'));
    await other.recorded('policy BUNDLE_INVALID');
  });
});

for (const [protocol, frames, most, what] of [
  [REFERRERS_PROTOCOL, [Buffer.from(subject)], 64, 'peer.refused'],
  [LIMITED_PROTOCOL, [encodeMark({ start: 1, seq: 1 })], LIMITED_RATE.burst, 'statement.refused'],
  [POLICY_PROTOCOL, [encodePolicyHead(0)], POLICY_RATE.burst, 'statement.refused'],
] as const)
  void test(`of ${protocol}, ${most} streams at once are answered; the next is refused and recorded`, async () => {
    const cluster = await makeCluster({ nodes: ['here', 'evil'] });
    const [here, evil] = [cluster.node('here'), cluster.node('evil')];
    const { answer, records } = await controlRoom(here, [evil]);
    const say = async (): Promise<void> => {
      const [near, far] = streamPair();
      for (const frame of frames) await near.send(frame);
      await near.close();
      await answer(protocol, evil.peer, far);
    };
    for (let i = 0; i < most; i++) await say();
    assert.deepEqual(records, []);
    await assert.rejects(say(), is('LIMIT_EXCEEDED'));
    assert.deepEqual(
      records.map(({ event, code, peer }) => [event, code, peer]),
      [[what, 'LIMIT_EXCEEDED', evil.peer]],
    );
  });
