/** What is told of the policy in force, and of one that did not come into force. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bundleOf, demandOf, person, policyStage, policyText, POLICY_FILE } from '../support/signed-policies.ts';

void test('a file that is refused is told beside the policy in force, with its name, until it is mended', async () => {
  const node = await (await policyStage()).node('n1', policyText({ serial: 3 }));
  assert.deepEqual(node.policies.about(), { file: POLICY_FILE, signers: [] });
  await node.write(policyText({ serial: 2 }));
  assert.ok(node.policies.about().refused?.startsWith(`${POLICY_FILE}: `));
  await node.write(policyText({ serial: 3 }));
  assert.deepEqual(node.policies.about(), { file: POLICY_FILE, signers: [] });
});

void test('where no policy ever was in force none is told, and the trouble names the file', async () => {
  const { policies } = await (await policyStage()).node('n1', 'kind: x\n');
  assert.deepEqual(policies.about(), { signers: [] });
  assert.ok(policies.trouble()?.includes(POLICY_FILE));
});

void test('an unsigned file beside a bundle in force is no news; a broken one is', async () => {
  const alice = person();
  const { cluster, node: open } = await policyStage(demandOf([alice], { requireSigned: true }));
  const node = await open('n1', policyText({ serial: 1 }));
  await node.policies.take(bundleOf(cluster.id, { serial: 7 }, [alice]), 'a.policy.json');
  await node.write(policyText({ serial: 8 }));
  assert.deepEqual([node.refused().at(-1), node.policies.about().refused], ['POLICY_UNSIGNED', undefined]);
  await node.write('kind: x\n');
  assert.match(node.policies.about().refused ?? '', /apiVersion|kind/);
  assert.equal(node.policies.now().serial, 7);
});
