/** A member that lies: what it hands over is judged by its signatures, dates and numbers, and each refusal is recorded. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Digest } from '../../src/oci/oci.ts';
import type { Body } from '../../src/peers/bodies.ts';
import { encodeSigned, KINDS, signStatement, type Statement } from '../../src/peers/envelope.ts';
import { TOPIC } from '../../src/peers/gossip.ts';
import { greeter } from '../../src/peers/greeting.ts';
import { encodeHeads } from '../../src/peers/heads.ts';
import { encodeItem, ITEM_MAX_BYTES } from '../../src/peers/intake.ts';
import { DOUBT_PROTOCOL, PROOF_PROTOCOL } from '../../src/peers/questions.ts';
import { SYNC_PROTOCOL } from '../../src/peers/sync.ts';
import { createControlWire } from '../../src/peers/wire-libp2p.ts';
import type { ControlWire, Stream } from '../../src/peers/wire.ts';
import { realWorld } from '../../src/world.ts';
import type { ClusterNode } from '../support/cluster.ts';
import { eventually } from '../conformance/wire.ts';
import { content, Ground, type TestNode } from '../peers/ground.ts';

const live = (): AbortSignal => new AbortController().signal;
const LIMITS = { maxFrame: ITEM_MAX_BYTES * 2, maxInbound: 4 };
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

  interface Liar {
    readonly node: ClusterNode;
    readonly wire: ControlWire;
    say(body: Body, seq: number, how?: { start?: number; notAfter?: number; as?: ClusterNode }): Uint8Array;
    sync(...items: Uint8Array[]): Promise<void>;
  }

  /** An admitted member whose wire says whatever the test wants. */
  async function liar(name: string, roles?: readonly ('fetch' | 'serve' | 'attest')[]): Promise<Liar> {
    const own = await ground.cluster.add(roles ? { name, roles } : name);
    const members = await own.members();
    const self = {
      peer: own.peer,
      start: 1,
      sign: (b: Uint8Array) => own.self.sign(b),
      credential: () => own.credential,
    };
    const wire = await createControlWire({
      seed: own.self.seed,
      prologue: Buffer.from(`pinnace/1/${ground.cluster.id}`),
      listen: '127.0.0.1:0',
      greet: greeter({ self, members, record: async () => undefined }),
      world: realWorld,
      signal: live(),
    });
    wires.push(wire);
    await wire.dial(victim.peers.addresses[0]!, live());
    await eventually(
      () => victim.peers.status().some(peer => peer.node.name === name && peer.connected),
      `${name} is linked`,
    );
    const say: Liar['say'] = (
      body,
      seq,
      { start = 1, notAfter = Date.now() + KINDS[body.kind].validityMs, as = own } = {},
    ) => {
      const statement = { ...body, signer: as.peer, start, seq, notAfter } as Statement;
      return encodeItem('statement', encodeSigned(signStatement(statement, bytes => own.self.sign(bytes))));
    };
    const sync = async (...items: Uint8Array[]): Promise<void> => {
      const stream = await wire.open(victim.peer, SYNC_PROTOCOL, LIMITS, live());
      await stream.send(encodeHeads({ roster: 9999, peers: new Map() }));
      for (const item of items) await stream.send(item).catch(() => undefined);
      await stream.close();
      await drain(stream);
    };
    return { node: own, wire, say, sync };
  }

  const drain = async (stream: Stream): Promise<void> => {
    while (await stream.receive().catch(() => undefined));
  };
  const refusals = (who: Liar): string[] =>
    victim.records.flatMap(e =>
      (e.event === 'statement.refused' || e.event === 'peer.refused') && e.peer === who.node.peer
        ? [`${e.event === 'statement.refused' ? e.kind : 'peer'} ${e.code}`]
        : [],
    );
  const recorded = (who: Liar, what: string): Promise<void> =>
    eventually(() => refusals(who).includes(what), `${what} among ${refusals(who).join(', ')}`);

  void it('a statement in the name of another', async () => {
    const evil = await liar('mimic');
    await evil.sync(evil.say(node(1), 1, { as: friend.node, start: friend.node.self.start + 1 }));
    await recorded(evil, 'node STATEMENT_INVALID');
  });

  void it('statements that were replaced, of an earlier start, or ended', async () => {
    const evil = await liar('replayer');
    await evil.sync(evil.say(node(5), 5, { start: 2 }));
    await evil.sync(evil.say(node(1), 9, { start: 1 }));
    await recorded(evil, 'node STATEMENT_REPLAYED');
    await evil.sync(evil.say({ kind: 'tags', body: { tags: [] } }, 6, { start: 2, notAfter: Date.now() - 1 }));
    await recorded(evil, 'tags STATEMENT_REPLAYED');
  });

  void it('statements from the future', async () => {
    const evil = await liar('prophet');
    await evil.sync(evil.say(node(5), 5, { notAfter: Date.now() + 2 * KINDS.node.validityMs }));
    await recorded(evil, 'node STATEMENT_FUTURE');
    const digest = content(1).holding.digest;
    const seen = Date.now() + 3_600_000;
    const reference = { registry: 'r.example', repository: 'a', tag: '1' } as never;
    await evil.sync(
      evil.say({ kind: 'tags', body: { tags: [{ reference, digest, observedAt: seen, renewedAt: seen }] } }, 6),
    );
    await recorded(evil, 'tags STATEMENT_FUTURE');
    assert.equal(victim.peers.statedTags().length, 0);
  });

  void it('statements that are not written in the one way, and items of no known type', async () => {
    const evil = await liar('scribbler');
    const item = evil.say(node(5), 5);
    await evil.sync(Buffer.concat([item, Buffer.from(' ')]), Uint8Array.of(0x7a, 1, 2));
    await recorded(evil, 'node STATEMENT_INVALID');
    await recorded(evil, 'item FRAME_INVALID');
  });

  void it('rosters and credentials that the issuer did not sign', async () => {
    const evil = await liar('forger');
    const forged = await ground.cluster.forged('somebody');
    await evil.sync(encodeItem('credential', forged.credential), encodeItem('roster', 'no.ro.ster'));
    await recorded(evil, 'credential CREDENTIAL_INVALID');
    await eventually(
      () => victim.records.some(event => event.event === 'roster.refused' && event.source === evil.node.peer),
      'the roster is recorded',
    );
  });

  void it('gossip that does not hold, which nobody passes on', async () => {
    const evil = await liar('gossiper');
    evil.wire.subscribe(TOPIC, async () => 'ignore');
    const forged = evil.say(node(1), 77, { as: friend.node, start: friend.node.self.start + 1 });
    for (let n = 0; n < 100 && !refusals(evil).includes('node STATEMENT_INVALID'); n++) {
      await evil.wire.publish(TOPIC, forged);
      await evil.wire.publish(TOPIC, evil.say(node(n), n + 1, { as: friend.node, start: friend.node.self.start + 1 }));
      await new Promise(resolve => setTimeout(resolve, 50));
    }
    await recorded(evil, 'node STATEMENT_INVALID');
    assert.ok(!friend.records.some(event => event.event === 'statement.refused' && event.peer === victim.peer));
  });

  void it('a flood of its own statements', async () => {
    const evil = await liar('flooder');
    await evil.sync(...Array.from({ length: 200 }, (_, i) => evil.say(node(i), i + 1)));
    await recorded(evil, 'node LIMIT_EXCEEDED');
    await recorded(evil, 'sync LIMIT_EXCEEDED');
  });

  void it('more syncs than are due', async () => {
    const evil = await liar('eager');
    for (let i = 0; i < 10; i++) await evil.sync().catch(() => undefined);
    await recorded(evil, 'sync LIMIT_EXCEEDED');
  });

  void it('heads and frames over their bounds', async () => {
    const evil = await liar('bloated');
    const stream = await evil.wire.open(victim.peer, SYNC_PROTOCOL, LIMITS, live());
    await stream.send(new Uint8Array((1 << 20) + 1));
    await drain(stream);
    await recorded(evil, 'sync LIMIT_EXCEEDED');
    const other = await liar('bloated2');
    const long = await other.wire.open(victim.peer, SYNC_PROTOCOL, LIMITS, live());
    await long.send(new Uint8Array(ITEM_MAX_BYTES + 1)).catch(() => undefined);
    await drain(long);
    await recorded(other, 'sync LIMIT_EXCEEDED');
    const third = await liar('bloated3');
    const junk = await third.wire.open(victim.peer, SYNC_PROTOCOL, LIMITS, live());
    await junk.send(Buffer.from('{"sync":1,"roster":1,"peers":[[1]]}'));
    await drain(junk);
    await recorded(third, 'sync STATEMENT_INVALID');
  });

  void it('more streams than it may have', async () => {
    const evil = await liar('octopus');
    const streams = await Promise.all(
      Array.from({ length: 4 }, () => evil.wire.open(victim.peer, SYNC_PROTOCOL, LIMITS, live())),
    );
    await recorded(evil, 'peer LIMIT_EXCEEDED');
    for (const stream of streams) stream.abort(new Error('done'));
  });

  void it('questions without the role, of no digest, and too many doubts', async () => {
    const ask = async (who: Liar, protocol: string, question: string): Promise<void> => {
      const stream = await who.wire.open(victim.peer, protocol, LIMITS, live());
      await stream.send(Buffer.from(question)).catch(() => undefined);
      await stream.close();
      await drain(stream);
    };
    const digest: Digest = content(1).holding.digest;
    const mute = await liar('mute', ['serve']);
    await ask(mute, PROOF_PROTOCOL, digest);
    await recorded(mute, 'peer ROLE_MISSING');
    const evil = await liar('doubter');
    await ask(evil, PROOF_PROTOCOL, 'sha256:../../etc/passwd');
    await recorded(evil, 'peer DIGEST_INVALID');
    for (let i = 0; i < 9; i++) await ask(evil, DOUBT_PROTOCOL, digest);
    await recorded(evil, 'peer LIMIT_EXCEEDED');
    assert.equal(victim.doubts.filter(([who]) => who === evil.node.peer).length, 8);
  });
});
