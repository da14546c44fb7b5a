/** Hash results: kept over restarts, never believed where the file or the result changed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { type Digest, digestOf } from '../../src/oci/oci.ts';
import { CHUNK_BYTES, type Proof, Prover } from '../../src/proof/proof.ts';
import { openHashes } from '../../src/store/hashes.ts';
import { openProofFiles } from '../../src/store/hashes-files.ts';
import type { Content } from '../../src/store/store.ts';
import { realWorld, type World } from '../../src/world.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const DIR = '/proofs';
const SIZE = 2 * CHUNK_BYTES + 100;
const BYTES = Buffer.alloc(SIZE, 'some bytes that are hashed ');
const live = new AbortController().signal;
const idle = { busy: (): boolean => false };

interface Counted extends Content {
  reads: number;
}

/** A content in memory that counts how often it is read. */
function contentOf(bytes: Uint8Array, stamp: string, digest: Digest = digestOf(bytes)): Counted {
  return {
    digest,
    size: bytes.length,
    stamp,
    reads: 0,
    async read(into, position) {
      this.reads += 1;
      const part = bytes.subarray(position, position + into.length);
      into.set(part);
      return part.length;
    },
    close: () => Promise.resolve(),
  };
}

function proofOf(bytes: Uint8Array): Proof {
  const prover = new Prover('sha256');
  prover.update(bytes);
  return prover.finish();
}

const nameOf = (bytes: Uint8Array): string => `${DIR}/${digestOf(bytes).replace(':', '-')}`;

void describe('hash results', () => {
  void it('are kept by digest and stamp, over a restart', async () => {
    const disk = new MemoryDisk();
    const content = contentOf(BYTES, 'one');
    const proof = await (await openHashes(disk, DIR, realWorld, idle)).prove(content, live);
    assert.deepEqual(proof, proofOf(BYTES));
    assert.equal(content.reads, 3);
    const hashes = await openHashes(disk, DIR, realWorld, idle);
    assert.deepEqual(Buffer.from((await hashes.prove(content, live)).list), Buffer.from(proof.list));
    assert.equal(content.reads, 3);
    const touched = contentOf(BYTES, 'two');
    await hashes.prove(touched, live);
    assert.equal(touched.reads, 3);
    await hashes.prove(touched, live);
    assert.equal(touched.reads, 3);
  });

  void it('are known by digest, whatever became of the file', async () => {
    const hashes = await openHashes(new MemoryDisk(), DIR, realWorld, idle);
    assert.equal(await hashes.known(digestOf(BYTES)), undefined);
    await hashes.prove(contentOf(BYTES, 'one'), live);
    assert.equal((await hashes.known(digestOf(BYTES)))?.size, SIZE);
  });

  void it('are made anew on demand', async () => {
    const hashes = await openHashes(new MemoryDisk(), DIR, realWorld, idle);
    const content = contentOf(BYTES, 'one');
    await hashes.prove(content, live);
    await hashes.again(content, live);
    assert.equal(content.reads, 6);
  });

  void it('of other bytes than the digest names are STORE_CORRUPT, and nothing is kept', async () => {
    const disk = new MemoryDisk();
    const hashes = await openHashes(disk, DIR, realWorld, idle);
    await hashes.prove(contentOf(BYTES, 'one'), live);
    const rotten = Buffer.from(BYTES);
    rotten[CHUNK_BYTES + 5] = 1;
    const content = contentOf(rotten, 'one', digestOf(BYTES));
    await assert.rejects(hashes.again(content, live), error => hasCode(error, 'STORE_CORRUPT'));
    assert.equal(await hashes.known(digestOf(BYTES)), undefined);
    await assert.rejects(hashes.prove(content, live), error => hasCode(error, 'STORE_CORRUPT'));
    assert.deepEqual(await disk.list(DIR), []);
  });

  void it('of a file that ends early are STORE_CORRUPT', async () => {
    const hashes = await openHashes(new MemoryDisk(), DIR, realWorld, idle);
    const content = { ...contentOf(BYTES.subarray(0, 50), 'one', digestOf(BYTES)), size: SIZE };
    await assert.rejects(hashes.prove(content, live), error => hasCode(error, 'STORE_CORRUPT'));
  });

  void it('are ignored and written anew where the file was written half, altered, or by another version', async () => {
    const disk = new MemoryDisk();
    await (await openHashes(disk, DIR, realWorld, idle)).prove(contentOf(BYTES, 'one'), live);
    const whole = Buffer.from(disk.peek(nameOf(BYTES)) ?? []);
    const altered = Buffer.from(whole);
    altered[whole.indexOf('\n') + 3]! ^= 1;
    const otherVersion = Buffer.from(whole.toString('latin1').replace('"version":1', '"version":2'), 'latin1');
    const spoilt = [
      whole.subarray(0, 0),
      whole.subarray(0, 40),
      whole.subarray(0, -1),
      altered,
      otherVersion,
      Buffer.from('{}\n'),
    ];
    for (const bytes of spoilt) {
      disk.poke(nameOf(BYTES), bytes);
      const hashes = await openHashes(disk, DIR, realWorld, idle);
      assert.equal(await hashes.known(digestOf(BYTES)), undefined);
      const content = contentOf(BYTES, 'one');
      await hashes.prove(content, live);
      assert.equal(content.reads, 3);
      assert.deepEqual(Buffer.from(disk.peek(nameOf(BYTES)) ?? []), whole);
    }
  });

  void it('are given although the disk cannot keep them', async () => {
    const disk = new MemoryDisk();
    const hashes = await openHashes(disk, DIR, realWorld, idle);
    disk.failWrites(true);
    const content = contentOf(BYTES, 'one');
    await hashes.prove(content, live);
    await hashes.prove(content, live);
    assert.equal(content.reads, 3);
  });

  void it('are bounded in number', async () => {
    const disk = new MemoryDisk();
    const files = await openProofFiles(disk, DIR, 2);
    const contents = [1, 2, 3].map(seed => Buffer.alloc(10, seed));
    for (const bytes of contents.slice(0, 2)) await files.write({ stamp: 's', proof: proofOf(bytes) });
    await files.read(digestOf(contents[0]!));
    await files.write({ stamp: 's', proof: proofOf(contents[2]!) });
    assert.deepEqual(
      new Set(await disk.list(DIR)),
      new Set([0, 2].map(at => nameOf(contents[at]!).slice(DIR.length + 1))),
    );
    assert.equal((await openProofFiles(disk, DIR, 1)) && (await disk.list(DIR)).length, 1);
  });

  void it('of one content asked for by several are made once', async () => {
    const hashes = await openHashes(new MemoryDisk(), DIR, realWorld, idle);
    const contents = [1, 2, 3].map(() => contentOf(BYTES, 'one'));
    await Promise.all(contents.map(content => hashes.prove(content, live)));
    assert.equal(
      contents.reduce((sum, { reads }) => sum + reads, 0),
      3,
    );
  });

  void it('of a small content do not wait behind a large one', async () => {
    const hashes = await openHashes(new MemoryDisk(), DIR, realWorld, idle);
    const { promise, resolve } = Promise.withResolvers<void>();
    const large = contentOf(BYTES, 'one');
    const slow = { ...large, read: (into: Uint8Array, at: number) => promise.then(() => large.read(into, at)) };
    const proving = hashes.prove(slow, live);
    await hashes.prove(contentOf(Buffer.from('small'), 'one'), live);
    resolve();
    await proving;
  });

  void it('stop with their signal, and the next one goes on', async () => {
    const hashes = await openHashes(new MemoryDisk(), DIR, realWorld, idle);
    const stop = new AbortController();
    stop.abort();
    await assert.rejects(hashes.prove(contentOf(BYTES, 'one'), stop.signal), error => hasCode(error, 'STOPPED'));
    await hashes.prove(contentOf(BYTES, 'one'), live);
  });

  void it('take at most a tenth of the time while bytes move for others', async () => {
    let time = 0;
    let slept = 0;
    const sleep = async (ms: number): Promise<void> => {
      slept += ms;
      time += ms;
    };
    const world: World = { ...realWorld, monotonic: () => time, sleep };
    const hashes = await openHashes(new MemoryDisk(), DIR, world, { busy: () => true });
    const content = contentOf(BYTES, 'one');
    const read = content.read.bind(content);
    content.read = (into, position) => {
      time += 5;
      return read(into, position);
    };
    await hashes.prove(content, live);
    assert.equal(slept, 2 * 9 * 5);
  });
});
