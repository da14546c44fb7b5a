/** Connections that wait for their greeting: bounded, and whoever has most of them makes room. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { Pending, PENDING_MAX, PENDING_PER_HOST_MAX } from '../../src/peers/pending.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

const PATIENCE_MS = 5_000;

/** A raw connection that closes when it is aborted. */
class Raw {
  readonly #closed: (() => void)[] = [];
  aborted: unknown;

  abort(error: Error): void {
    this.aborted = error;
    this.close();
  }

  addEventListener(_type: 'close', listener: () => void): void {
    this.#closed.push(listener);
  }

  close(): void {
    for (const listener of this.#closed) listener();
  }
}

function door() {
  const world = simulatedWorld();
  const told: string[] = [];
  const pending = new Pending(world, PATIENCE_MS, (address, { code }) => void told.push(`${address} ${code}`));
  const arrive = (host: string, port: number): Raw => {
    const raw = new Raw();
    pending.begin(`${host}:${port}`, raw);
    return raw;
  };
  return { world, told, pending, arrive };
}

void test('the oldest of a host that has too many is ended and told, once', () => {
  const { told, arrive } = door();
  const first = arrive('10.0.0.1', 1);
  for (let port = 2; port <= PENDING_PER_HOST_MAX; port++) arrive('10.0.0.1', port);
  assert.deepEqual([first.aborted, told], [undefined, []]);
  arrive('10.0.0.1', 99);
  assert.ok(hasCode(first.aborted, 'LIMIT_EXCEEDED'));
  assert.deepEqual(told, ['10.0.0.1:1 LIMIT_EXCEEDED']);
});

void test('where there are too many in all, the host that has most makes room for another', () => {
  const { told, arrive } = door();
  const few = arrive('10.9.9.9', 1);
  for (let at = 1; at < PENDING_MAX; at++) arrive(`10.0.0.${at % 5}`, at);
  const crowded = told.length;
  const honest = arrive('10.1.1.1', 1);
  assert.equal(told.length, crowded + 1);
  assert.match(told.at(-1) ?? '', /^10\.0\.0\.\d:\d+ LIMIT_EXCEEDED$/);
  assert.deepEqual([few.aborted, honest.aborted], [undefined, undefined]);
});

void test('who was greeted or refused takes no place, and its end is not told', () => {
  const { told, pending, arrive } = door();
  for (let port = 1; port <= 2 * PENDING_PER_HOST_MAX; port++) {
    const raw = arrive('10.0.0.1', port);
    pending.end(`10.0.0.1:${port}`);
    raw.close();
  }
  assert.deepEqual(told, []);
});

void test('who leaves before its handshake is told, and who only waits for longer than it may too', async () => {
  const { world, told, arrive } = door();
  const [leaves, waits] = [arrive('10.0.0.1', 1), arrive('10.0.0.1', 2)];
  leaves.close();
  await world.advance(PATIENCE_MS);
  waits.close();
  assert.deepEqual(told, ['10.0.0.1:1 PEER_REFUSED', '10.0.0.1:2 HANDSHAKE_TIMEOUT']);
});
