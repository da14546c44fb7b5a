/** Which policy is in force: files, bundles, what was kept, what is sent, under rosters that change. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parseReference } from '../../src/oci/oci.ts';
import { replaceFile } from '../../src/store/disk.ts';
import { keyIdOf } from '../../src/trust/policy-bundle.ts';
import {
  bundleOf,
  demandOf,
  packed,
  person,
  policyStage,
  policyText,
  POLICY_FILE,
  spkiOf,
} from '../support/signed-policies.ts';

const [alice, bob, carol] = [person(), person('p256'), person()];
const reference = parseReference(`r.test/team/app@sha256:${'a'.repeat(64)}`);
const digest = reference.digest!;

void describe('an unsigned policy', () => {
  void it('is in force where nothing is demanded, recorded with its hash and serial', async () => {
    const { policies, audit, shares } = await (await policyStage()).node('n1', policyText({ serial: 3 }));
    assert.equal(shares(), 'team');
    assert.equal(policies.trouble(), undefined);
    const { hash } = policies.now();
    assert.deepEqual(audit.of('policy.loaded'), [{ event: 'policy.loaded', file: POLICY_FILE, hash, serial: 3 }]);
    assert.equal(policies.policy, undefined);
  });

  void it('is replaced by a newer one, or another with its serial, and not by an older one, also after a restart', async () => {
    const node = await (await policyStage()).node('n1', policyText({ serial: 3 }));
    await node.write(policyText({ serial: 3, shares: 'other' }));
    assert.equal(node.shares(), 'other');
    await node.write(policyText({ serial: 2, shares: 'third' }));
    assert.deepEqual([node.shares(), node.refused()], ['other', ['POLICY_ROLLBACK']]);
    assert.equal(node.policies.trouble(), undefined);
    const again = await node.again();
    assert.deepEqual([again.shares(), again.refused()], [undefined, ['POLICY_ROLLBACK']]);
    assert.match(again.policies.trouble()!, /serial 2/);
  });

  void it('that is wrong, or has a key that nobody can use, leaves the last good one, and is recorded once', async () => {
    const node = await (await policyStage()).node('n1', policyText({ serial: 3 }));
    const unusable = `authorities: {a: {key: {file: a.pub}}}\n`;
    for (const text of ['registries: [', 'kind: x\n', policyText({ serial: 4, more: unusable })]) {
      await node.write(text);
      await node.policies.look();
      assert.equal(node.shares(), 'team');
    }
    assert.deepEqual(node.refused(), ['YAML_INVALID', 'POLICY_INVALID', 'FILE_UNREADABLE']);
    // A key that nobody can use.
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    await replaceFile(node.disk, '/etc/a.pub', Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })));
    await node.policies.look();
    assert.deepEqual([node.refused().length, node.refused().at(-1)], [4, 'POLICY_INVALID']);
    assert.equal(node.shares(), 'team');
  });

  void it('reads the files that it names beside it, and sees when one of them changes', async () => {
    const lock = (serial: number, hex: string): Buffer =>
      Buffer.from(`pinnace-pins 1 serial ${serial}\nr.test/team/app:1 sha256:${hex.repeat(64)}\n`);
    const stage = await policyStage();
    const node = await stage.node('n1');
    assert.match(node.policies.trouble()!, /no such file/);
    await replaceFile(node.disk, '/etc/prod.lock', lock(1, 'a'));
    const text = policyText({ serial: 3 }).replace('share: cluster', 'share: cluster, pins: {files: [prod.lock]}');
    await node.write(text);
    const pin = (): unknown => node.policies.now().pin(parseReference('r.test/team/app:1') as never);
    assert.equal(pin(), `sha256:${'a'.repeat(64)}`);
    const { hash } = node.policies.now();
    await replaceFile(node.disk, '/etc/prod.lock', lock(2, 'b'));
    await node.policies.look();
    assert.equal(pin(), `sha256:${'b'.repeat(64)}`);
    assert.notEqual(node.policies.now().hash, hash);
  });
});

void describe('a signed policy', () => {
  void it('wins over an unsigned file, is kept, and is in force after a restart with the file gone', async () => {
    const stage = await policyStage(demandOf([alice, bob], { threshold: 2 }));
    const node = await stage.node('n1', policyText({ serial: 90 }));
    let changes = 0;
    node.members.onChange(() => (changes += 1));
    const bundle = bundleOf(stage.cluster.id, { serial: 4, shares: 'other' }, [alice, bob]);
    assert.equal(await node.policies.take(bundle, 'dropped'), true);
    assert.equal(await node.policies.take(bundle, 'dropped'), false);
    assert.deepEqual([node.shares(), changes, node.refused()], ['other', 1, []]);
    const { signers, serial } = node.audit.of('policy.loaded').at(-1)!;
    const ids = [alice, bob].map(key => keyIdOf(spkiOf(key)).slice(0, 16)).sort();
    assert.deepEqual([signers, serial], [ids.join(' '), 4]);
    assert.equal(node.members.policy?.serial, 4);
    await node.disk.remove(POLICY_FILE);
    const again = await node.again();
    assert.deepEqual([again.shares(), again.policies.trouble()], ['other', undefined]);
    assert.equal(again.policies.now().hash, node.policies.now().hash);
  });

  void it('goes from node to node packed, and is news once', async () => {
    const stage = await policyStage(demandOf([alice]));
    const [n1, n2] = [await stage.node('n1'), await stage.node('n2')];
    await n1.policies.take(bundleOf(stage.cluster.id, { serial: 4 }, [alice]), 'dropped');
    const { bytes } = n1.members.policy!;
    assert.equal(await n2.members.offerPolicy(bytes), true);
    assert.equal(await n2.members.offerPolicy(bytes), false);
    assert.equal(await n2.members.offerPolicy(await packed(bundleOf(stage.cluster.id, { serial: 4 }, [alice]))), false);
    assert.deepEqual([n2.shares(), n2.policies.trouble()], ['team', undefined]);
  });

  void it('may be the file of the configuration', async () => {
    const stage = await policyStage(demandOf([alice], { requireSigned: true }));
    const node = await stage.node('n1', bundleOf(stage.cluster.id, { serial: 4 }, [alice]));
    assert.equal(node.shares(), 'team');
    await node.write(bundleOf(stage.cluster.id, { serial: 5, shares: 'other' }, [alice]));
    assert.deepEqual([node.shares(), node.members.policy?.serial], ['other', 5]);
    await node.write(bundleOf(stage.cluster.id, { serial: 4 }, [alice]));
    assert.deepEqual([node.shares(), node.refused()], ['other', ['POLICY_ROLLBACK']]);
  });

  void it('is refused where too few signed, for another cluster, and where it says of itself what its policy does not', async () => {
    const stage = await policyStage(demandOf([alice, bob], { threshold: 2 }));
    const node = await stage.node('n1');
    const { id } = stage.cluster;
    const [all, draft] = [[alice, bob], { serial: 4 }];
    for (const [bytes, code] of [
      [bundleOf(id, draft, [alice]), 'POLICY_UNSIGNED'],
      [bundleOf(id, draft, [alice, carol]), 'POLICY_UNSIGNED'],
      [bundleOf('b'.repeat(32), draft, all), 'BUNDLE_INVALID'],
      [bundleOf(id, draft, all, { serial: 5 }), 'BUNDLE_INVALID'],
      [bundleOf(id, draft, all, { name: 'dev' }), 'BUNDLE_INVALID'],
      [bundleOf(id, draft, all, { expiresAt: 9e12 }), 'BUNDLE_INVALID'],
      [bundleOf(id, draft, all, { issuedAt: 1 }), 'BUNDLE_INVALID'],
      [bundleOf(id, draft, all, { files: new Map([['more', '']]) }), 'BUNDLE_INVALID'],
      [bundleOf(id, draft, all, { policy: 'kind: x' }), 'POLICY_INVALID'],
      [Buffer.from('{}'), 'BUNDLE_INVALID'],
    ] as const) {
      await assert.rejects(node.policies.take(bytes, 'dropped'), { code });
      await assert.rejects(node.members.offerPolicy(await packed(bytes)), { code });
    }
    assert.deepEqual([node.shares(), node.members.policy], [undefined, undefined]);
    assert.equal(node.marks.bytes, undefined);
    await assert.rejects(node.members.offerPolicy(gzipSync('x').subarray(0, 9)), { code: 'BUNDLE_INVALID' });
  });

  void it('is refused where the roster names nobody', async () => {
    const stage = await policyStage();
    const node = await stage.node('n1', policyText({ serial: 1 }));
    const bytes = bundleOf(stage.cluster.id, { serial: 4, shares: 'other' }, [alice]);
    await assert.rejects(node.policies.take(bytes, 'dropped'), { code: 'POLICY_UNSIGNED' });
    assert.equal(node.shares(), 'team');
  });

  void it('that could not be recorded or kept is not in force, and is once it can be', async () => {
    const stage = await policyStage(demandOf([alice]));
    const node = await stage.node('n1');
    const bytes = bundleOf(stage.cluster.id, { serial: 4 }, [alice]);
    node.audit.broken = true;
    await assert.rejects(node.policies.take(bytes, 'dropped'), { code: 'AUDIT_UNAVAILABLE' });
    assert.equal(node.shares(), undefined);
    node.audit.broken = false;
    assert.equal(await node.policies.take(bytes, 'dropped'), true);
    assert.equal(node.shares(), 'team');
  });
});

void describe('where signed policies are required', () => {
  void it('no file of the node brings an unsigned one into force, whatever its serial, beside a bundle or without one', async () => {
    const stage = await policyStage(demandOf([alice], { requireSigned: true }));
    const node = await stage.node('n1', policyText({ serial: 1000 }));
    assert.deepEqual([node.shares(), node.refused()], [undefined, ['POLICY_UNSIGNED']]);
    assert.match(node.policies.trouble()!, /not signed/);
    assert.equal(node.policies.now().pull(reference, Date.now()).allowed, false);
    await node.members.offerPolicy(await packed(bundleOf(stage.cluster.id, { serial: 4, shares: 'other' }, [alice])));
    assert.deepEqual([node.shares(), node.policies.trouble()], ['other', undefined]);
    await node.write(policyText({ serial: 1001, shares: 'third' }));
    assert.deepEqual([node.shares(), node.refused()], ['other', ['POLICY_UNSIGNED', 'POLICY_UNSIGNED']]);
  });

  void it('and by a newer roster, the unsigned one in force admits nothing new from then on', async () => {
    const stage = await policyStage();
    const node = await stage.node('n1', policyText({ serial: 3 }));
    assert.equal(node.policies.now().admit(reference, digest, [], Date.now()).allowed, true);
    await node.under(await stage.roster(demandOf([alice], { requireSigned: true })));
    const ruling = node.policies.now().admit(reference, digest, [], Date.now());
    assert.deepEqual([ruling.allowed, ruling.code, ruling.rule], [false, 'POLICY_EXPIRED', 'team']);
    assert.match(node.policies.trouble()!, /holds no longer/);
    await node.under(await stage.roster());
    assert.equal(node.policies.now().admit(reference, digest, [], Date.now()).allowed, true);
    assert.equal(node.policies.trouble(), undefined);
  });
});

void describe('a newer roster', () => {
  for (const [what, demand] of [
    ['replaces a signer', demandOf([carol, bob], { threshold: 2 })],
    ['raises the threshold', demandOf([alice, bob, carol], { threshold: 3 })],
    ['raises the lowest serial', demandOf([alice, bob], { threshold: 2, lowestSerial: 5 })],
    ['names nobody any more', undefined],
  ] as const)
    void it(`that ${what} ends the policy in force at once: what was admitted stays, nothing new is, and the node is not ready`, async () => {
      const stage = await policyStage(demandOf([alice, bob], { threshold: 2 }));
      const node = await stage.node('n1');
      const bytes = bundleOf(stage.cluster.id, { serial: 4 }, [alice, bob]);
      await node.policies.take(bytes, 'dropped');
      const before = node.policies.now();
      const jwt = await stage.roster(demand);
      const ended: unknown[] = [];
      // Told in the same moment as the roster is in force: nothing lies between.
      node.members.onChange(() => ended.push(node.policies.now().admit(reference, digest, [], Date.now()).code));
      await node.under(jwt);
      assert.equal(ended[0], 'POLICY_EXPIRED');
      const now = node.policies.now();
      assert.deepEqual([now.hash, now.onExpiry, now.expiresAt! < Date.now()], [before.hash, 'freeze', true]);
      assert.equal(now.pull(reference, Date.now()).allowed, true);
      assert.equal(node.shares(), 'team');
      assert.match(node.policies.trouble()!, /holds no longer/);
      assert.equal(node.members.policy, undefined);
      await assert.rejects(node.policies.take(bytes, 'dropped'));
      // Whoever starts so has nothing that was admitted.
      const again = await node.again();
      assert.equal(again.policies.now().pull(reference, Date.now()).allowed, false);
      assert.notEqual(again.policies.trouble(), undefined);
    });

  void it('under which the same policy is signed anew, by who counts now, brings it back', async () => {
    const stage = await policyStage(demandOf([alice, bob], { threshold: 2 }));
    const node = await stage.node('n1');
    await node.policies.take(bundleOf(stage.cluster.id, { serial: 4 }, [alice, bob]), 'dropped');
    await node.under(await stage.roster(demandOf([carol, bob], { threshold: 2 })));
    const bytes = bundleOf(stage.cluster.id, { serial: 4 }, [carol, bob]);
    assert.equal(await node.policies.take(bytes, 'dropped'), true);
    assert.deepEqual([node.policies.trouble(), node.members.policy?.serial], [undefined, 4]);
    assert.equal(node.policies.now().admit(reference, digest, [], Date.now()).allowed, true);
  });

  void it('that leaves the signers as they were changes nothing, and is not asked what it says of policies again', async () => {
    const stage = await policyStage(demandOf([alice]));
    const node = await stage.node('n1');
    await node.policies.take(bundleOf(stage.cluster.id, { serial: 4 }, [alice]), 'dropped');
    const [before, loaded] = [node.policies.now(), node.audit.of('policy.loaded').length];
    await node.under(await stage.roster(demandOf([alice])));
    assert.equal(node.policies.now(), before);
    assert.equal(node.audit.of('policy.loaded').length, loaded);
  });

  void it('that names a signer lets in what was kept and did not count before', async () => {
    const stage = await policyStage(demandOf([alice]));
    const node = await stage.node('n1');
    await node.policies.take(bundleOf(stage.cluster.id, { serial: 4 }, [alice]), 'dropped');
    await node.under(await stage.roster(demandOf([carol])));
    const again = await node.again();
    assert.deepEqual([again.shares(), again.refused()[0]], [undefined, 'POLICY_UNSIGNED']);
    await again.under(await stage.roster(demandOf([alice, carol])));
    assert.deepEqual([again.shares(), again.policies.trouble()], ['team', undefined]);
  });

  void it('that demands no signature any more lets an unsigned policy in only above all that were signed', async () => {
    const stage = await policyStage(demandOf([alice], { requireSigned: true }));
    const node = await stage.node('n1', policyText({ serial: 4, shares: 'other' }));
    await node.policies.take(bundleOf(stage.cluster.id, { serial: 4 }, [alice]), 'dropped');
    await node.under(await stage.roster());
    assert.equal(node.refused().at(-1), 'POLICY_ROLLBACK');
    assert.match(node.policies.trouble()!, /holds no longer/);
    await node.write(policyText({ serial: 5, shares: 'other' }));
    assert.deepEqual([node.shares(), node.policies.trouble()], ['other', undefined]);
  });
});

void describe('what was kept', () => {
  void it('is refused by its file where it is damaged, half-written or of a newer version', async () => {
    const stage = await policyStage(demandOf([alice]));
    const node = await stage.node('n1');
    await node.policies.take(bundleOf(stage.cluster.id, { serial: 4 }, [alice]), 'dropped');
    const [marks, bundle] = [Buffer.from(node.marks.bytes!), Buffer.from(node.bundle.bytes!)];
    assert.deepEqual(Object.keys(JSON.parse(marks.toString()) as object), ['version', 'signed']);
    const newer = marks.toString().replace('"version":1', '"version":9');
    for (const [keep, bytes, code] of [
      [node.marks, marks.subarray(0, marks.length / 2), 'STATE_INVALID'],
      [node.marks, Buffer.from(''), 'STATE_INVALID'],
      [node.marks, Buffer.from(newer), 'STATE_NEWER'],
      [node.marks, Buffer.from('{"version":1,"signed":{"serial":4,"id":"x"}}'), 'STATE_INVALID'],
      [node.marks, Buffer.from('{"version":1,"more":1}'), 'STATE_INVALID'],
      [node.bundle, bundle.subarray(0, bundle.length / 2), 'STATE_INVALID'],
      [node.bundle, Buffer.from(''), 'STATE_INVALID'],
      [node.bundle, gzipSync('nonsense'), 'STATE_INVALID'],
    ] as const) {
      const good = keep.bytes;
      keep.bytes = new Uint8Array(bytes);
      await assert.rejects(node.again(), { code });
      keep.bytes = good;
    }
    assert.equal((await node.again()).shares(), 'team');
  });
});

void describe('after its end', () => {
  const ended = '2026-01-02T00:00:00Z';
  for (const onExpiry of ['freeze', 'deny'] as const)
    void it(`a signed policy admits nothing new, and by ${onExpiry} what was admitted ${onExpiry === 'deny' ? 'goes' : 'stays'}`, async () => {
      const stage = await policyStage(demandOf([alice]));
      const node = await stage.node('n1');
      await node.policies.take(
        bundleOf(stage.cluster.id, { serial: 4, expiresAt: ended, onExpiry }, [alice]),
        'dropped',
      );
      const [policy, end] = [node.policies.now(), Date.parse(ended)];
      assert.equal(policy.admit(reference, digest, [], end - 1).allowed, true);
      assert.equal(policy.admit(reference, digest, [], end).code, 'POLICY_EXPIRED');
      assert.equal(policy.pull(reference, end).allowed, onExpiry === 'freeze');
      assert.equal(policy.admit(reference, digest, [], end - 1).until, onExpiry === 'freeze' ? undefined : end);
      // One that ended is newer all the same: it is never replaced by the one before.
      const older = bundleOf(stage.cluster.id, { serial: 3 }, [alice]);
      await assert.rejects(node.policies.take(older, 'dropped'), { code: 'POLICY_ROLLBACK' });
    });
});
