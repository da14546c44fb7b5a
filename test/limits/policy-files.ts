/** Tries of the limits on files of policies, on signed policies, and on what commands read. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { sourcedImages } from '../../src/cli/image-sources.ts';
import { kubeImages } from '../../src/cli/kube-images.ts';
import { readPolicyOnce } from '../../src/cli/policy-files.ts';
import { formatPins, parsePins, type Pin } from '../../src/policy/pins.ts';
import { bundlePolicy, signPolicy, unsealPolicy } from '../../src/trust/policy-bundle.ts';
import { packBundle, unpackBundle } from '../../src/trust/policy-packing.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { whole } from '../support/policies.ts';
import { bundleOf, person } from '../support/signed-policies.ts';
import { digestAt } from '../support/sigstore-judging.ts';
import { is, refused, type Tries } from './table.ts';

/** Reads a policy that names as many lock files as there are others. */
function named(...files: readonly Uint8Array[]): ReturnType<typeof readPolicyOnce> {
  const names = files.map((_, at) => `${at}.lock`);
  // A rule names 64 at most.
  const rules = [names.slice(0, 64), names.slice(64)]
    .filter(({ length }) => length > 0)
    .map((some, at) => ({ name: `r${at}`, match: `r.test/a${at}`, pins: { files: some } }));
  const disk = new MemoryDisk();
  disk.poke('/policy', Buffer.from(whole(`rules: ${JSON.stringify(rules)}`)));
  for (const [at, bytes] of files.entries()) disk.poke(`/${at}.lock`, bytes);
  return readPolicyOnce(disk, '/policy');
}

/** A lock file of exactly so many bytes. */
function lockOf(bytes: number): Buffer {
  const pin = (at: number, note: number): Pin => ({
    reference: `r.test/a:${String(at).padStart(8, '0')}`,
    digest: digestAt('x'),
    note: 'n'.repeat(note),
  });
  const [short, long] = [formatPins(1, [pin(0, 1)]).length, formatPins(1, [pin(0, 512)]).length];
  const each = formatPins(1, [pin(0, 512), pin(1, 512)]).length - long;
  const count = Math.floor((bytes - short) / each);
  const pins = Array.from({ length: count }, (_, at) => pin(at, 512));
  const lack = bytes - formatPins(1, [...pins, pin(count, 1)]).length;
  return Buffer.from(formatPins(1, [...pins, pin(count, 1 + lack)]));
}

/** Random bytes that gzip makes exactly so many of. */
function incompressible(packed: number): Buffer {
  const bytes = randomBytes(packed);
  let length = packed;
  for (let over = 1; over !== 0; length -= over)
    over = gzipSync(bytes.subarray(0, length), { level: 9 }).length - packed;
  return bytes.subarray(0, length);
}

export const policyFileTries: Tries = {
  'policy-file': async ({ numbers: [own, one, all, most], codes: [large, many] }) => {
    const disk = new MemoryDisk();
    const bundle = Buffer.alloc(own + 1, bundleOf('c', { serial: 1 }, []));
    for (const size of [own, own + 1]) disk.poke(`/${size}`, bundle.subarray(0, size));
    assert.equal((await readPolicyOnce(disk, `/${own}`)).kind, 'bundle');
    await assert.rejects(readPolicyOnce(disk, `/${own + 1}`), is(large));
    const zeros = Buffer.alloc(one + 1);
    const half = zeros.subarray(0, all / 2);
    assert.ok(all / 2 <= one);
    await named(zeros.subarray(0, one));
    await assert.rejects(named(zeros), is(large));
    await named(half, half);
    await assert.rejects(named(half, half, zeros.subarray(0, 1)), is(large));
    const files = (count: number): Uint8Array[] => Array.from({ length: count }, () => Buffer.from('x'));
    await named(...files(most));
    await assert.rejects(named(...files(most + 1)), is(many!));
  },
  'lock-file': async ({ numbers: [bytes, note], codes: [code, file] }) => {
    const largest = lockOf(bytes);
    assert.equal(largest.length, bytes);
    assert.ok(parsePins(largest, 'p').pins.list.length > 90_000);
    refused(code, () => parsePins(Buffer.concat([largest, Buffer.from('\n')]), 'p'));
    await assert.rejects(named(Buffer.alloc(bytes + 1)), is(file!));
    const noted = (length: number): string =>
      formatPins(1, [{ reference: 'r.test/a:1', digest: digestAt('x'), note: 'n'.repeat(length) }]);
    parsePins(Buffer.from(noted(note)), 'p');
    refused(code, () => noted(note + 1));
    refused(code, () => parsePins(Buffer.from(noted(note).replace('n\n', 'nn\n')), 'p'));
  },
  'policy-bundle': async ({ numbers: [envelope, packed, signatures], codes: [code, signing] }) => {
    const zeros = Buffer.alloc(envelope + 1);
    assert.equal((await unpackBundle(gzipSync(zeros.subarray(0, envelope)))).length, envelope);
    await assert.rejects(unpackBundle(gzipSync(zeros)), is(code));
    refused(code, () => unsealPolicy(zeros));
    const fits = incompressible(packed);
    const sent = await packBundle(fits);
    assert.equal(sent.length, packed);
    assert.ok(fits.equals(await unpackBundle(sent)));
    await assert.rejects(packBundle(Buffer.concat([fits, randomBytes(1)])), is(signing!));
    await assert.rejects(unpackBundle(Buffer.concat([sent, Buffer.alloc(1)])), is(code));
    let sealed = bundlePolicy({
      cluster: 'c',
      name: 'n',
      serial: 1,
      issuedAt: 1,
      expiresAt: 2,
      policy: '',
      files: new Map(),
    });
    for (let at = 0; at < signatures; at++) sealed = unsealPolicy(signPolicy(sealed, person()));
    refused(code, () => signPolicy(sealed, person()));
    assert.equal(sealed.signatures.length, signatures);
  },
  'manifests-file': async ({ numbers: [bytes, documents, images, levels], codes: [large, code] }) => {
    const folder = await mkdtemp(join(tmpdir(), 'pinnace-limits-'));
    try {
      const file = join(folder, 'm.json');
      const from = (): ReturnType<typeof sourcedImages> => sourcedImages([], { manifests: [file] }, undefined as never);
      const text = Buffer.alloc(bytes + 1, ' ');
      text.write('{"image":"r.test/a:1"}');
      await writeFile(file, text.subarray(0, bytes));
      assert.equal((await from()).length, 1);
      await writeFile(file, text);
      await assert.rejects(from(), is(large));
    } finally {
      await rm(folder, { recursive: true });
    }
    const parted = (count: number): unknown =>
      kubeImages(Array.from({ length: count }, () => '# nothing\n').join('---\n'), 'f');
    parted(documents);
    refused(code!, () => parted(documents + 1));
    const named = (count: number): readonly unknown[] =>
      kubeImages(JSON.stringify({ all: Array.from({ length: count }, (_, at) => ({ image: `r.test/a:${at}` })) }), 'f');
    assert.equal(named(images).length, images);
    refused(code!, () => named(images + 1));
    const nested = (count: number): unknown => kubeImages(`${'{"a":'.repeat(count)}1${'}'.repeat(count)}`, 'f');
    nested(levels);
    refused(code!, () => nested(levels + 1));
  },
};
