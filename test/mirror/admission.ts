/**
 * Who plays in the stories of admission: keys that policy names and one that it does not, signatures by them in both of
 * cosign's forms, policies that ask for them, and peers of no real rooms that offer anything. Promises: all keys are made at
 * run time. Refuses to know what is expected.
 */
import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import type { Event } from '../../src/audit/audit.ts';
import { type Code, hasCode, MirrorError } from '../../src/errors.ts';
import { type Digest, digestOf, formatReference, type Node, parseReference } from '../../src/oci/oci.ts';
import type { Holding, Referrer } from '../../src/peers/peers.ts';
import { Prover, rootOf } from '../../src/proof/proof.ts';
import { type BuiltAttachment, buildAttachment } from '../support/memory-attachments.ts';
import { ISSUED_AT, whole } from '../support/policies.ts';
import { keyPair } from '../support/sigstore.ts';
import { bytesOfJson, IN_TOTO, type KeyPair, payloadOf, pemOf, statementOf } from '../support/sigstore-signing.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { Story, type StoryImage, type StoryNode } from './story-node.ts';

export const NAME = 'r.test/team/app:1';
/** Of whom policies know, of whom they know too, and of whom they do not. */
export const PLATFORM = keyPair();
export const RELEASE = keyPair();
export const STRANGER = keyPair();
/** The keys that the policies here name. */
export const KEYS: ReadonlyMap<string, Uint8Array> = new Map([
  ['platform.pub', Buffer.from(pemOf(PLATFORM.publicKey))],
  ['release.pub', Buffer.from(pemOf(RELEASE.publicKey))],
]);

/** True for an error of that code. */
export const is = (code: Code) => (error: unknown) => hasCode(error, code);

const AUTHORITIES = `registries: [r.test]
authorities:
  platform: { key: { file: platform.pub } }
  release: { key: { file: release.pub } }
`;
/** A policy for r.test; `rule` are further fields of its one rule, `rest` further keys of its top level. */
export const policy = (rule: string, rest = '', metadata = ''): string =>
  whole(`${AUTHORITIES}rules:\n  - { name: team, match: r.test/**${rule ? `, ${rule}` : ''} }\n${rest}`, metadata);

/** Everything of r.test is allowed and shared, and one node's word makes a tag. */
export const ALL = policy('share: cluster, tags: {min: 1, keep: 7d}');
/** The same for what the platform's key signed. */
export const SIGNED = policy('share: cluster, tags: {min: 1, keep: 7d}, signatures: {anyOf: [platform]}');
/** The same for what is pinned, and for nothing else; the lock file is `pins.lock`. */
export const PINNED = policy('share: cluster, pins: {require: true, files: [pins.lock]}');

/** The files of a policy: the keys, and a lock file with these pins. */
export const withPins = (pins: Readonly<Record<string, Digest>>): ReadonlyMap<string, Uint8Array> =>
  new Map([
    ...KEYS,
    [
      'pins.lock',
      Buffer.from(
        `pinnace-pins 1 serial 1\n${Object.entries(pins)
          .toSorted(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, digest]) => `${name} ${digest}\n`)
          .join('')}`,
      ),
    ],
  ]);

const pae = (type: string, payload: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);

/** A sigstore bundle by a bare key about `digest`; of that predicate, or plain. */
export function bundleBy({ privateKey }: KeyPair, digest: Digest, predicateType?: string, predicate?: unknown): Buffer {
  const payload = Buffer.from(statementOf(digest, predicateType, predicate));
  const sig = sign('sha256', pae(IN_TOTO, payload), privateKey).toString('base64');
  return bytesOfJson({
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint: 'k' } },
    dsseEnvelope: {
      payload: payload.toString('base64'),
      payloadType: IN_TOTO,
      signatures: [{ sig }],
    },
  });
}

/** A referrer of `subject` with a bundle in it that `pair` made about `about`. */
export const signatureBy = (pair: KeyPair, subject: Digest, about = subject): BuiltAttachment =>
  buildAttachment(subject, bundleBy(pair, about));

/** What cosign wrote before there were bundles: the payload in a layer, the signature beside it. */
export function legacyBy({ privateKey }: KeyPair, subject: Digest, about = subject): BuiltAttachment {
  const payload = payloadOf(about);
  const layer = {
    mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    digest: digestOf(payload),
    size: payload.length,
    annotations: { 'dev.cosignproject.cosign/signature': sign('sha256', payload, privateKey).toString('base64') },
  };
  return buildAttachment(subject, payload, { bond: 'sig', layers: [layer] });
}

/** A bundle of the right type in which nothing is right; each number makes another. */
export const junk = (subject: Digest, number: number): BuiltAttachment =>
  buildAttachment(subject, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","junk":${number}}`);

/** A node keeps these attachments. */
export async function attach(node: StoryNode, ...all: readonly BuiltAttachment[]): Promise<void> {
  for (const { artifact, contents } of all) await node.rooms.attachments.keep(artifact, contents);
}

/** Puts an attachment into the store as an image under cosign's tag, or under the fallback tag of the referrers API. */
export function store(node: StoryNode, { reference }: StoryImage, { artifact, contents }: BuiltAttachment): void {
  for (const bytes of contents.values()) node.store.put(bytes);
  const { bond, subject, manifest } = artifact;
  const own = node.store.put(manifest, 'application/vnd.oci.image.manifest.v1+json');
  const target =
    bond === 'subject'
      ? node.store.put(
          bytesOfJson({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [own] }),
          'application/vnd.oci.image.index.v1+json',
        )
      : own;
  const tag = `${subject.replace(':', '-')}${bond === 'subject' ? '' : `.${bond}`}`;
  node.store.name(parseReference(`${reference.registry}/${reference.repository}:${tag}`), target);
}

/** The verdicts of one kind that this node recorded so far. */
export const recorded = (node: StoryNode, event: Verdict['event']): readonly Verdict[] =>
  node.audit.events.filter(one => one.event === event) as readonly Verdict[];
type Verdict = Extract<Event, { readonly event: 'image.refused' | 'image.passed' }>;

/** How often this node's signers judge from now on. */
export function countJudged(node: StoryNode): { readonly times: number } {
  const count = { times: 0 };
  const { signers } = node.rooms;
  Object.assign(node.rooms, {
    signers: () => ({
      id: signers().id,
      judge: (...of: Parameters<ReturnType<typeof signers>['judge']>) => {
        count.times += 1;
        return signers().judge(...of);
      },
    }),
  });
  return count;
}

/** A peer that is made of nothing: it says that it holds `contents`, and offers what it likes. */
export interface Offering {
  readonly contents: ReadonlyMap<Digest, Uint8Array>;
  readonly offers: readonly Referrer[];
  /** The bytes of all else that is offered; never 0, or it is asked for ever. */
  readonly read?: (digest: Digest, into: Uint8Array, position: number) => Promise<number>;
  /** Instead of the list. */
  readonly list?: () => Promise<readonly Referrer[]>;
}

/** What a peer was asked for. */
export interface AskedOf {
  readonly node: Node;
  readonly lists: Digest[];
  readonly contents: Digest[];
}

export class Admission extends Story {
  /** Its clock begins at `start`, in ms since 1970. */
  constructor(start = ISSUED_AT) {
    super(simulatedWorld(start));
  }

  /** A node under `text`; it holds `image`, with what is attached to it, and told what it may. */
  async holder(
    name: string,
    image: StoryImage,
    text: string,
    attached: readonly BuiltAttachment[] = [],
    files = KEYS,
  ): Promise<StoryNode> {
    const node = await this.node(name, { policy: text, files });
    await attach(node, ...attached);
    node.keep(image);
    await this.share();
    return node;
  }

  /** A node that has nothing. */
  reader(text = ALL, files = KEYS, name = 'reader'): Promise<StoryNode> {
    return this.node(name, { policy: text, files });
  }

  /** A peer that offers artifacts about the contents that it says it holds. */
  async offering(name: string, { contents, offers, read, list }: Offering): Promise<AskedOf> {
    const own = this.hub.join(name);
    const asked: AskedOf = { node: own.node, lists: [], contents: [] };
    const absent = (): Promise<never> => Promise.reject(new Error('not asked for here'));
    own.serve({
      proof: absent,
      doubt: () => undefined,
      referrers: async (_, subject) => {
        asked.lists.push(subject);
        return list ? list() : offers;
      },
      give: async (_, digest, offset, length) => {
        asked.contents.push(digest);
        const bytes = contents.get(digest) ?? new Uint8Array();
        if (!read && offset + length > bytes.length) throw new MirrorError('CONTENT_ABSENT', `${digest} is not here`);
        return {
          read: async (into, position) => {
            if (read && !contents.has(digest)) return read(digest, into, position);
            const part = bytes.subarray(position, position + into.length);
            into.set(part);
            return part.length;
          },
          done: async () => undefined,
        };
      },
    });
    await own.hold([...contents].map(holdingOf));
    return asked;
  }

  /** Pulls all of an image as a client does, and lets the node settle and tell. */
  async pullAll(node: StoryNode, image: StoryImage): Promise<void> {
    const { manifest, layers } = image.images[0]!;
    await this.get(node, this.manifest(image));
    await this.get(node, this.manifest(image, manifest.digest));
    for (const blob of [image.config, ...layers]) assert.ok((await this.get(node, this.blob(image, blob))).whole);
    await this.share();
  }

  /** A pull by tag or digest is refused with `code` at the door, and on record; nobody was asked for a byte of it. */
  async refuses(node: StoryNode, image: StoryImage, code: Code, what?: string): Promise<void> {
    const before = node.audit.of('pull.refused').length;
    await assert.rejects(this.get(node, this.manifest(image, what)), (error: unknown) => {
      assert.ok(hasCode(error, code), `${(error as { code: Code }).code}, not ${code}: ${(error as Error).message}`);
      return true;
    });
    assert.deepEqual(
      node.audit
        .of('pull.refused')
        .slice(before)
        .map(one => one.code),
      [code],
    );
  }

  /** Nothing of the image is told, stated, given or proved by `node`, to a peer that may have everything. */
  async hides(node: StoryNode, image: StoryImage, peer = this.hub.join('peer').node): Promise<void> {
    const digests = [...image.contents.keys()];
    assert.deepEqual(
      node.told.holdings.filter(digest => digests.includes(digest)),
      [],
    );
    assert.ok(!node.told.tags.includes(formatReference(image.reference)));
    for (const digest of digests) {
      const before = node.audit.of('serve.refused').length;
      await assert.rejects(node.giver.give(peer, digest, 0, 1), is('CONTENT_ABSENT'));
      await assert.rejects(node.giver.proof(peer, digest), is('CONTENT_ABSENT'));
      assert.deepEqual(await node.giver.referrers(peer, digest), []);
      assert.deepEqual(
        node.audit
          .of('serve.refused')
          .slice(before)
          .map(one => [one.code, one.digest]),
        [
          ['NOT_SHARED', digest],
          ['NOT_SHARED', digest],
        ],
      );
    }
  }
}

/** The holding of a content, with its true root. */
export function holdingOf([digest, bytes]: readonly [Digest, Uint8Array]): Holding {
  const prover = new Prover('sha256');
  prover.update(bytes);
  return { digest, size: bytes.length, root: rootOf(prover.finish()) };
}

/** The referrer that an attachment is. */
export const referrerOf = ({ artifact: { bond, manifest }, digest }: BuiltAttachment): Referrer => ({
  bond,
  digest,
  size: manifest.length,
});
