import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, MirrorError } from '../../src/errors.ts';
import { ADVANCE_MS, ANSWER_MS, bodyOfFetch, CUT_MS, holdAnswer } from '../../src/mirror/body.ts';
import { Fetch, Fetches } from '../../src/mirror/fetches.ts';
import { digestOf } from '../../src/oci/oci.ts';
import type { Spooled } from '../../src/store/store.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

const DIGEST = digestOf(Buffer.from('x'));
const MIB = 1 << 20;

function running(size = 8 * MIB) {
  const world = simulatedWorld();
  const fetches = new Fetches();
  let held = 0;
  const spooled = {
    digest: DIGEST,
    size,
    written: 0,
    hold: () => {
      held += 1;
      return () => void (held -= 1);
    },
    read: (into: Uint8Array) => Promise.resolve(into.length),
  } as unknown as Spooled;
  const fetch = new Fetch(spooled, world.monotonic());
  const advance = (watermark: number, checked = watermark): void => {
    Object.assign(fetch, { watermark, checked, advancedAt: world.monotonic() });
    fetch.wake();
  };
  return { world, fetches, fetch, advance, held: () => held };
}

/** Whether a promise is still open after everything ran that could. */
async function isOpen(world: { settle(): Promise<void> }, promise: Promise<unknown>): Promise<boolean> {
  let open = true;
  const close = (): void => void (open = false);
  promise.then(close, close);
  await world.settle();
  return open;
}

void test('an answer is held until bytes may go out', async () => {
  const { world, fetch, advance } = running();
  const held = holdAnswer(world, fetch, 1);
  await world.advance(ANSWER_MS - 1);
  assert.ok(await isOpen(world, held));
  advance(MIB);
  await held;
});

void test('an answer whose fetch advances without a watermark gets its headers after two seconds', async () => {
  const { world, fetch, advance } = running();
  const held = holdAnswer(world, fetch, 1);
  await world.advance(ANSWER_MS / 2);
  advance(0, MIB);
  await world.advance(ANSWER_MS / 2);
  await held;
});

void test('a fetch that stands still already is not here', async () => {
  const { world, fetch } = running();
  await world.advance(ADVANCE_MS);
  const held = holdAnswer(world, fetch, 1).catch((error: unknown) => error);
  await world.advance(ANSWER_MS);
  assert.ok(hasCode(await held, 'CONTENT_ABSENT'));
});

void test('a fetch that failed answers with what it failed with', async () => {
  const { world, fetch } = running();
  fetch.state = 'failed';
  fetch.error = new MirrorError('SPOOL_FULL', 'full');
  await assert.rejects(holdAnswer(world, fetch, 1), error => hasCode(error, 'SPOOL_FULL'));
});

void test('a body gives up to the watermark and waits for more', async () => {
  const { world, fetches, fetch, advance } = running();
  const body = bodyOfFetch(world, fetches, fetch, 1);
  advance(3 * MIB);
  assert.equal(await body.upTo(0), 3 * MIB);
  const next = body.upTo(3 * MIB);
  await world.advance(1000);
  assert.ok(await isOpen(world, next));
  advance(4 * MIB);
  assert.equal(await next, 4 * MIB);
});

void test('a body never reads beyond the watermark', async () => {
  const { world, fetches, fetch, advance } = running();
  const body = bodyOfFetch(world, fetches, fetch, 1);
  advance(MIB, 5 * MIB);
  assert.equal(await body.read(new Uint8Array(4 * MIB), 0), MIB);
  assert.equal(await body.read(new Uint8Array(MIB), 2 * MIB), 0);
});

void test('a body ends when no chunk was checked for five seconds, and its content is then given whole or not at all for a minute', async () => {
  const { world, fetches, fetch, held } = running();
  const body = bodyOfFetch(world, fetches, fetch, 1);
  assert.equal(held(), 1);
  const next = body.upTo(0);
  await world.advance(ADVANCE_MS);
  assert.equal(await next, undefined);
  await body.close(0);
  assert.equal(held(), 0);
  assert.ok(fetches.isCut(DIGEST, world.monotonic()));
  await world.advance(CUT_MS);
  assert.ok(!fetches.isCut(DIGEST, world.monotonic()));
});

void test('a body that gave bytes and ended is not remembered as cut: the client goes on by Range', async () => {
  const { world, fetches, fetch, advance } = running();
  const body = bodyOfFetch(world, fetches, fetch, 1);
  advance(MIB);
  await body.close(MIB);
  assert.ok(!fetches.isCut(DIGEST, world.monotonic()));
});

void test('a body that gets no byte ends after 240 seconds though chunks are checked', async () => {
  const { world, fetches, fetch, advance } = running(1024 * MIB);
  const body = bodyOfFetch(world, fetches, fetch, 1);
  const next = body.upTo(0);
  for (let second = 1; second < 240; second++) {
    await world.advance(1000);
    advance(0, second * MIB);
  }
  assert.ok(await isOpen(world, next));
  await world.advance(1000);
  assert.equal(await next, undefined);
});

void test('a failed fetch ends its bodies at the watermark', async () => {
  const { world, fetches, fetch, advance } = running();
  const body = bodyOfFetch(world, fetches, fetch, 1);
  advance(2 * MIB);
  fetch.state = 'failed';
  fetch.wake();
  assert.equal(await body.upTo(0), 2 * MIB);
  assert.equal(await body.upTo(2 * MIB), undefined);
});
