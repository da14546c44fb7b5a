/** Nodes of format N and N−1 in one cluster: what the earlier version left behind is read, and what it cannot do is said. */
import assert from 'node:assert/strict';
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { formatToken, parseToken } from '../../src/identity/token.ts';
import { eventually } from '../support/nodes.ts';
import { Lifetime, WAIT_MS } from './lifetime-ground.ts';

let life: Lifetime;

/** Makes of a token, and of its record, what the version before wrote. */
async function asBefore(name: string): Promise<void> {
  const file = `nodes/${name}/token`;
  const token = parseToken(await readFile(file, 'utf8'));
  const { id, issuer } = token.cluster;
  await rm(file);
  await writeFile(file, `${formatToken({ ...token, cluster: { id, issuer } })}\n`, { mode: 0o600 });
  const record = 'nodes/cluster/issued.jsonl';
  const lines = (await readFile(record, 'utf8')).split('\n').map(line => {
    if (!line.includes(`"${name}"`)) return line;
    const { node, peer, issuedAt } = JSON.parse(line) as Record<string, unknown>;
    return JSON.stringify({ node, peer, issuedAt });
  });
  await writeFile(record, lines.join('\n'));
}

before(async () => {
  life = await Lifetime.make();
});
after(() => life.end());

void describe('two versions', { timeout: 4 * WAIT_MS }, () => {
  void it('share and pull, one of them with the token, roster and record of the version before', async () => {
    await asBefore('n1');
    assert.ok((await readFile('nodes/n1/token', 'utf8')).startsWith('pjt1.'));
    assert.ok((await readFile('nodes/n2/token', 'utf8')).startsWith('pjt2.'));
    await life.start('n1', 'n2');
    await life.works();
    // What N writes where nothing new is said is what N−1 reads: no handovers in the header.
    await life.command('roster', 'sign', '--dir', 'nodes/cluster');
    const [head = ''] = (await readFile('nodes/cluster/roster.jwt', 'utf8')).split('.');
    assert.equal(Buffer.from(head, 'base64url').toString(), '{"alg":"EdDSA","typ":"pinnace-roster+jwt"}');
    await life.perform('cp nodes/cluster/roster.jwt nodes/n1/incoming/');
    await life.all('both have it', ({ roster }) => roster.seq === 2);
  });

  void it('a node whose roles are not on record is renewed once a node’s credentials.json says them', async () => {
    const without = await life.command('credential', 'renew', '--all', '--dir', 'nodes/cluster');
    assert.match(without, /left out: n1 \(roles not on record/);
    const kept = 'nodes/n2/credentials.json';
    await eventually('n2 keeps what it knows', WAIT_MS, async () => {
      life.world.leap(2000);
      const text = await readFile(kept, 'utf8').catch(() => '');
      return (text.match(/\./g) ?? []).length >= 4 || undefined;
    });
    await life.command('credential', 'renew', '--all', '--credentials', kept, '--dir', 'nodes/cluster');
    await life.perform('cp nodes/cluster/renewed.jwt nodes/n2/incoming/');
    const { credentialExpiresAt } = await life.status('n1');
    assert.ok(Date.parse(credentialExpiresAt) > 0);
    await eventually('n1 is renewed', WAIT_MS, async () => {
      const events = await life.records('n1');
      return events.some(({ event, node }) => event === 'credential.accepted' && node === 'n1') || undefined;
    });
  });

  void it('an issuer is followed with the old token; a recovery is not, and its node needs a new one', async () => {
    await life.command('cluster', 'rotate-issuer', '--dir', 'nodes/cluster');
    await life.command('credential', 'renew', '--all', '--dir', 'nodes/cluster');
    await life.perform('cp nodes/cluster/renewed.jwt nodes/n2/incoming/');
    await life.all('both have credentials by the next', ({ roster }) => (roster.next?.nodes ?? 0) >= 2);
    await life.command('cluster', 'rotate-issuer', '--finish', '--dir', 'nodes/cluster');
    await life.perform('cp nodes/cluster/roster.jwt nodes/n2/incoming/');
    await life.all('the new one counts', ({ roster }) => !roster.next && roster.seq === 4);
    await life.stop('n1');
    await life.start('n1');
    await life.works();
    const told = await life.command('cluster', 'recover', '--dir', 'nodes/cluster');
    assert.match(told, /do not know the recovery key and need new tokens: n1/);
    await life.perform('cp nodes/cluster/recovered.jwt nodes/n2/incoming/');
    await life.all('n2 has it', ({ roster }) => roster.seq === 1e12 + 1, ['n2']);
    await eventually('n1 has refused it', WAIT_MS, async () => {
      life.world.leap(5000);
      const codes = (await life.records('n1')).map(({ event, code }) => event === 'roster.refused' && code);
      return codes.includes('ROSTER_INVALID') || undefined;
    });
    assert.equal((await life.status('n1')).roster.seq, 4);
    // It is not spoken to from its next greeting on.
    await life.stop('n1');
    await life.start('n1');
    await eventually('n1 is refused', WAIT_MS, async () => {
      life.world.leap(5000);
      const { peers } = await life.status('n1');
      return peers.every(({ connected }) => !connected) || undefined;
    });
    await life.command('token', 'create', '--node', 'n1', '--dir', 'nodes/cluster', '--out', 'nodes/n1/token.new');
    await life.stop('n1');
    await copyFile('nodes/n1/token.new', 'nodes/n1/token');
    await life.start('n1');
    await life.works();
  });
});
