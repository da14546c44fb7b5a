/**
 * A private content whose digest somebody knows, listed as if it were part of a signature: whoever can have a node fetch an
 * artifact (a pod's image has any name) must not be given private bytes as an attachment of what is shared.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OCI_MANIFEST } from '../../src/oci/oci.ts';
import { blobPath } from '../support/images.ts';
import { signatureTag } from '../support/system/cosign.ts';
import { request } from '../support/system/http.ts';
import { machine, ownContents } from '../support/system/machine.ts';
import { pry } from '../support/system/prying.ts';
import { pushBlob } from '../support/system/registry.ts';
import { openSigning } from '../support/system/signing.ts';
import { systemTest } from '../support/system/suite.ts';
import { until } from '../support/system/processes.ts';

const REGISTRY = 'reg.test';
const LOOKED_MS = 30_000;
const POLICY = `apiVersion: pinnace.policy/v1
kind: MirrorPolicy
metadata: {name: known-hash, serial: 1, issuedAt: 2026-11-20T00:00:00Z}
registries: [${REGISTRY}]
rules:
  - {name: public, match: ${REGISTRY}/public/**, share: cluster}
  - {name: private, match: ${REGISTRY}/private/**, share: never}
`;

for (const where of ['public/app', 'elsewhere/app'])
  systemTest(
    `an artifact in ${where} that lists a private content as its layer gives that content to nobody`,
    async lab => {
      const signing = await openSigning(lab);
      const [shared, secret] = [
        await signing.publish(`${REGISTRY}/public/app:1`),
        await signing.publish(`${REGISTRY}/private/app:1`),
      ];
      const a = await machine(lab, 'a', { version: '2.x', registry: REGISTRY, policy: POLICY });
      for (const image of [shared, secret]) await signing.bring(a.containerd, image);
      await a.node.holds(ownContents(shared).length);
      // The attacker's registry need not have the bytes: containerd takes what it has from its own store.
      const { config } = secret.manifests[0]!;
      const base = `http://${signing.registry.endpoint}/v2/${where}`;
      await pushBlob(signing.host.netns, base, config, blobPath(secret.dir, config.digest));
      const payload = { ...config, mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json' };
      const manifest = join(lab.folder, 'listing');
      await writeFile(
        manifest,
        JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [payload] }),
      );
      const tag = signatureTag(shared.digest, 'legacy');
      const headers = { 'content-type': OCI_MANIFEST };
      const put = { method: 'PUT', headers, upload: manifest } as const;
      assert.equal((await request(signing.host.netns, `${base}/manifests/${tag}`, put)).status, 201);
      await a.containerd.fetch(`${REGISTRY}/${where}:${tag}`, signing.registry.endpoint);
      // Once another image is told of, the node has looked at that tag as well.
      const later = await signing.publish(`${REGISTRY}/public/later:1`);
      await signing.bring(a.containerd, later);
      const both = ownContents(shared).length + ownContents(later).length;
      await until(
        'the later image is shared',
        LOOKED_MS,
        async () => (await a.node.status()).holdings.contents >= both,
      );
      const peer = await lab.node('peer', { policy: POLICY, bootstrap: [a.node.host], started: false });
      const [known] = await pry(peer, 'a', [config]);
      assert.deepEqual([known?.bytes, known?.proof, known?.holders], ['CONTENT_ABSENT', 'CONTENT_ABSENT', []]);
      const door = await a.node.get(`/v2/public/app/blobs/${config.digest}?ns=${REGISTRY}`);
      assert.equal(door.status, 404);
    },
  );
