/** A mirror that asks for a client token: containerd shows it by hosts.toml, and without it nothing is here. */
import assert from 'node:assert/strict';
import { assertHolds, ownContents } from '../support/system/machine.ts';
import { MIRROR, sharing } from '../support/system/node.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'reg.test';
const MIB = 2 ** 20;
const TOKEN = 'system-test-client-token-0123456789';
const POLICY = sharing(`${REGISTRY}/**`);

for (const version of ['2.x', '1.6'] as const)
  systemTest(
    `containerd ${version} shows the token of hosts.toml with every request; without it, it falls to 404`,
    async lab => {
      const image = await lab.image({
        reference: `${REGISTRY}/team/app:1`,
        layers: [{ randomBytes: 3 * MIB, seed: 'token' }, { files: { 'etc/name': 'app' } }],
      });
      const a = await lab.node('a', { policy: POLICY });
      await a.cli('import', await lab.archive(image), '--name', image.reference);
      const containerd = await lab.containerd('b', version, { logLevel: 'debug' });
      const b = await lab.node('b', {
        policy: POLICY,
        containerd,
        bootstrap: [await lab.host('a')],
        clientToken: TOKEN,
      });
      await b.sees('a');
      await b.hears('a', ownContents(image).length);
      await b.hearsTag('a', image.reference);

      const refused = async (): Promise<string[]> =>
        (await b.audit()).flatMap(({ event, code }) => (event === 'pull.refused' ? [String(code)] : []));
      for (const header of [undefined, ['authorization', 'Bearer another-token-of-the-test'] as const]) {
        const before = (await refused()).length;
        await containerd.hosts(REGISTRY, { mirror: MIRROR, ...(header ? { header } : {}) });
        await assert.rejects(containerd.cri.pull(image.reference), /not found|no such host|lookup|resolve/);
        const codes = (await refused()).slice(before);
        assert.ok(codes.length > 0 && codes.every(code => code === 'CLIENT_UNAUTHORIZED'), codes.join());
      }
      // By digest, and of what lies on this node, as well.
      for (const [kind, digest] of [
        ['manifests', image.digest],
        ['blobs', image.manifests[0]!.layers[0]!.digest],
      ])
        assert.equal((await b.get(`/v2/team/app/${kind}/${digest}?ns=${REGISTRY}`)).status, 404);

      const before = (await refused()).length;
      await containerd.hosts(REGISTRY, { mirror: MIRROR, header: ['authorization', `Bearer ${TOKEN}`] });
      await containerd.cri.pull(image.reference);
      await assertHolds(containerd, image);
      assert.deepEqual((await refused()).slice(before), []);

      for (const [what, text] of [
        ['the log', b.log()],
        ['the audit log', JSON.stringify(await b.audit())],
        ['the bundle for bug reports', await b.cli('debug', 'bundle')],
        ['containerd’s log', containerd.log()],
      ] as const)
        assert.ok(!text.includes(TOKEN), `the token is in ${what}`);
    },
  );
