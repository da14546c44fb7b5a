/** A policy that persons sign is in force on all nodes once it is dropped on one: real processes, the real command line. */
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { copyFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { buildImage } from '../support/images.ts';
import { eventually, pinnace, ProcessCluster, type ProcessNode } from '../support/nodes.ts';
import { get } from '../support/pull-client.ts';
import { person, policyText } from '../support/signed-policies.ts';

const MS = 30_000;
const ACCEPT = { accept: 'application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json' };

void describe('signed policies of a cluster', { timeout: 10 * MS }, () => {
  let cluster: ProcessCluster;
  let nodes: ProcessNode[];
  const dir = (): string => join(cluster.dir, 'cluster');
  const at = (name: string): string => join(cluster.dir, name);

  before(async () => {
    cluster = await ProcessCluster.make(3);
    for (const name of ['alice', 'bob', 'carol']) {
      const key = person(name === 'bob' ? 'p256' : 'ed25519');
      await writeFile(at(`${name}.key`), key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
      await writeFile(at(`${name}.pub`), createPublicKey(key).export({ type: 'spki', format: 'pem' }));
    }
    await roster('alice', 'bob');
    nodes = [];
    // What lies beside the node is not signed, and does not count.
    const policy = policyText({ serial: 900, shares: 'other' });
    for (const name of ['n1', 'n2', 'n3']) nodes.push(await cluster.add(name, { policy }));
  });
  after(() => cluster.remove());

  /** The next roster: two of these must sign, and nothing unsigned counts. */
  async function roster(...names: string[]): Promise<string> {
    const keys = names.flatMap(name => ['--policy-key', at(`${name}.pub`)]);
    await pinnace('roster', 'sign', '--dir', dir(), ...keys, '--policy-threshold', '2', '--require-signed-policy');
    return join(dir(), 'roster.jwt');
  }

  /** Signs a policy, one person after the other. */
  async function sign(draft: Parameters<typeof policyText>[0], ...names: string[]): Promise<string> {
    const file = at(`${draft.serial}-${names.join('-')}.policy.json`);
    await writeFile(at('policy.yaml'), policyText(draft));
    for (const [i, name] of names.entries()) {
      const from = i === 0 ? [at('policy.yaml'), '--out', file] : [file];
      await pinnace('policy', 'sign', ...from, '--cluster', join(dir(), 'cluster.json'), '--key', at(`${name}.key`));
    }
    return file;
  }

  let drops = 0;
  /** Drops a file on a node; answers with its name there. */
  async function drop(node: ProcessNode, file: string): Promise<string> {
    const name = `${drops++}${file.endsWith('.jwt') ? '.jwt' : '.policy.json'}`;
    await copyFile(file, join(node.stateDir, 'incoming', name));
    return name;
  }

  const serialOf = async (node: ProcessNode): Promise<unknown> =>
    (await node.records()).filter(({ event }) => event === 'policy.loaded').at(-1)?.serial;
  const allReady = (what: string, serial: number): Promise<true> =>
    eventually(what, MS, async () => {
      const ready = await Promise.all(nodes.map(async node => (await node.status()).ready));
      const serials = await Promise.all(nodes.map(serialOf));
      return (ready.every(Boolean) && serials.every(one => one === serial)) || undefined;
    });
  const pull = async (node: ProcessNode): Promise<number> =>
    (await get(`${node.mirror}/v2/team/app/manifests/1?ns=r.test`, { headers: ACCEPT })).status;

  void it('without one no node is ready, whatever unsigned policy lies beside it, and all of them run', async () => {
    for (const node of nodes) node.launch();
    for (const node of nodes) {
      const reason = await eventually(
        'it says why',
        MS,
        async () => (await node.status().catch(() => undefined))?.reason,
      );
      await eventually('it runs, and is not ready', MS, async () =>
        (await get(`${node.mirror}/readyz`).catch(() => undefined))?.status === 503 ? true : undefined,
      );
      assert.match(reason, /not signed|not reached/);
      assert.ok(
        (await node.records()).some(({ event, code }) => event === 'policy.refused' && code === 'POLICY_UNSIGNED'),
      );
      assert.equal(await pull(node), 404);
      const why = await pinnace('why', 'r.test/team/app:1', '--config', node.config, '--json');
      const [first] = (JSON.parse(why) as { steps: { step: string; ok: boolean; detail: string }[] }).steps;
      assert.deepEqual([first?.step, first?.ok], ['node', false]);
      assert.match(first!.detail, /not ready/);
    }
  });

  void it('one that is dropped on one node is in force on all, and what it shares is pulled', async () => {
    await drop(nodes[0]!, await sign({ serial: 5 }, 'alice', 'bob'));
    await allReady('all have the signed policy', 5);
    for (const node of nodes) {
      const loaded = (await node.records()).findLast(({ event }) => event === 'policy.loaded');
      assert.equal(String(loaded?.signers).split(' ').length, 2);
    }
    const reference = 'r.test/team/app:1';
    const image = await buildImage(at('image'), { reference, layers: [{ randomBytes: 5000, seed: 1 }] });
    await pinnace('import', `oci:${image.dir}`, '--config', nodes[0]!.config);
    await eventually('another node has it', MS, async () => ((await pull(nodes[1]!)) === 200 ? true : undefined));
  });

  void it('an older one, and an older roster, are refused on each of them', async () => {
    const [older, other] = [
      await sign({ serial: 4 }, 'alice', 'bob'),
      await sign({ serial: 5, shares: 'other' }, 'bob', 'alice'),
    ];
    await copyFile(join(dir(), 'roster.jwt'), at('older.jwt'));
    await drop(nodes[0]!, await roster('alice', 'bob'));
    await eventually('all have the newer roster', MS, async () => {
      const seqs = await Promise.all(nodes.map(async node => (await node.status()).roster.seq));
      return seqs.every(seq => seq === 3) || undefined;
    });
    for (const node of nodes) {
      const names = [await drop(node, older), await drop(node, other), await drop(node, at('older.jwt'))];
      await eventually('all three are put aside', MS, async () => {
        const found = await readdir(join(node.stateDir, 'incoming'));
        return names.every(name => found.includes(`${name}.refused`)) || undefined;
      });
      const codes = (await node.records()).map(({ code }) => code);
      assert.equal(codes.filter(code => code === 'POLICY_ROLLBACK').length, 2);
      assert.ok(codes.includes('ROSTER_ROLLBACK'));
    }
    await allReady('the newest is in force', 5);
  });

  void it('a roster that replaces a signer ends it everywhere, until who counts now signed one', async () => {
    await drop(nodes[1]!, await roster('alice', 'carol'));
    await eventually('no node is ready', MS, async () => {
      const reasons = await Promise.all(nodes.map(async node => (await node.status()).reason));
      return reasons.every(reason => reason?.includes('holds no longer')) || undefined;
    });
    await drop(nodes[1]!, await sign({ serial: 6, shares: 'other' }, 'alice', 'bob'));
    await drop(nodes[2]!, await sign({ serial: 6 }, 'carol', 'alice'));
    await allReady('all have what alice and carol signed', 6);
  });

  void it('after a restart with another unsigned policy beside it, it is in force again', async () => {
    const [, , n3] = nodes;
    await n3!.stop();
    await writeFile(at('n3.policy.yaml'), policyText({ serial: 9000, shares: 'other' }));
    await n3!.start();
    assert.equal(await serialOf(n3!), 6);
    assert.equal((await n3!.records()).findLast(({ event }) => event === 'policy.refused')?.code, 'POLICY_UNSIGNED');
  });
});
