/**
 * The fake of the port `Peers`: nodes in one process that hand each other what their givers give, without keys and wires.
 * Passes test/conformance/peers.ts like the real one. A node can be cut off, or its gifts be changed on the way.
 */
import { MirrorError } from '../../src/errors.ts';
import { type Digest, formatReference, type Node, type PeerId, type Role } from '../../src/oci/oci.ts';
import {
  type Chunk,
  type Giver,
  type Holder,
  type Holding,
  type Peers,
  type PeerStatus,
  type Referrer,
  type TagStatement,
} from '../../src/peers/peers.ts';
import { encodeReferrers, parseReferrers } from '../../src/peers/referrers.ts';
import { CHUNK_BYTES, parseProof, type Proof } from '../../src/proof/proof.ts';

const ROLES: readonly Role[] = ['fetch', 'serve', 'attest'];

/** What happens to bytes that a node gives: changed, or an error in their place. */
export type OnTheWay = (bytes: Uint8Array, position: number) => Promise<Uint8Array> | Uint8Array;

interface Member {
  readonly node: Node;
  giver: Giver | undefined;
  holdings: readonly Holding[];
  tags: readonly TagStatement[];
  connected: boolean;
  onTheWay: OnTheWay;
  /** Peers that it asks last. */
  readonly shunned: Set<PeerId>;
}

/** What `work` gives. @throws STOPPED once `signal` aborts, whatever becomes of the work */
function unlessAborted<T>(signal: AbortSignal, work: T | Promise<T>): Promise<T> {
  return new Promise((done, failed) => {
    const stop = (): void => failed(new MirrorError('STOPPED', 'a read was stopped', { cause: signal.reason }));
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
    Promise.resolve(work)
      .then(done, failed)
      .finally(() => signal.removeEventListener('abort', stop));
  });
}

const knows = ({ node }: Member, { audience }: Holding): boolean =>
  !audience || (node.roles.has('fetch') && audience(node));

export class Hub {
  readonly #members = new Map<PeerId, Member>();

  /** Adds a node called `name`; its peer id is made of the name. */
  join(
    name: string,
    roles: readonly Role[] = ROLES,
    zone?: string,
  ): Peers & { readonly node: Node; serve(giver: Giver): void } {
    const peer = `12D3KooW${name
      .replace(/[^a-zA-Z1-9]/g, 'x')
      .replace(/[lIO0]/g, 'y')
      .padEnd(44, 'Q')}` as PeerId;
    const node: Node = {
      peer,
      name,
      ...(zone ? { zone } : {}),
      roles: new Set(roles),
      issuedAt: 1,
      expiresAt: 2 ** 45,
    };
    const own: Member = {
      node,
      giver: undefined,
      holdings: [],
      tags: [],
      connected: true,
      onTheWay: bytes => bytes,
      shunned: new Set(),
    };
    this.#members.set(peer, own);
    return {
      node,
      serve: giver => void (own.giver = giver),
      holders: digest => this.#holders(own, digest),
      tagStatements: reference =>
        this.#tags(own).filter(tag => formatReference(tag.reference) === formatReference(reference)),
      statedTags: () => this.#tags(own),
      hold: async holdings => void (own.holdings = [...holdings]),
      stateTags: async tags => void (own.tags = [...tags]),
      proof: (from, digest, size) => this.#proof(own, from, digest, size),
      referrers: (from, subject, signal) => unlessAborted(signal, this.#referrers(own, from, subject)),
      read: (from, digest, offset, length, signal) => this.#read(own, from, digest, offset, length, signal),
      shun: (from, doubt) => {
        own.shunned.add(from);
        if (doubt) this.#members.get(from)?.giver?.doubt(node, doubt);
      },
      status: () => this.#status(own),
      clones: () => [],
    };
  }

  /** Cuts a node off, or brings it back. */
  connect(name: string, connected: boolean): void {
    this.#named(name).connected = connected;
  }

  /** Changes what a node gives. */
  tamper(name: string, onTheWay: OnTheWay): void {
    this.#named(name).onTheWay = onTheWay;
  }

  #named(name: string): Member {
    const found = [...this.#members.values()].find(({ node }) => node.name === name);
    if (!found) throw new Error(`no node ${name}`);
    return found;
  }

  #others(own: Member): readonly Member[] {
    return [...this.#members.values()].filter(member => member !== own);
  }

  #holders(own: Member, digest: Digest): readonly Holder[] {
    if (!own.connected) return [];
    return this.#others(own)
      .filter(({ connected, node }) => connected && node.roles.has('serve'))
      .flatMap(({ node, holdings }) => {
        const holding = holdings.find(one => one.digest === digest && knows(own, one));
        return holding ? [{ node, ...holding, statement: Buffer.from(`${node.name} ${digest} ${holding.root}`) }] : [];
      })
      .sort((a, b) => Number(own.shunned.has(a.node.peer)) - Number(own.shunned.has(b.node.peer)));
  }

  /** What was stated outlives its signer. */
  #tags(own: Member): readonly (TagStatement & { readonly node: Node })[] {
    return this.#others(own).flatMap(({ node, tags }) =>
      node.roles.has('attest') ? tags.map(tag => ({ ...tag, node })) : [],
    );
  }

  #giver(own: Member, peer: PeerId): Member & { readonly giver: Giver } {
    const found = this.#members.get(peer);
    if (!found?.giver || !found.connected || !own.connected)
      throw new MirrorError('PEER_UNREACHABLE', `${found?.node.name ?? peer} is away`);
    return found as Member & { readonly giver: Giver };
  }

  async #proof(own: Member, peer: PeerId, digest: Digest, size: number): Promise<Proof> {
    const { list } = await this.#giver(own, peer).giver.proof(own.node, digest);
    return parseProof(digest, size, list);
  }

  async #referrers(own: Member, peer: PeerId, subject: Digest): Promise<readonly Referrer[]> {
    const { giver, node } = this.#giver(own, peer);
    if (!node.roles.has('serve')) throw new MirrorError('ROLE_MISSING', `${node.name} may not be asked`);
    const referrers = await giver.referrers(own.node, subject).catch((error: unknown) => {
      if (error instanceof MirrorError) return [];
      throw error;
    });
    return parseReferrers(encodeReferrers(referrers));
  }

  async *#read(
    own: Member,
    peer: PeerId,
    digest: Digest,
    offset: number,
    length: number,
    signal: AbortSignal,
  ): AsyncGenerator<Chunk> {
    const from = this.#giver(own, peer);
    const gift = await from.giver.give(own.node, digest, offset, length);
    let at = offset;
    try {
      while (at < offset + length) {
        const bytes = new Uint8Array(Math.min(CHUNK_BYTES, offset + length - at));
        for (let got = 0; got < bytes.length; )
          got += await unlessAborted(signal, gift.read(bytes.subarray(got), at + got));
        if (!from.connected) throw new MirrorError('LANE_CLOSED', `${from.node.name} went away at ${at}`);
        yield { bytes: await unlessAborted(signal, from.onTheWay(bytes, at)), release: () => undefined };
        at += bytes.length;
      }
    } finally {
      await gift.done(at - offset);
    }
  }

  #status(own: Member): readonly PeerStatus[] {
    return this.#others(own).map(({ node, connected, holdings }) => ({
      node,
      connected,
      holdings: holdings.filter(holding => knows(own, holding)).length,
      lanes: 0,
    }));
  }
}
