/**
 * Attestations that Debian's cosign made, in both formats: an image is shared only where one of the wanted type, by the
 * wanted key, says what the rule wants to read in it.
 */
import assert from 'node:assert/strict';
import type { Code } from '../../src/errors.ts';
import type { BuiltImage } from '../support/images.ts';
import type { Key, SignatureFormat } from '../support/system/cosign.ts';
import { assertHolds, joined, machine, ownContents } from '../support/system/machine.ts';
import { openSigning, type Signing } from '../support/system/signing.ts';
import { systemTest } from '../support/system/suite.ts';

const REGISTRY = 'reg.test';
const TYPE = 'https://predicates.example/built/v1';
const FORMATS: readonly SignatureFormat[] = ['bundle', 'legacy'];
const POLICY = `apiVersion: pinnace.policy/v1
kind: MirrorPolicy
metadata: {name: attested, serial: 1, issuedAt: 2026-11-20T00:00:00Z}
registries: [${REGISTRY}]
authorities:
  builder: {key: {file: keys/builder.pub}}
rules:
  - name: built
    match: ${REGISTRY}/built/**
    attestations:
      - {predicateType: ${TYPE}, anyOf: [builder], where: {/level: {min: 3}, /by/name: {in: [farm, lab]}}}
    share: cluster
`;
const GOOD = { level: 3, by: { name: 'farm' } };

type Attest = (signing: Signing, image: BuiltImage, keys: Keys, format: SignatureFormat) => Promise<void>;
interface Keys {
  readonly builder: Key;
  readonly stranger: Key;
}

/** What is said about an image, and the code that it is refused with; shared where there is none. */
const CASES: Readonly<Record<string, { readonly attest: Attest; readonly code?: Code }>> = {
  good: {
    attest: ({ cosign, at }, image, { builder }, format) => cosign.attest(at(image), builder, format, TYPE, GOOD),
  },
  nothing: { attest: async () => undefined, code: 'ATTESTATION_MISSING' },
  signature: {
    attest: ({ cosign, at }, image, { builder }, format) => cosign.sign(at(image), builder, format),
    code: 'ATTESTATION_MISSING',
  },
  othertype: {
    attest: ({ cosign, at }, image, { builder }, format) =>
      cosign.attest(at(image), builder, format, `${TYPE}/x`, GOOD),
    code: 'ATTESTATION_MISSING',
  },
  otherkey: {
    attest: ({ cosign, at }, image, { stranger }, format) => cosign.attest(at(image), stranger, format, TYPE, GOOD),
    code: 'ATTESTATION_UNTRUSTED',
  },
  toolow: {
    attest: ({ cosign, at }, image, { builder }, format) =>
      cosign.attest(at(image), builder, format, TYPE, { ...GOOD, level: 2 }),
    code: 'ATTESTATION_UNTRUSTED',
  },
};

for (const format of FORMATS)
  systemTest(`an image is shared by what its attestation says, made by cosign in the ${format} format`, async lab => {
    const signing = await openSigning(lab);
    const [builder, stranger] = [await signing.cosign.key('builder'), await signing.cosign.key('stranger')];
    const policyFiles = { 'keys/builder.pub': builder.pem };
    const common = { registry: REGISTRY, policy: POLICY, policyFiles } as const;
    const a = await machine(lab, 'a', { ...common, version: '2.x' });
    const b = await machine(lab, 'b', { ...common, version: '2.x', bootstrap: ['a'] });
    await joined(a, b);
    const images = new Map<string, BuiltImage>();
    for (const [name, { attest }] of Object.entries(CASES)) {
      const image = await signing.publish(`${REGISTRY}/built/${name}:1`);
      await attest(signing, image, { builder, stranger }, format);
      await signing.bringSignatures(a.containerd, image);
      await signing.bring(a.containerd, image);
      images.set(name, image);
    }
    await signing.registry.stop();
    for (const [name, { code }] of Object.entries(CASES)) {
      const image = images.get(name)!;
      const answer = await a.node.get(`/v2/built/${name}/manifests/${image.digest}?ns=${REGISTRY}`);
      assert.equal(answer.status, code ? 403 : 200, `${name}: ${answer.body.toString()}`);
      if (code) assert.match(answer.body.toString(), new RegExp(`"${code}"`), name);
    }
    const good = images.get('good')!;
    await b.node.hears('a', ownContents(good).length);
    assert.equal((await a.node.status()).holdings.contents, ownContents(good).length);
    const byDigest = `${REGISTRY}/built/good@${good.digest}`;
    await b.containerd.cri.pull(byDigest);
    await assertHolds(b.containerd, good, byDigest);
  });
