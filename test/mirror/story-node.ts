/**
 * The stage of the stories: nodes in one process, made of the real stories, spool, hashes, policy and books on a disk in
 * memory, with the fake store, log and hub of test/support, on a clock that moves only when a story says so. Promises: what
 * a node asked of whom and what was told are kept to look at. Refuses to know HTTP.
 */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import type { Giver, Peers } from '../../src/peers/peers.ts';
import type { Answer } from '../../src/mirror/mirror.ts';
import {
  Admitted,
  Catalogue,
  Fetches,
  Pulls,
  type Rooms,
  serving,
  Sharing,
  StatedTags,
  Verdicts,
} from '../../src/mirror/mirror.ts';
import { type Descriptor, type Digest, type Node, parseRequest, type Role } from '../../src/oci/oci.ts';
import { loadPolicy } from '../../src/policy/parse.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { openSigners, type Signers } from '../../src/trust/trust.ts';
import { openHashes } from '../../src/store/hashes.ts';
import { openSpool } from '../../src/store/spool.ts';
import type { Store } from '../../src/store/store.ts';
import { openEvidence } from '../../src/trust/evidence.ts';
import { openOrigins } from '../../src/trust/origin.ts';
import { pull } from '../../src/mirror/mirror.ts';
import { memoryKeep } from '../support/cluster.ts';
import { Hub } from '../support/hub.ts';
import { type MemoryAudit, memoryAudit } from '../support/memory-audit.ts';
import { MemoryAttachments } from '../support/memory-attachments.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { type PolicyTexts, policyTexts } from '../support/policies.ts';
import { type SimulatedWorld, simulatedWorld } from '../support/simulated-world.ts';
import { MIB, type StoryImage } from './story-image.ts';

export { MIB, type StoryImage, storyImage } from './story-image.ts';

/** The policy of a node, in the short form of tests, unless a story says another: all of r.test is mirrored and shared, one node's word makes a tag. */
export const OPEN_POLICY = `
registries: [r.test]
share: [r.test/**]
tags: [{match: r.test/**, min: 1}]
vouchers: 2
`;

/** What a node asked of another over a lane. */
export interface Asked {
  readonly from: string;
  readonly digest: Digest;
  readonly offset: number;
}

export interface StoryNodeSettings {
  /** Short or whole, with the files that it names. */
  readonly policy?: string;
  readonly files?: PolicyTexts['files'];
  readonly kind?: Store['kind'];
  readonly spoolBytes?: number;
  readonly roles?: readonly Role[];
  /** Replaces a room, as a hostile node does. */
  readonly twist?: (rooms: Pick<Rooms, 'store' | 'hashes'>) => Pick<Rooms, 'store' | 'hashes'>;
  /** A node that was here before, and starts again with what it kept. */
  readonly again?: StoryNode;
}

export interface StoryNode {
  readonly name: string;
  readonly node: Node;
  readonly rooms: Rooms;
  readonly store: MemoryStore;
  readonly disk: MemoryDisk;
  readonly audit: MemoryAudit;
  readonly sharing: Sharing;
  readonly giver: Giver;
  readonly asked: Asked[];
  /** What it told others last. */
  readonly told: { holdings: readonly Digest[]; tags: readonly string[] };
  /** Lines for a person. */
  readonly log: string[];
  /** Puts an image into the store under its name. */
  keep(image: StoryImage, more?: { fetched?: boolean; createdAt?: number }): void;
  /** Another policy is in force, as after a reload. */
  decree(policy: string, files?: PolicyTexts['files']): void;
  /** Ends its life. */
  stop(): void;
  readonly keeps: {
    readonly evidence: ReturnType<typeof memoryKeep>;
    readonly origins: ReturnType<typeof memoryKeep>;
    readonly stated: ReturnType<typeof memoryKeep>;
    readonly admitted: ReturnType<typeof memoryKeep>;
  };
}

/** What a client got. */
export interface Got {
  readonly bytes: Buffer;
  /** True where all promised bytes came. */
  readonly whole: boolean;
  readonly partial: boolean;
  readonly answer: Answer;
}

export class Story {
  readonly world: SimulatedWorld;
  readonly hub = new Hub();
  readonly #nodes: StoryNode[] = [];

  constructor(world = simulatedWorld()) {
    this.world = world;
  }

  /** Starts a node. */
  async node(name: string, settings: StoryNodeSettings = {}): Promise<StoryNode> {
    const { world, hub } = this;
    const { again, kind = 'layout' } = settings;
    const life = new AbortController();
    const disk = again?.disk ?? new MemoryDisk({ now: () => world.now() });
    const store =
      again?.store ?? new MemoryStore({ kind, now: () => world.now(), ...(kind === 'layout' ? { disk } : {}) });
    const keeps = again?.keeps ?? {
      evidence: memoryKeep(),
      origins: memoryKeep(),
      stated: memoryKeep(),
      admitted: memoryKeep(),
    };
    const audit = again?.audit ?? memoryAudit();
    let policy = load(settings.policy ?? OPEN_POLICY, settings.files);
    const own = hub.join(name, settings.roles);
    const asked: Asked[] = [];
    const log: string[] = [];
    const told: { holdings: readonly Digest[]; tags: readonly string[] } = { holdings: [], tags: [] };
    const hashes = await openHashes(disk, '/proofs', world, { busy: () => false });
    const rooms: Rooms = {
      world,
      store,
      hashes,
      audit,
      life: life.signal,
      busy: () => false,
      ...settings.twist?.({ store, hashes }),
      spool: await openSpool(disk, '/spool', settings.spoolBytes ?? 256 * MIB, world),
      evidence: await openEvidence({ keep: keeps.evidence }),
      origins: await openOrigins({ keep: keeps.origins, world }),
      stated: await StatedTags.open(keeps.stated, own.node.peer),
      policy: () => policy.policy,
      signers: () => policy.signers,
      verdicts: new Verdicts(),
      admitted: await Admitted.open(keeps.admitted),
      attachments: again?.rooms.attachments ?? new MemoryAttachments(),
      peers: observed(own, asked, told),
      catalogue: new Catalogue(),
      fetches: new Fetches(),
      pulls: new Pulls(),
      log: { info: (_, text) => log.push(text), warn: (_, text) => log.push(text) },
    };
    const sharing = new Sharing(rooms);
    const giver = serving(rooms, digest => sharing.withdraw(digest));
    own.serve(giver);
    void sharing.run(() => undefined);
    const node: StoryNode = {
      name,
      node: own.node,
      rooms,
      store,
      disk,
      audit,
      sharing,
      giver,
      asked,
      told,
      log,
      keeps,
      keep: (image, more) => {
        const types = new Map(
          [image.target, ...image.images.flatMap(({ manifest, layers }) => [manifest, ...layers])].map(one => [
            one.digest,
            one,
          ]),
        );
        for (const [digest, bytes] of image.contents) store.put(bytes, types.get(digest)?.mediaType);
        store.name(image.reference, image.target, more);
      },
      decree: (text, files) => {
        policy = load(text, files ?? settings.files);
        sharing.changed();
      },
      stop: () => {
        hub.connect(name, false);
        life.abort();
      },
    };
    this.#nodes.push(node);
    return node;
  }

  /** Lets every node look at its store, hash and tell. */
  async share(): Promise<void> {
    await this.world.advance(1_000);
  }

  /** Moves the clock until `work` has ended, at most `ms`; answers with what it answered. */
  async until<T>(work: Promise<T>, ms = 60_000, step = 100): Promise<T> {
    let open = true;
    const close = (): void => void (open = false);
    work.then(close, close);
    for (let passed = 0; ; passed += step) {
      await this.world.settle();
      if (!open) return work;
      if (passed >= ms) assert.fail(`not within ${ms} ms of the story's clock`);
      await this.world.advance(step);
    }
  }

  /** Asks a node's mirror; the path is below /v2/, `r.test` is the registry. */
  ask(
    node: StoryNode,
    path: string,
    { method = 'GET', range }: { method?: string; range?: string } = {},
  ): Promise<Answer> {
    return pull(node.rooms, parseRequest(method, `/v2/${path}?ns=r.test`, range));
  }

  /** Asks and takes all that comes. */
  async get(node: StoryNode, path: string, more: { range?: string } = {}): Promise<Got> {
    return this.until(this.ask(node, path, more).then(take));
  }

  /** The path of a blob of an image, or of its manifest by tag or digest. */
  blob(image: StoryImage, { digest }: Descriptor): string {
    return `${image.reference.repository}/blobs/${digest}`;
  }
  manifest(image: StoryImage, what: string = image.reference.tag ?? ''): string {
    return `${image.reference.repository}/manifests/${what}`;
  }

  /** Ends all lives. */
  async end(): Promise<void> {
    for (const node of this.#nodes) node.stop();
    await this.world.settle();
  }
}

/** Takes a body as the door does: up to where it lets, until it ends. */
export async function take(answer: Answer): Promise<Got> {
  const { body } = answer;
  if (!body) throw new Error('an answer without a body');
  const parts: Buffer[] = [];
  let at = body.start;
  while (at < body.end) {
    const limit = await body.upTo(at);
    if (limit === undefined) break;
    const into = Buffer.alloc(Math.min(MIB, limit - at));
    const read = await body.read(into, at);
    if (read === 0) break;
    parts.push(into.subarray(0, read));
    at += read;
    await turn();
  }
  await body.close(at);
  return { bytes: Buffer.concat(parts), whole: at === body.end, partial: answer.partial, answer };
}

/** A policy as a daemon loads it: with its authorities opened. */
function load(text: string, files: PolicyTexts['files'] = new Map()): { policy: Policy; signers: Signers } {
  const texts = policyTexts(text);
  const policy = loadPolicy(texts.text, 'policy.yaml', new Map([...texts.files, ...files]));
  return { policy, signers: openSigners(policy.authorities, policy.trustRoots) };
}

/** The hub's peers, with what was asked and told kept. */
function observed(
  peers: ReturnType<Hub['join']>,
  asked: Asked[],
  told: { holdings: readonly Digest[]; tags: readonly string[] },
): Peers {
  return {
    ...peers,
    read: (peer, digest, offset, length, signal) => {
      asked.push({ from: peers.status().find(({ node }) => node.peer === peer)?.node.name ?? peer, digest, offset });
      return peers.read(peer, digest, offset, length, signal);
    },
    hold: holdings => {
      told.holdings = holdings.map(({ digest }) => digest);
      return peers.hold(holdings);
    },
    stateTags: tags => {
      told.tags = tags.map(({ reference }) => `${reference.registry}/${reference.repository}:${reference.tag}`);
      return peers.stateTags(tags);
    },
  };
}
