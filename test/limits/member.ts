/**
 * A member of a cluster that says too much, too often or too long, and the room of a node that hears it: what the tries
 * of statements and exchanges have in common.
 */
import assert from 'node:assert/strict';
import { type Code, hasCode } from '../../src/errors.ts';
import { type Digest, digestOf, parseTagReference } from '../../src/oci/oci.ts';
import type { Body, Kind } from '../../src/peers/bodies.ts';
import { encodeSigned, encodeStatement, parseSigned, signStatement, type Statement } from '../../src/peers/envelope.ts';
import { encodeHeads } from '../../src/peers/heads.ts';
import { encodeItem } from '../../src/peers/intake.ts';
import type { Holding, TagStatement } from '../../src/peers/peers.ts';
import { Stating } from '../../src/peers/stating.ts';
import { SYNC_PROTOCOL } from '../../src/peers/sync.ts';
import type { ByteStream } from '../../src/peers/framed.ts';
import type { Stream } from '../../src/peers/wire.ts';
import { parseRoot, type Root } from '../../src/proof/proof.ts';
import { makeCluster } from '../support/cluster.ts';
import { controlRoom } from '../support/control-room.ts';

export const cluster = await makeCluster({ nodes: ['here', 'evil', 'stranger'] });
export const [here, evil] = [cluster.node('here'), cluster.node('evil')];
export const room = () => controlRoom(here, [evil]);

export const root: Root = parseRoot('a'.repeat(64));
export const holdings = (count: number, from = 0): Holding[] =>
  Array.from({ length: count }, (_, at) => ({
    digest: `sha256:${(from + at).toString(16).padStart(64, '0')}` as Digest,
    size: 1,
    root,
  }));
export const tagNamed = (name: string): TagStatement => ({
  reference: parseTagReference(name),
  digest: digestOf(Buffer.from('a')),
  observedAt: 1,
  renewedAt: 1,
});
export const numbered = (count: number): TagStatement[] =>
  Array.from({ length: count }, (_, at) => tagNamed(`r.test/a:t${String(at).padStart(6, '0')}`));

export const said = (body: Body, seq: number, notAfter: number, by = evil): Statement =>
  ({ ...body, signer: by.peer, start: 1, seq, notAfter }) as Statement;
export const sealed = (statement: Statement, by = evil): Uint8Array =>
  encodeItem('statement', encodeSigned(signStatement(statement, bytes => by.self.sign(bytes))));
export const soon = (world: { now(): number }): number => world.now() + 200_000;

/** A stream whose other side says `frames`, and then ends or says nothing more. */
export function saying(frames: Iterable<Uint8Array>, ends = true): Stream {
  const left = frames[Symbol.iterator]();
  let abort: (reason: Error) => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => (abort = reject));
  aborted.catch(() => undefined);
  return {
    send: async () => undefined,
    receive: async () => {
      const { value, done } = left.next() as IteratorResult<Uint8Array, undefined>;
      return done ? (ends ? undefined : aborted) : value;
    },
    close: async () => undefined,
    abort,
  };
}

export function* times(count: number, item: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < count; at++) yield item;
}

export const HEADS = encodeHeads({ roster: 1, peers: new Map() });

/** A sync in which the member hands over `items`. */
export async function synced(items: Iterable<Uint8Array>): Promise<void> {
  const { answer } = await room();
  const all = (function* () {
    yield HEADS;
    yield* items;
  })();
  await answer(SYNC_PROTOCOL, evil.peer, saying(all));
}

/** How many of `count` attempts were allowed, of those that are begun now. */
export async function allowed(count: number, attempt: () => Promise<unknown>): Promise<number> {
  let good = 0;
  for (let at = 0; at < count; at++)
    await attempt().then(
      () => good++,
      () => undefined,
    );
  return good;
}

/** `burst` at once, then one for each `ms`. */
export async function rated(
  world: { advance(ms: number): Promise<void> },
  burst: number,
  ms: number,
  attempt: () => Promise<unknown>,
): Promise<void> {
  assert.equal(await allowed(burst + 5, attempt), burst);
  await world.advance(ms - 1);
  assert.equal(await allowed(2, attempt), 0);
  // What was refilled in between was taken by nobody; a part of a millisecond may lack.
  await world.advance(2);
  assert.equal(await allowed(2, attempt), 1);
}

export const ask = (on: Awaited<ReturnType<typeof room>>, protocol: string): Promise<void> =>
  on.answer(protocol, evil.peer, saying([Buffer.from(digestOf(Buffer.from('x')))]));

/** A stream on which a peer says nothing ends after `ms` with `code`. */
export async function silent(
  on: Awaited<ReturnType<typeof room>>,
  protocol: string,
  ms: number,
  code: Code,
): Promise<void> {
  const codes: (Code | undefined)[] = [];
  on.answer(protocol, evil.peer, saying([], false)).catch((error: unknown) =>
    codes.push(hasCode(error, code) ? code : undefined),
  );
  await on.world.advance(ms - 1);
  assert.deepEqual(codes, []);
  await on.world.advance(1);
  assert.deepEqual(codes, [code]);
}

/** So many streams of a protocol at once; one more is refused with `code`. */
export async function streams(protocol: string, most: number, code: string): Promise<void> {
  const on = await room();
  const told: string[] = [];
  const inbound = on.inbound(
    protocol,
    () => new Promise(() => undefined),
    refusal => told.push(refusal),
  );
  const bytes = { status: 'open', addEventListener: () => undefined, abort: () => undefined } as unknown as ByteStream;
  for (let at = 0; at < most; at++) void inbound.accept(bytes, on.linkOf(evil.peer));
  assert.deepEqual(told, []);
  await inbound.accept(bytes, on.linkOf(evil.peer));
  assert.deepEqual(told, [code]);
}

/** What a node tells of itself when it is given more. */
export async function stating() {
  const on = await room();
  const told: Statement[] = [];
  const warned: string[] = [];
  const stated = new Stating({
    world: on.world,
    self: { ...here.self, credential: () => here.credential },
    table: on.table,
    record: async () => undefined,
    log: (_, text) => void warned.push(text),
    spread: async ({ statement }) => void told.push(statement),
  });
  const last = <K extends Kind>(kind: K) =>
    told.findLast((one): one is Extract<Statement, { kind: K }> => one.kind === kind);
  return { stated, told, warned, last };
}

/** Names of one tag each, so that a statement of them has exactly `bytes` bytes. */
export function tagsOf(bytes: number): Statement {
  const tags = Array.from(
    { length: 4096 },
    (_, at) => `${'r'.repeat(80)}.test/${String(at).padStart(5, '0')}${'x'.repeat(240)}:`,
  );
  const shortest = said({ kind: 'tags', body: { tags: tags.map(name => tagNamed(`${name}t`)) } }, 1, 1);
  // What is lacking goes into the names: as much into each as into others, and the rest into the first.
  let lack = bytes - encodeStatement(shortest).length;
  const tag = 1 + Math.floor(lack / tags.length);
  lack %= tags.length;
  const body = {
    tags: tags.map(name => {
      const more = Math.min(lack, 128 - tag);
      lack -= more;
      return tagNamed(name + 't'.repeat(tag + more));
    }),
  };
  return said({ kind: 'tags', body }, 1, 1);
}

export const parsed = (statement: Statement): unknown =>
  parseSigned(Buffer.concat([new Uint8Array(64), encodeStatement(statement)]));
