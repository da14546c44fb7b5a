/** Who is not of the cluster: none of them gets past the greeting, and each attempt is recorded with its code. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { MirrorError } from '../../src/errors.ts';
import type { ClusterNode } from '../support/cluster.ts';
import { makeCluster } from '../support/cluster.ts';
import { createControlWire } from '../../src/peers/wire-libp2p.ts';
import { greeter } from '../../src/peers/greeting.ts';
import type { ControlWire, Greet } from '../../src/peers/wire.ts';
import { realWorld, type World } from '../../src/world.ts';
import { eventually } from '../conformance/wire.ts';
import { Ground, type TestNode } from '../peers/ground.ts';

const live = (): AbortSignal => new AbortController().signal;
const text = (value: string): Uint8Array => Buffer.from(value);

void describe('at the door of the control plane', () => {
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

  /** A node with the key of `node` that greets as it likes. */
  async function attacker(
    node: ClusterNode,
    greet: Greet,
    prologue = `pinnace/1/${ground.cluster.id}`,
  ): Promise<ControlWire> {
    const wire = await createControlWire({
      seed: node.self.seed,
      prologue: Buffer.from(prologue),
      listen: '127.0.0.1:0',
      greet,
      world: realWorld,
      signal: live(),
    });
    wires.push(wire);
    return wire;
  }

  /** Greets properly until the credential, and shows that one. */
  const showing =
    (credential: string, hello = '{"greeting":1,"roster":1}'): Greet =>
    async (_peer, stream) => {
      await stream.send(text(hello));
      await stream.receive();
      await stream.send(text(credential));
      await stream.receive();
      if (!(await stream.receive())) throw new MirrorError('PEER_REFUSED', 'not welcome');
    };

  async function refusedWith(code: string, wire: ControlWire, who?: ClusterNode): Promise<void> {
    const count = victim.records.length;
    await assert.rejects(wire.dial(victim.peers.addresses[0]!, live()));
    await eventually(
      () =>
        victim.records
          .slice(count)
          .some(e => e.event === 'peer.refused' && e.code === code && (!who || e.peer === who.peer)),
      `a record of ${code} among ${JSON.stringify(victim.records.slice(count))}`,
    );
    assert.ok(victim.peers.status().every(peer => peer.node.peer !== who?.peer || !peer.connected));
    assert.ok(!victim.records.slice(count).some(event => event.event === 'peer.admitted'));
  }

  void it('a node without a credential', async () => {
    const node = await ground.cluster.add('without');
    await refusedWith('CREDENTIAL_INVALID', await attacker(node, showing('')), node);
  });

  void it('a node of another cluster, which does not even share the prologue', async () => {
    const other = await makeCluster({ nodes: ['far'] });
    await refusedWith(
      'PEER_REFUSED',
      await attacker(other.node('far'), showing(other.node('far').credential), `pinnace/1/${other.id}`),
    );
  });

  void it('a node of another cluster that pretends to be of this one', async () => {
    const far = (await makeCluster({ nodes: ['far'] })).node('far');
    await refusedWith('CREDENTIAL_FOREIGN', await attacker(far, showing(far.credential)), far);
    const forged = await ground.cluster.forged('near');
    await refusedWith('CREDENTIAL_INVALID', await attacker(forged, showing(forged.credential)), forged);
  });

  void it('a node whose credential ended', async () => {
    const node = await ground.cluster.expired('old');
    await refusedWith('CREDENTIAL_EXPIRED', await attacker(node, showing(node.credential)), node);
  });

  void it('a node that shows the credential of another', async () => {
    const [thief, owner] = [await ground.cluster.add('thief'), await ground.cluster.add('owner')];
    await refusedWith('CREDENTIAL_STOLEN', await attacker(thief, showing(owner.credential)), thief);
  });

  void it('a node that speaks another version, or says more than a greeting may', async () => {
    const node = await ground.cluster.add('loud');
    await refusedWith(
      'FRAME_INVALID',
      await attacker(node, showing(node.credential, '{"greeting":2,"roster":1}')),
      node,
    );
    const long = await ground.cluster.add('long');
    await refusedWith(
      'LIMIT_EXCEEDED',
      await attacker(long, showing(node.credential, `{"greeting":1,"roster":1}${' '.repeat(200)}`)),
      long,
    );
    const large = await ground.cluster.add('large');
    await refusedWith('LIMIT_EXCEEDED', await attacker(large, showing('x'.repeat(4097))), large);
  });

  void it('a node that promises a newer roster and sends none that holds, or one that never ends', async () => {
    const roster =
      (bytes: Uint8Array): Greet =>
      async (_peer, stream) => {
        await stream.send(text('{"greeting":1,"roster":99}'));
        await stream.send(bytes).catch(() => undefined);
        while (await stream.receive());
        throw new MirrorError('PEER_REFUSED', 'not welcome');
      };
    const liar = await ground.cluster.add('liar');
    await refusedWith('ROSTER_INVALID', await attacker(liar, roster(text('no roster'))), liar);
    const forger = await ground.cluster.add('forger');
    const foreign = await (await makeCluster()).signRoster({ seq: 99 });
    await refusedWith('ROSTER_INVALID', await attacker(forger, roster(text(foreign))), forger);
    assert.equal(victim.members.roster.seq, 1);
  });

  void it('a node that was revoked, by the newer roster that the other side brings', async () => {
    const node = await ground.cluster.add('gone');
    const informed = await ground.start('informed');
    await informed.members.offerRoster(await ground.cluster.signRoster({ seq: 2, revoked: ['gone'] }));
    await informed.peers.connect(victim.peer, live()).catch(() => undefined);
    const self = informed.node.self;
    const members = informed.members;
    const wire = await attacker(
      informed.node,
      greeter({
        self: { ...self, peer: self.peer, start: 1, sign: b => self.sign(b), credential: () => self.credential() },
        members,
        record: async () => undefined,
      }),
    );
    await wire.dial(victim.peers.addresses[0]!, live());
    assert.equal(victim.members.roster.seq, 2);
    await refusedWith(
      'CREDENTIAL_REVOKED',
      await attacker(node, showing(node.credential, '{"greeting":1,"roster":2}')),
      node,
    );
  });

  void it('nobody at all, when the record cannot be written', async () => {
    const node = await ground.cluster.add('unrecorded');
    const shut = await attacker(node, async (_peer, stream) => {
      await stream.receive();
      throw new MirrorError('AUDIT_UNAVAILABLE', 'the disk is full');
    });
    await assert.rejects(shut.dial(victim.peers.addresses[0]!, live()));
    assert.equal(shut.links().length, 0);
    const members = await (await ground.cluster.add('x')).members();
    const door: Greet = greeter({
      self: { peer: node.peer, start: 1, sign: b => node.self.sign(b), credential: () => node.credential },
      members,
      record: () => Promise.reject(new MirrorError('AUDIT_UNAVAILABLE', 'the disk is full')),
    });
    const guarded = await attacker(await ground.cluster.add('guarded'), door);
    const comer = await ground.cluster.add('comer');
    const address = (guarded as ControlWire & { addresses: readonly string[] }).addresses[0]!;
    await assert.rejects((await attacker(comer, showing(comer.credential))).dial(address, live()));
    assert.equal(guarded.links().length, 0);
  });

  void it('a node that is silent after the handshake, within the time of a greeting', async () => {
    // The same deadlines, ten times faster.
    const fast: World = { ...realWorld, sleep: (ms, signal) => realWorld.sleep(ms / 10, signal) };
    const node = await ground.cluster.add('quiet-victim');
    const records: string[] = [];
    const members = await node.members();
    const self = {
      peer: node.peer,
      start: 1,
      sign: (b: Uint8Array) => node.self.sign(b),
      credential: () => node.credential,
    };
    const guarded = await createControlWire({
      seed: node.self.seed,
      prologue: Buffer.from(`pinnace/1/${ground.cluster.id}`),
      listen: '127.0.0.1:0',
      greet: greeter({
        self,
        members,
        record: async event => void (event.event === 'peer.refused' && records.push(event.code)),
      }),
      world: fast,
      signal: live(),
    });
    wires.push(guarded);
    const mute = await attacker(await ground.cluster.add('mute'), async (_peer, stream) => {
      while (await stream.receive());
      throw new MirrorError('PEER_REFUSED', 'closed');
    });
    const begin = performance.now();
    await assert.rejects(mute.dial(guarded.addresses[0]!, live()));
    assert.ok(performance.now() - begin < 4000);
    await eventually(() => records.length === 1, 'a record');
    assert.deepEqual(records, ['HANDSHAKE_TIMEOUT']);
    assert.equal(guarded.links().length, 0);
  });

  void it('a host outside the ranges that may connect', async () => {
    const narrow = await ground.start('narrow', { config: { peerCidrs: ['10.0.0.0/8'] } });
    const node = await ground.cluster.add('outside');
    const wire = await attacker(node, showing(node.credential));
    await assert.rejects(wire.dial(narrow.peers.addresses[0]!, live()));
    await eventually(
      () => narrow.records.some(event => event.event === 'peer.refused' && event.code === 'PEER_REFUSED'),
      'a record',
    );
  });

  void it('one node with more connections than any needs', async () => {
    const node = await ground.cluster.add('many');
    const self = {
      peer: node.peer,
      start: 1,
      sign: (b: Uint8Array) => node.self.sign(b),
      credential: () => node.credential,
    };
    const members = await node.members();
    await members.offerRoster(victim.members.roster.jwt);
    const dials = await Promise.allSettled(
      Array.from({ length: 6 }, async () => {
        const wire = await attacker(node, greeter({ self, members, record: async () => undefined }));
        return wire.dial(victim.peers.addresses[0]!, live());
      }),
    );
    assert.ok(dials.filter(dial => dial.status === 'fulfilled').length <= 4);
    await eventually(
      () =>
        victim.records.some(
          event => event.event === 'peer.refused' && event.code === 'LIMIT_EXCEEDED' && event.peer === node.peer,
        ),
      'a record',
    );
  });
});
