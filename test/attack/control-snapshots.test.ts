/** What an admitted member sends that is far too much, too old or too new: refused by its code, cheaply, and recorded. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openMembers } from '../../src/identity/members.ts';
import { openSelf } from '../../src/identity/self.ts';
import { formatToken, parseToken } from '../../src/identity/token.ts';
import { type Body, HOLDINGS_MAX } from '../../src/peers/bodies.ts';
import { encodeHeads } from '../../src/peers/heads.ts';
import { encodeItem, ITEM_MAX_BYTES } from '../../src/peers/intake.ts';
import { SYNC_PROTOCOL } from '../../src/peers/sync.ts';
import { createControlWire } from '../../src/peers/wire-libp2p.ts';
import type { ControlWire } from '../../src/peers/wire.ts';
import { realWorld } from '../../src/world.ts';
import { eventually } from '../conformance/wire.ts';
import { Ground, holdings, type TestNode } from '../peers/ground.ts';
import { memoryKeep } from '../support/cluster.ts';
import { drain, hostileMember, type HostileMember } from './hostile-member.ts';

const live = (): AbortSignal => new AbortController().signal;
const YEAR_2099 = Date.UTC(2099, 0, 1);
const MILLION = 1_000_000;
/** Processor time and memory of one refusal; both far above what it takes. */
const COST_MS = 5_000;
const MEMORY_BYTES = 128 << 20;

void describe('far too much, too old, too new', () => {
  let ground: Ground;
  let victim: TestNode;
  const wires: ControlWire[] = [];
  before(async () => {
    ground = await Ground.make();
    victim = await ground.start('victim');
  });
  after(async () => {
    await Promise.all(wires.map(wire => wire.close()));
    await ground.end();
  });

  async function evil(name: string): Promise<HostileMember> {
    const member = await hostileMember(ground, victim, name);
    wires.push(member.wire);
    return member;
  }

  /** Runs `work`, and sees that this whole process, attacker included, needed little for it. */
  async function cheaply(work: () => Promise<void>): Promise<void> {
    const [cpu, { rss }] = [process.cpuUsage(), process.memoryUsage()];
    await work();
    const { user, system } = process.cpuUsage(cpu);
    assert.ok(user + system < COST_MS * 1000, `${(user + system) / 1000} ms`);
    assert.ok(process.memoryUsage().rss - rss < MEMORY_BYTES, `${process.memoryUsage().rss - rss} bytes`);
  }

  const held = (who: HostileMember): number | undefined =>
    victim.peers.status().find(({ node }) => node.peer === who.node.peer)?.holdings;

  void it('a snapshot of a million digests is refused by the length of its frame, before it is received', async () => {
    const who = await evil('million');
    const limits = { maxFrame: 200 * MILLION, maxInbound: 1 };
    const stream = await who.wire.open(victim.peer, SYNC_PROTOCOL, limits, live());
    await stream.send(encodeHeads({ roster: 9999, peers: new Map() }));
    // 140 bytes for each entry; nobody reads them.
    const sending = stream.send(new Uint8Array(140 * MILLION)).catch(() => undefined);
    await cheaply(() => who.recorded('sync LIMIT_EXCEEDED'));
    stream.abort(new Error('enough'));
    await sending;
    assert.equal(held(who), 0);
  });

  void it('a snapshot of more entries than a node may hold is refused, well signed as it is', async () => {
    const who = await evil('greedy');
    const body: Body = { kind: 'holdings', body: { entries: holdings(HOLDINGS_MAX + 1).sort(byDigest) } };
    const item = who.say(body, 1);
    assert.ok(item.length < ITEM_MAX_BYTES);
    await cheaply(() => who.sync(item));
    await who.recorded('holdings STATEMENT_INVALID');
    assert.equal(held(who), 0);
  });

  void it('a million entries that are nothing, and brackets in each other, fill a frame and are refused', async () => {
    const who = await evil('hollow');
    const head = `{"domain":"pinnace/statement","version":1,"kind":"holdings","signer":"${who.node.peer}","start":1,"seq":1,"notAfter":${Date.now()},"body":{"entries":`;
    const signature = Buffer.alloc(64);
    const items = [`[${'0,'.repeat(MILLION)}0]}}`, `${'['.repeat(MILLION)}${']'.repeat(MILLION)}}}`].map(rest =>
      encodeItem('statement', Buffer.concat([signature, Buffer.from(head + rest)])),
    );
    for (const item of items) assert.ok(item.length < ITEM_MAX_BYTES);
    await cheaply(() => who.sync(...items));
    await eventually(
      () => who.refusals().filter(code => code === 'holdings STATEMENT_INVALID').length === 2,
      who.refusals().join(', '),
    );
    assert.equal(held(who), 0);
  });

  void it('statements of 2099, of every kind, are refused as such', async () => {
    const who = await evil('prophet');
    const bodies: Body[] = [
      { kind: 'node', body: { addresses: [], lanePort: 1 } },
      { kind: 'holdings', body: { entries: [] } },
      { kind: 'holdings-delta', body: { after: 1, add: [], drop: [] } },
      { kind: 'holdings-head', body: { of: 1 } },
      { kind: 'tags', body: { tags: [] } },
    ];
    const notAfter = YEAR_2099;
    await who.sync(...bodies.map((body, at) => who.say(body, at + 1, { notAfter })));
    for (const { kind } of bodies) await who.recorded(`${kind} STATEMENT_FUTURE`);
    // None of them stands in the way of what it says today.
    await who.sync(who.say({ kind: 'holdings', body: { entries: holdings(1) } }, 1));
    await eventually(() => held(who) === 1, 'an honest statement is taken');
  });

  void it('a node that kept a statement of 2099 does not believe its own disk', async () => {
    const far = await evil('far');
    const say = (notAfter: number): Buffer => {
      const body = { kind: 'node', body: { addresses: ['127.0.0.1:9'], lanePort: 9 } } as const;
      const item = far.say(body, 1, { notAfter });
      const length = Buffer.alloc(4);
      length.writeUInt32BE(item.length - 1);
      return Buffer.concat([Buffer.from('pinnace/statements/1\n'), length, item.subarray(1)]);
    };
    const first = await ground.start('keeper', { bootstrap: victim.peers.addresses });
    const addressOf = (node: TestNode): string | undefined =>
      node.peers.status().find(peer => peer.node.name === 'far')?.address;
    await eventually(() => first.members.node(far.node.peer) !== undefined, 'far is known by its credential');
    await first.stop();
    await first.members.settled();
    for (const [notAfter, address] of [
      [YEAR_2099, undefined],
      [Date.now() + 60_000, '127.0.0.1:9'],
    ] as const) {
      await first.keeps.nodes.write(say(notAfter));
      const again = await ground.start('', { again: first });
      assert.ok(again.members.node(far.node.peer));
      assert.equal(addressOf(again), address);
      await again.stop();
    }
  });

  void it('an old roster, played to a new node, is refused as a roll-back at the greeting and in a sync', async () => {
    const newest = await ground.cluster.signRoster({ seq: 7, revoked: ['somebody'] });
    const old = await ground.cluster.signRoster({ seq: 5 });
    const node = await ground.cluster.add('new');
    const token = formatToken({ ...parseToken(node.token), roster: newest, lowestSeq: 7 });
    const self = await openSelf({ token, start: memoryKeep(), world: realWorld });
    const members = (): ReturnType<typeof openMembers> =>
      openMembers({ self, rosterKeep: memoryKeep(), credentialsKeep: memoryKeep(), world: realWorld, signal: live() });
    const fresh = await ground.start({ ...node, self, members });
    const player = await ground.cluster.add('player');
    const wire = await createControlWire({
      seed: player.self.seed,
      prologue: Buffer.from(`pinnace/1/${ground.cluster.id}`),
      listen: '127.0.0.1:0',
      greet: async (_peer, stream) => {
        // It promises a newer one, and brings the one in which nobody was revoked.
        await stream.send(Buffer.from('{"greeting":1,"roster":99}'));
        await stream.send(Buffer.from(old));
        await drain(stream);
        throw new Error('closed');
      },
      world: realWorld,
      signal: live(),
    });
    wires.push(wire);
    await assert.rejects(wire.dial(fresh.peers.addresses[0]!, live()));
    const refused = (source: string): string[] =>
      fresh.records.flatMap(e =>
        (e.event === 'peer.refused' && e.peer === source) || (e.event === 'roster.refused' && e.source === source)
          ? [`${e.event} ${e.code}`]
          : [],
      );
    await eventually(() => refused(player.peer).length === 1, 'the greeting is recorded');
    assert.deepEqual(refused(player.peer), ['peer.refused ROSTER_ROLLBACK']);
    const member = await hostileMember(ground, fresh, 'member');
    wires.push(member.wire);
    await member.sync(encodeItem('roster', old));
    await eventually(() => refused(member.node.peer).length === 1, 'the sync is recorded');
    assert.deepEqual(refused(member.node.peer), ['roster.refused ROSTER_ROLLBACK']);
    assert.equal(fresh.members.roster.seq, 7);
    assert.ok(!fresh.records.some(e => e.event === 'roster.accepted'));
  });
});

const byDigest = (a: { digest: string }, b: { digest: string }): number => (a.digest < b.digest ? -1 : 1);
