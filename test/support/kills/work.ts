/**
 * What a node is doing when it is killed. Each work begins something, and says where on the disk its writes show, so that
 * a kill can be aimed into one. Promises: whatever the kill breaks off is no failure; every byte that came of a content is
 * compared with the content.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ask, CONTROL_SOCKET } from '../../../src/cli/control-client.ts';
import { isManifestType, parseReference } from '../../../src/oci/oci.ts';
import { type BuiltImage, blobPath } from '../images.ts';
import { pinnace, type ProcessNode } from '../nodes.ts';
import { get } from '../pull-client.ts';

const PINNACE = fileURLToPath(new URL('../../../src/cli/pinnace', import.meta.url));
/** Rosters that are dropped one after the other, and the time between them: a node looks once a second. */
const ROSTERS = 3;
const BETWEEN_ROSTERS_MS = 400;

/** Something under way at the node that will be killed. */
export interface Work {
  /** Folders of the state folder in which its writes show, and the names of those writes. */
  readonly shows: readonly { readonly folder: string; readonly name: RegExp }[];
  /** No longer than this is waited for a moment to kill, in milliseconds. */
  readonly lastsMs: number;
  /** Also to be killed: a command that works beside the node. */
  readonly beside?: ChildProcess;
  /** Told that the kill is done; settles when nothing of the work is left. @throws where a wrong byte came */
  end(): Promise<void>;
}

/** True bytes by digest: what the answers of nodes are measured against. */
export type Truth = ReadonlyMap<string, Buffer>;

/** The contents of an image, read from where it was built. */
export async function truthOf(image: BuiltImage): Promise<Truth> {
  const read = image.contents.map(async ({ digest }) => [digest, await readFile(blobPath(image.dir, digest))] as const);
  return new Map(await Promise.all(read));
}

/**
 * Asks a node's mirror for all of an image as a client does. Answers how many contents came whole; what came is right as
 * far as it goes, or this throws.
 */
export async function askAll(node: ProcessNode, image: BuiltImage, truth: Truth): Promise<number> {
  const { registry, repository, tag } = parseReference(image.reference);
  const url = (kind: string, what: string): string => `${node.mirror}/v2/${repository}/${kind}/${what}?ns=${registry}`;
  // As containerd does: this is what makes the node know which image is pulled.
  await get(url('manifests', tag ?? ''), { method: 'HEAD' }).catch(() => undefined);
  const one = async ({ digest, mediaType }: BuiltImage['target']): Promise<number> => {
    const answer = await get(url(isManifestType(mediaType) ? 'manifests' : 'blobs', digest)).catch(() => undefined);
    if (answer?.status !== 200) {
      assert.ok(answer === undefined || [404, 503].includes(answer.status), `${digest}: ${answer?.status}`);
      return 0;
    }
    const right = truth.get(digest) ?? Buffer.alloc(0);
    assert.ok(right.subarray(0, answer.body.length).equals(answer.body), `${node.name} gave wrong bytes of ${digest}`);
    assert.equal(answer.whole, answer.body.length === right.length, `${digest} ended as if it were whole`);
    return answer.whole ? 1 : 0;
  };
  const [first, ...rest] = image.contents;
  const manifest = first ? await one(first) : 0;
  return (await Promise.all(rest.map(one))).reduce((sum, whole) => sum + whole, manifest);
}

/** Keeps what comes of a promise, a rejection included, until it is asked for. */
function settling(promise: Promise<unknown>): () => Promise<void> {
  promise.catch(() => undefined);
  return async () => void (await promise);
}

const SPOOL = { folder: 'spool', name: /./ };
const BLOBS = { folder: 'layout/blobs/sha256', name: /./ };
const INDEX = { folder: 'layout', name: /^index\.json/ };

/** A pull through the mirror of `at`, of an image that others hold. */
export function pulling(at: ProcessNode, image: BuiltImage, truth: Truth): Work {
  return { shows: [SPOOL, BLOBS, INDEX], lastsMs: 2_500, end: settling(askAll(at, image, truth)) };
}

/** Pulls by the others from a node that alone holds the image: the giver is killed. */
export function giving(others: readonly ProcessNode[], image: BuiltImage, truth: Truth): Work {
  const end = settling(Promise.all(others.map(node => askAll(node, image, truth))));
  return { shows: [{ folder: '.', name: /^audit\.jsonl$/ }], lastsMs: 2_000, end };
}

/** An import by a command of its own, into the store of a running node. */
export function importing(at: ProcessNode, image: BuiltImage): Work {
  const args = ['import', `oci:${image.dir}`, '--name', image.reference, '--config', at.config];
  const child = spawn(PINNACE, args, { stdio: 'ignore' });
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()));
  return {
    shows: [{ folder: 'layout/.pinnace/staging', name: /./ }, BLOBS, INDEX, { folder: 'proofs', name: /./ }],
    lastsMs: 3_000,
    beside: child,
    end: () => ended,
  };
}

/** New rosters, dropped on a node one after the other. */
export function rostering(at: ProcessNode, clusterDir: string): Work {
  let over = false;
  const dropping = (async () => {
    for (let times = 0; times < ROSTERS && !over; times++) {
      await pinnace('roster', 'sign', '--dir', clusterDir);
      await drop(at, join(clusterDir, 'roster.jwt'));
      await delay(BETWEEN_ROSTERS_MS);
    }
  })();
  return {
    shows: [{ folder: '.', name: /^roster\.jwt/ }],
    lastsMs: 5_000,
    end() {
      over = true;
      return dropping;
    },
  };
}

/** Puts a roster into a node's folder of incoming files, whole. */
export async function drop(at: ProcessNode, file: string): Promise<void> {
  const bytes = await readFile(file);
  const incoming = join(at.stateDir, 'incoming');
  await mkdir(incoming, { recursive: true });
  const { seq } = JSON.parse(Buffer.from(bytes.toString().split('.')[1] ?? '', 'base64url').toString()) as {
    seq: number;
  };
  await writeFile(join(incoming, `${seq}.part`), bytes);
  await rename(join(incoming, `${seq}.part`), join(incoming, `${seq}.jwt`));
}

/** An operator who adopts and forgets a tag of an image that the node holds, over and over. */
export function tagging(at: ProcessNode, reference: string): Work {
  let over = false;
  const socket = join(at.stateDir, CONTROL_SOCKET);
  const say = (path: string): Promise<unknown> =>
    ask({ socket, path, body: { reference } }).catch(() => delay(20, undefined));
  const working = (async () => {
    while (!over) {
      await say('/tags/adopt');
      await say('/tags/forget');
    }
    return undefined;
  })();
  return {
    shows: [{ folder: '.', name: /^(origins|stated-tags|tags|nodes|credentials)\.json/ }],
    lastsMs: 1_500,
    end() {
      over = true;
      return working;
    },
  };
}

/** A start: the node was ended in peace before, and is launched. */
export function starting(at: ProcessNode): Work {
  at.launch();
  return {
    shows: [{ folder: '.', name: /^(start\.json|roster\.jwt|credentials\.json|audit\.jsonl|nodes\.json)/ }],
    lastsMs: 2_000,
    end: () => Promise.resolve(),
  };
}
