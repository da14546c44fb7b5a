import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Slots } from '../../src/peers/lane-slots.ts';

const never = new AbortController().signal;

void test('so many are in, the others wait their turn', async () => {
  const slots = new Slots(2);
  const [first, second] = [await slots.enter(never), await slots.enter(never)];
  const order: string[] = [];
  const third = slots.enter(never).then(leave => (order.push('third'), leave));
  const fourth = slots.enter(never).then(leave => (order.push('fourth'), leave));
  await Promise.resolve();
  assert.deepEqual(order, []);
  first();
  await third;
  second();
  await fourth;
  assert.deepEqual(order, ['third', 'fourth']);
  (await third)();
  (await fourth)();
  await slots.enter(never);
});

void test('who stops waiting leaves the row', async () => {
  const slots = new Slots(1);
  const leave = await slots.enter(never);
  const stop = new AbortController();
  const stopped = assert.rejects(slots.enter(stop.signal), { message: 'enough' });
  const patient = slots.enter(never);
  stop.abort(new Error('enough'));
  await stopped;
  leave();
  (await patient)();
  await assert.rejects(slots.enter(stop.signal));
  await slots.enter(never);
});
