/** Nodes on loopback: they find each other, tell what they hold, ask, and remember. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { parseTagReference } from '../../src/oci/oci.ts';
import { eventually } from '../conformance/wire.ts';
import { content, Ground, holdings, type TestNode } from './ground.ts';

const signal = new AbortController().signal;
const connected = (node: TestNode): number => node.peers.status().filter(peer => peer.connected).length;

void describe('nodes of one cluster', () => {
  let ground: Ground;
  let [a, b, c]: TestNode[] = [];
  const big = content(1, 3 << 20);
  before(async () => {
    ground = await Ground.make();
    a = await ground.start('a', { proofs: new Map([[big.proof.digest, big.proof]]) });
    b = await ground.start('b', { bootstrap: a.peers.addresses });
    c = await ground.start('c', { bootstrap: b.peers.addresses });
  });
  after(() => ground.end());

  void it('find all others from one address', async () => {
    await eventually(() => [a!, b!, c!].every(node => connected(node) === 2), 'everybody is linked with everybody');
    assert.ok(a!.records.some(event => event.event === 'peer.admitted' && event.node === 'b'));
  });

  void it('hear at once what one of them holds, what it adds and what it drops', async () => {
    await a!.peers.hold([big.holding, ...holdings(3, 100)]);
    await eventually(() => c!.peers.holders(big.holding.digest).length === 1, 'the snapshot');
    const [holder] = c!.peers.holders(big.holding.digest);
    assert.equal(holder!.node.name, 'a');
    assert.equal(holder!.root, big.holding.root);
    assert.ok(holder!.statement.length > 64);
    const added = content(2).holding;
    await a!.peers.hold([added, ...holdings(3, 100)]);
    await eventually(() => c!.peers.holders(added.digest).length === 1, 'the delta');
    assert.equal(c!.peers.holders(big.holding.digest).length, 0);
    assert.ok(a!.records.some(event => event.event === 'statement.signed' && event.kind === 'holdings-delta'));
  });

  void it('hear of a snapshot that is too large for gossip', async () => {
    const many = [big.holding, ...holdings(2000, 1000)];
    await a!.peers.hold(many);
    await eventually(
      () => [b!, c!].every(node => node.peers.status().some(peer => peer.holdings === 2001)),
      'all of it',
    );
    await b!.peers.hold(many);
    await eventually(() => c!.peers.holders(big.holding.digest).length === 2, 'two holders');
    assert.equal(b!.peers.holders(big.holding.digest).length, 1);
  });

  void it('ask each other for proofs, and take one only where it is there', async () => {
    const proof = await c!.peers.proof(a!.peer, big.proof.digest, big.proof.size, signal);
    assert.deepEqual(Buffer.from(proof.list), Buffer.from(big.proof.list));
    const none = content(5, 2 << 20);
    await assert.rejects(c!.peers.proof(a!.peer, none.proof.digest, 2 << 20, signal), error =>
      hasCode(error, 'CONTENT_ABSENT'),
    );
    await assert.rejects(c!.peers.proof(a!.peer, big.proof.digest, 9 << 20, signal), error =>
      hasCode(error, 'PROOF_INVALID'),
    );
  });

  void it('ask a shunned peer last, and tell it the doubt', async () => {
    c!.peers.shun(a!.peer, big.proof.digest);
    assert.deepEqual(
      c!.peers.holders(big.holding.digest).map(holder => holder.node.name),
      ['b', 'a'],
    );
    await eventually(() => a!.doubts.length === 1, 'the doubt arrived');
    assert.deepEqual(a!.doubts[0], [c!.peer, big.proof.digest]);
    assert.ok(c!.peers.status().some(peer => peer.node.name === 'a' && peer.shunnedUntil !== undefined));
  });

  void it('keep what a dead node stated of tags', async () => {
    const reference = parseTagReference('registry.example/app:1');
    const now = Date.now();
    const d = await ground.start('d', { bootstrap: a!.peers.addresses });
    await eventually(() => connected(d) === 3, 'd is linked');
    await d.peers.stateTags([{ reference, digest: big.holding.digest, observedAt: now - 5, renewedAt: now }]);
    await eventually(() => a!.peers.tagStatements(reference).length === 1, 'a heard of the tag');
    await d.stop();
    const late = await ground.start('e', { bootstrap: b!.peers.addresses });
    await eventually(() => late.peers.tagStatements(reference).length === 1, 'a newcomer hears of it from others');
    assert.equal(late.peers.tagStatements(reference)[0]!.node.name, 'd');
    assert.equal(late.peers.statedTags().length, 1);
    await late.stop();
  });

  void it('find each other again after a restart without the bootstrap', async () => {
    await b!.stop();
    await c!.stop();
    const back = await ground.start('c', { again: c!, bootstrap: [] });
    await eventually(
      () => back.peers.status().some(peer => peer.node.name === 'a' && peer.connected),
      'by its node record',
    );
    await eventually(() => back.peers.holders(big.holding.digest).length >= 1, 'and learns again who holds what');
    c = back;
  });

  void it('close the links of a revoked node at once, everywhere, and hear no more of it', async () => {
    const evil = await ground.start('evil', { bootstrap: a!.peers.addresses });
    await evil.peers.hold([content(77).holding]);
    await eventually(
      () => [a!, c!].every(node => node.peers.holders(content(77).holding.digest).length === 1),
      'evil is heard',
    );
    const roster = await ground.cluster.signRoster({ seq: 2, revoked: ['evil'] });
    await a!.members.offerRoster(roster);
    await eventually(() => connected(evil) === 0, 'nobody is linked with it');
    await eventually(() => c!.members.roster.seq === 2, 'the roster went round');
    for (const node of [a!, c!]) {
      await eventually(
        () => node.records.some(event => event.event === 'peer.revoked' && event.peer === evil.peer),
        'recorded',
      );
      assert.equal(node.peers.holders(content(77).holding.digest).length, 0);
    }
    await eventually(
      () =>
        [a!, c!].some(n =>
          n.records.some(event => event.event === 'peer.refused' && event.code === 'CREDENTIAL_REVOKED'),
        ),
      'and its next attempt is refused',
    );
  });
});
