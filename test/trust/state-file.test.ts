/** State files: one write at a time, the last state wins, and a failed write does not stop the next. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StateFile } from '../../src/trust/state-file.ts';
import { memoryKeep } from '../support/cluster.ts';

void test('saves that come while one is under way share the next write', async () => {
  const keep = memoryKeep();
  let [writes, under, most, value] = [0, 0, 0, 0];
  const write = async (bytes: Uint8Array): Promise<void> => {
    most = Math.max(most, ++under);
    writes += 1;
    await new Promise(resolve => setImmediate(resolve));
    under -= 1;
    await keep.write(bytes);
  };
  const file = new StateFile({ read: () => keep.read(), write }, () => ({ value }));
  const saves: Promise<void>[] = [];
  for (value = 1; value < 20; value++) saves.push(file.save());
  await new Promise(resolve => setImmediate(resolve));
  for (; value < 40; value++) saves.push(file.save());
  await Promise.all(saves);
  assert.equal(most, 1);
  assert.ok(writes <= 3, `${writes} writes`);
  assert.equal(Buffer.from(keep.bytes!).toString(), '{"version":1,"value":40}\n');
});

void test('a write that failed is told to who asked for it, and the next one is tried', async () => {
  const keep = memoryKeep();
  let full = true;
  const write = (bytes: Uint8Array): Promise<void> =>
    full ? Promise.reject(new Error('no space')) : keep.write(bytes);
  const file = new StateFile({ read: () => keep.read(), write }, () => ({}));
  await assert.rejects(file.save());
  full = false;
  await file.save();
  assert.ok(keep.bytes);
});
