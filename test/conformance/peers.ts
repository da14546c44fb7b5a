/**
 * What every `Peers` does, the real ones and the hub: what one node holds and states is known to the others, what it gives
 * comes in order, and what it does not give is absent.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Code, hasCode, MirrorError } from '../../src/errors.ts';
import { type Digest, digestOf, type Node, parseTagReference } from '../../src/oci/oci.ts';
import { type Giver, type Holding, type Peers, type Referrer, REFERRERS_MAX } from '../../src/peers/peers.ts';
import { CHUNK_BYTES, type Proof, Prover, rootOf } from '../../src/proof/proof.ts';
import { seededBytes } from '../support/image-layers.ts';

/** One node as an implementation makes it. */
export interface PeersNode {
  readonly node: Node;
  readonly peers: Peers;
}

export interface PeersStage {
  /** Starts a node that gives by `giver`, linked with all started before. */
  start(name: string, giver: Giver): Promise<PeersNode>;
  /** Cuts a node off from all others. */
  cut(name: string): Promise<void>;
  end(): Promise<void>;
}

const WAIT_MS = 10_000;
const TAG = parseTagReference('registry.example/app:1');

/** Waits until that holds. */
async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = performance.now() + WAIT_MS; !holds(); await delay(10))
    if (performance.now() > end) throw new Error(`not within ${WAIT_MS} ms: ${what}`);
}

/** A giver of some contents, with what it was asked. */
class Shelf implements Giver {
  readonly #contents = new Map<Digest, { readonly bytes: Uint8Array; readonly proof: Proof }>();
  readonly given: { readonly to: string; readonly offset: number; readonly length: number }[] = [];
  readonly done: number[] = [];
  readonly doubts: Digest[] = [];

  /** Puts a content of `size` bytes on it. */
  put(seed: string, size: number): Holding & { readonly bytes: Uint8Array } {
    const bytes = Buffer.concat([...seededBytes(seed, size)]);
    const prover = new Prover('sha256');
    prover.update(bytes);
    const proof = prover.finish();
    this.#contents.set(proof.digest, { bytes, proof });
    return { digest: proof.digest, size, root: rootOf(proof), bytes };
  }

  #find(digest: Digest): { readonly bytes: Uint8Array; readonly proof: Proof } {
    const found = this.#contents.get(digest);
    if (!found) throw new MirrorError('CONTENT_ABSENT', 'not here');
    return found;
  }

  async give(to: Node, digest: Digest, offset: number, length: number): ReturnType<Giver['give']> {
    const { bytes } = this.#find(digest);
    if (offset + length > bytes.length) throw new MirrorError('CONTENT_ABSENT', 'not here');
    this.given.push({ to: to.name, offset, length });
    return {
      read: async (into, position) => {
        const part = bytes.subarray(position, position + into.length);
        into.set(part);
        return part.length;
      },
      done: async count => void this.done.push(count),
    };
  }

  async proof(_: Node, digest: Digest): Promise<Proof> {
    return this.#find(digest).proof;
  }

  /** What it has about a digest, by the name of who may know; whatever else is asked fails as a giver may. */
  readonly about = new Map<Digest, ReadonlyMap<string, readonly Referrer[]>>();

  async referrers(to: Node, subject: Digest): Promise<readonly Referrer[]> {
    const about = this.about.get(subject);
    if (!about) throw new MirrorError('CONTENT_ABSENT', 'nothing about it');
    return about.get(to.name) ?? [];
  }

  doubt(_: Node, digest: Digest): void {
    this.doubts.push(digest);
  }
}

const is = (code: Code) => (error: unknown) => hasCode(error, code);

/** Runs the suite; `make` makes a stage without nodes. */
export function peersConformance(name: string, make: () => Promise<PeersStage>): void {
  void describe(`peers: ${name}`, () => {
    const signal = new AbortController().signal;
    const shelf = new Shelf();
    const large = shelf.put('large', 5 * CHUNK_BYTES + 7);
    const small = shelf.put('small', 10);
    const secret = new Shelf().put('secret', 10);
    const held = ({ digest, size, root }: Holding): Holding => ({ digest, size, root });
    let stage: PeersStage;
    let giver: PeersNode;
    let reader: PeersNode;
    let second: PeersNode;
    before(async () => {
      stage = await make();
      giver = await stage.start('giver', shelf);
      reader = await stage.start('reader', new Shelf());
      await giver.peers.hold([held(large), held(small), held(secret)]);
      await until('the holdings are known', () => reader.peers.holders(small.digest).length === 1);
    });
    after(() => stage.end());

    async function readAll(digest: Digest, offset: number, length: number): Promise<Buffer> {
      const parts: Buffer[] = [];
      for await (const chunk of reader.peers.read(giver.node.peer, digest, offset, length, signal)) {
        parts.push(Buffer.from(chunk.bytes));
        chunk.release();
      }
      return Buffer.concat(parts);
    }

    void it('know what others hold, with size, root and the signed statement; their own they leave out', () => {
      const [holder] = reader.peers.holders(large.digest);
      assert.deepEqual(
        [holder!.node.name, holder!.size, holder!.root, holder!.digest],
        ['giver', large.size, large.root, large.digest],
      );
      assert.ok(holder!.statement.length > 0);
      assert.deepEqual(giver.peers.holders(large.digest), []);
      assert.deepEqual(reader.peers.holders(shelf.put('never told', 3).digest), []);
    });

    void it('forget what is no longer held, and only that', async () => {
      await giver.peers.hold([held(large), held(secret)]);
      await until('it is forgotten', () => reader.peers.holders(small.digest).length === 0);
      assert.equal(reader.peers.holders(large.digest).length, 1);
      await giver.peers.hold([held(large), held(small), held(secret)]);
      await until('it is back', () => reader.peers.holders(small.digest).length === 1);
    });

    void it('know what others state of a tag', async () => {
      const now = Date.now();
      const tag = { reference: TAG, digest: small.digest, observedAt: now - 1_000, renewedAt: now };
      await giver.peers.stateTags([tag]);
      await until('the tag is known', () => reader.peers.tagStatements(TAG).length === 1);
      const [{ node, ...stated }] = reader.peers.tagStatements(TAG) as [ReturnType<Peers['tagStatements']>[number]];
      assert.deepEqual([node.name, stated], ['giver', tag]);
      assert.equal(reader.peers.statedTags().length, 1);
      assert.deepEqual(giver.peers.statedTags(), []);
    });

    void it('give bytes in order, in whole chunks, from any chunk on', async () => {
      for (const [offset, length] of [
        [0, large.size],
        [3 * CHUNK_BYTES, large.size - 3 * CHUNK_BYTES],
        [CHUNK_BYTES, CHUNK_BYTES],
      ] as const) {
        const bytes = await readAll(large.digest, offset, length);
        assert.ok(bytes.equals(Buffer.from(large.bytes).subarray(offset, offset + length)));
        assert.deepEqual(shelf.given.at(-1), { to: 'reader', offset, length });
      }
      assert.ok((await readAll(small.digest, 0, 10)).equals(Buffer.from(small.bytes)));
      await until('each gift is done', () => shelf.done.length === shelf.given.length);
      assert.equal(shelf.done[0], large.size);
    });

    void it('give proofs that were signed', async () => {
      const proof = await reader.peers.proof(giver.node.peer, large.digest, large.size, signal);
      assert.equal(rootOf(proof), large.root);
    });

    void it('say absent for what the giver does not give, whole or in part', async () => {
      await assert.rejects(readAll(secret.digest, 0, 10), is('CONTENT_ABSENT'));
      await assert.rejects(readAll(small.digest, 0, 11), is('CONTENT_ABSENT'));
      await assert.rejects(reader.peers.proof(giver.node.peer, secret.digest, 10, signal), is('CONTENT_ABSENT'));
    });

    void it('say what there is about a digest, and nothing in the same way where there is none or it is for others', async () => {
      const about = (name: string, size = 500): Referrer => ({
        bond: 'subject',
        digest: digestOf(Buffer.from(name)),
        size,
      });
      const asked = (subject: Digest): Promise<readonly Referrer[]> =>
        reader.peers.referrers(giver.node.peer, subject, signal);
      const mine: Referrer[] = [about('a'), { ...about('b', 1 << 20), bond: 'sig' }, { ...about('b', 1), bond: 'att' }];
      shelf.about.set(small.digest, new Map([['reader', mine]]));
      shelf.about.set(large.digest, new Map([['somebody else', mine]]));
      const order = (all: readonly Referrer[]): string[] => all.map(one => JSON.stringify(one)).sort();
      assert.deepEqual(order(await asked(small.digest)), order(mine));
      assert.deepEqual(await asked(large.digest), []);
      assert.deepEqual(await asked(secret.digest), []);
      const many = Array.from({ length: 40 }, (_, i) => about(`${i}`));
      shelf.about.set(small.digest, new Map([['reader', [about('empty', 0), about('huge', 2 ** 20 + 1), ...many]]]));
      assert.equal((await asked(small.digest)).length, REFERRERS_MAX);
    });

    void it('end a gift when the loop is left, and read on after it', async () => {
      const gifts = shelf.given.length;
      for await (const chunk of reader.peers.read(giver.node.peer, large.digest, 0, large.size, signal)) {
        chunk.release();
        break;
      }
      await until('the gift is done', () => shelf.done.length === gifts + 1);
      assert.ok(shelf.done.at(-1)! < large.size);
      assert.equal((await readAll(small.digest, 0, 10)).length, 10);
    });

    void it('end a read with its signal', async () => {
      const stop = new AbortController();
      const read = async (): Promise<void> => {
        for await (const chunk of reader.peers.read(giver.node.peer, large.digest, 0, large.size, stop.signal)) {
          chunk.release();
          stop.abort();
        }
      };
      await assert.rejects(read(), is('STOPPED'));
    });

    void it('pass a doubt on, and ask the doubted one last', async () => {
      const other = new Shelf();
      const twin = other.put('large', 5 * CHUNK_BYTES + 7);
      second = await stage.start('second', other);
      await second.peers.hold([held(twin)]);
      await until('both hold it', () => reader.peers.holders(large.digest).length === 2);
      const [first] = reader.peers.holders(large.digest);
      reader.peers.shun(first!.node.peer, large.digest);
      assert.equal(reader.peers.holders(large.digest).at(-1)!.node.name, first!.node.name);
      const doubted = first!.node.name === 'giver' ? shelf : other;
      await until('the doubt arrived', () => doubted.doubts.includes(large.digest));
    });

    void it('tell of a holding only those whom its audience lets know, as long as it does', async () => {
      const forReader = shelf.put('for the reader', 11);
      const forSecond = shelf.put('for the second', 12);
      const only = (name: string) => (node: Node) => node.name === name;
      const known = (who: Peers, { digest }: Holding): number => who.holders(digest).length;
      await giver.peers.hold([
        held(large),
        { ...held(forReader), audience: only('reader') },
        { ...held(forSecond), audience: only('second') },
      ]);
      await until('each is told its own', () => known(reader.peers, forReader) + known(second.peers, forSecond) === 2);
      assert.deepEqual([known(reader.peers, forSecond), known(second.peers, forReader)], [0, 0]);
      assert.equal(reader.peers.holders(forReader.digest)[0]!.root, forReader.root);
      assert.equal(reader.peers.status().find(({ node }) => node.name === 'giver')!.holdings, 2);
      await giver.peers.hold([held(large), { ...held(forReader), audience: only('second') }]);
      await until('it is for the other now', () => known(second.peers, forReader) === 1);
      await until('and no more for the first', () => known(reader.peers, forReader) === 0);
      assert.equal(known(second.peers, forSecond), 0);
      await giver.peers.hold([held(large)]);
      await until('nothing is limited any more', () => known(second.peers, forReader) === 0);
    });

    void it('know who is there, and lose who is cut off, but for its word on tags', async () => {
      const status = (): boolean | undefined =>
        reader.peers.status().find(({ node }) => node.name === 'giver')?.connected;
      assert.equal(status(), true);
      await stage.cut('giver');
      await until('it is away', () => status() === false);
      await assert.rejects(readAll(small.digest, 0, 10), is('PEER_UNREACHABLE'));
      assert.equal(reader.peers.tagStatements(TAG).length, 1);
    });
  });
}
