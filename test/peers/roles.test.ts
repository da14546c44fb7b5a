/** Roles of credentials as a node holds them against others: who counts as a holder, and whose word counts. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { parseTagReference } from '../../src/oci/oci.ts';
import { eventually } from '../conformance/wire.ts';
import { content, Ground, type TestNode } from './ground.ts';

const live = (): AbortSignal => new AbortController().signal;
const REFERENCE = parseTagReference('registry.example/app:1');

void describe('by the roles in a credential', () => {
  let ground: Ground;
  let node: TestNode;
  before(async () => {
    ground = await Ground.make();
    node = await ground.start('node');
  });
  after(() => ground.end());

  /** A member with those roles that holds `size` bytes and states a tag; resolves when both were heard. */
  async function member(name: string, roles: readonly ('fetch' | 'serve' | 'attest')[], size: number) {
    const own = await ground.start(await ground.cluster.add({ name, roles }), { bootstrap: node.peers.addresses });
    const { holding } = content(size, size);
    const now = Date.now();
    await own.peers.hold([holding]);
    await own.peers.stateTags([{ reference: REFERENCE, digest: holding.digest, observedAt: now, renewedAt: now }]);
    await eventually(
      () => node.peers.status().some(one => one.node.name === name && one.holdings === 1),
      `${name} is heard`,
    );
    assert.ok(own.records.some(event => event.event === 'statement.signed' && event.kind === 'tags'));
    return { ...own, holding };
  }

  void it('what a node without the role serve holds is not asked for', async () => {
    const { peer, holding } = await member('taker', ['fetch', 'attest'], 100);
    assert.deepEqual(node.peers.holders(holding.digest), []);
    await assert.rejects(node.peers.proof(peer, holding.digest, holding.size, live()), error =>
      hasCode(error, 'ROLE_MISSING'),
    );
  });

  void it('what a node without the role attest states of tags does not count, and its holdings do', async () => {
    const { holding } = await member('mute', ['fetch', 'serve'], 200);
    assert.equal(node.peers.holders(holding.digest).length, 1);
    const witness = await member('witness', ['fetch', 'serve', 'attest'], 300);
    await eventually(
      () => node.peers.tagStatements(REFERENCE).some(one => one.digest === witness.holding.digest),
      'statement.signed by who may attest is heard',
    );
    assert.ok(node.peers.statedTags().every(one => one.node.name !== 'mute'));
  });
});
