/**
 * Policies played again: an older bundle, an older roster, a bundle under a signer that was replaced, on each node of a
 * cluster and by every way in which it may come. What was in force stays, and each attempt has its code.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { replaceFile } from '../../src/store/disk.ts';
import {
  bundleOf,
  demandOf,
  packed,
  person,
  POLICY_FILE,
  type PolicyNode,
  type PolicyStage,
  policyStage,
  policyText,
} from '../support/signed-policies.ts';

const [alice, bob, thief] = [person(), person('p256'), person()];
const both = [alice, bob];

void describe('an older policy on each node', () => {
  let stage: PolicyStage;
  let nodes: PolicyNode[];
  let first: string;
  const bundle = (serial: number, shares: string, keys = both): Uint8Array =>
    bundleOf(stage.cluster.id, { serial, shares }, keys);
  const holds = (node: PolicyNode): void => {
    assert.deepEqual([node.shares(), node.policies.now().serial, node.policies.trouble()], ['other', 7, undefined]);
  };

  before(async () => {
    stage = await policyStage();
    first = await stage.roster(demandOf([alice, thief]));
    const demand = demandOf(both, { threshold: 2, requireSigned: true, lowestSerial: 3 });
    const newest = await stage.roster(demand);
    nodes = [];
    for (const name of ['n1', 'n2', 'n3']) {
      const node = await stage.node(name);
      assert.equal(node.members.roster.jwt, newest);
      await node.policies.take(bundle(6, 'team'), 'dropped');
      await node.members.offerPolicy(await packed(bundle(7, 'other')));
      holds(node);
      nodes.push(node);
    }
  });

  for (const [what, serial, shares, keys, code] of [
    ['the bundle before', 6, 'team', both, 'POLICY_ROLLBACK'],
    ['one that was never in force, and is older', 4, 'third', both, 'POLICY_ROLLBACK'],
    ['one below what the roster takes', 2, 'third', both, 'POLICY_ROLLBACK'],
    ['another one with the same serial', 7, 'third', both, 'POLICY_ROLLBACK'],
    ['a newer one by one signer and one that was replaced', 8, 'third', [alice, thief], 'POLICY_UNSIGNED'],
    ['a newer one that one signer signed', 8, 'third', [bob], 'POLICY_UNSIGNED'],
  ] as const)
    void it(`${what}: refused where it is dropped, sent, or the file of the configuration`, async () => {
      for (const node of nodes) {
        const bytes = bundle(serial, shares, [...keys]);
        await assert.rejects(node.policies.take(bytes, 'dropped'), { code });
        await assert.rejects(node.members.offerPolicy(await packed(bytes)), { code });
        await node.write(bytes);
        assert.equal(node.refused().at(-1), code);
        holds(node);
        await node.write(bundle(7, 'other'));
      }
    });

  void it('the bundle before, put where the node keeps its own, is refused at the start, and the newest comes from others', async () => {
    const [n1, n2] = nodes as [PolicyNode, PolicyNode];
    await n2.disk.remove(POLICY_FILE);
    const newest = n2.bundle.bytes!;
    n2.bundle.bytes = new Uint8Array(await packed(bundle(6, 'team')));
    const again = await n2.again();
    assert.deepEqual([again.shares(), again.refused()[0]], [undefined, 'POLICY_ROLLBACK']);
    assert.notEqual(again.policies.trouble(), undefined);
    await again.members.offerPolicy(n1.members.policy!.bytes);
    holds(again);
    n2.bundle.bytes = newest;
  });

  void it('an unsigned one of any serial, by who can write the node’s files, is refused, also at the start', async () => {
    for (const node of nodes) {
      await node.write(policyText({ serial: 2 ** 40, shares: 'third' }));
      assert.equal(node.refused().at(-1), 'POLICY_UNSIGNED');
      holds(node);
      const again = await node.again();
      assert.equal(again.refused().at(-1), 'POLICY_UNSIGNED');
      holds(again);
    }
  });

  void it('a roster of before that named another signer and required nothing is refused, and changes nothing', async () => {
    for (const node of nodes) {
      await assert.rejects(node.under(first), { code: 'ROSTER_ROLLBACK' });
      assert.equal(node.members.roster.policy?.requireSigned, true);
      holds(node);
      await assert.rejects(node.policies.take(bundle(9, 'third', [thief]), 'dropped'), { code: 'POLICY_UNSIGNED' });
    }
  });

  void it('without its serials, a node still takes nothing below the roster’s lowest', async () => {
    for (const node of nodes) {
      node.marks.bytes = undefined;
      node.bundle.bytes = undefined;
      await node.disk.remove(POLICY_FILE);
      const again = await node.again();
      await assert.rejects(again.policies.take(bundle(2, 'third'), 'dropped'), { code: 'POLICY_ROLLBACK' });
      assert.equal(await again.policies.take(bundle(7, 'other'), 'dropped'), true);
      holds(again);
    }
  });

  void it('a bundle of another cluster that the same persons signed is refused', async () => {
    const node = await (await policyStage(demandOf(both, { threshold: 2 }))).node('n1');
    const id = stage.cluster.id;
    assert.equal(node.shares(), undefined);
    // Of another cluster, though the same persons signed it.
    await replaceFile(node.disk, POLICY_FILE, Buffer.from(bundleOf(id, { serial: 7 }, both)));
    await node.policies.look();
    assert.deepEqual([node.shares(), node.refused().at(-1)], [undefined, 'BUNDLE_INVALID']);
  });
});
