/** Refusals that cost nothing to provoke do not fill the log, and none is lost from the count. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Audit, Event } from '../../src/audit/audit.ts';
import { openAudit } from '../../src/audit/journal.ts';
import type { Code } from '../../src/errors.ts';
import { DIGEST, PEER } from '../conformance/audit.ts';
import { MemoryJournal } from '../support/memory-journal.ts';
import { type SimulatedWorld, simulatedWorld } from '../support/simulated-world.ts';

async function stage(signal?: AbortSignal): Promise<{ audit: Audit; journal: MemoryJournal; world: SimulatedWorld }> {
  const [journal, world] = [new MemoryJournal(), simulatedWorld()];
  const options = { journal, world, policyHash: () => 'aa', node: 'n1', ...(signal ? { signal } : {}) };
  return { audit: await openAudit(options), journal, world };
}
const from = (address: string, code: Code = 'PEER_REFUSED'): Event => ({ event: 'peer.refused', address, code });
async function repeat(audit: Audit, times: number, event: (at: number) => Event): Promise<void> {
  for (let at = 0; at < times; at++) await audit.record(event(at));
}
/** How many refusals the log tells of. */
const told = (journal: MemoryJournal): number =>
  journal.records().reduce((sum, { count }) => sum + (typeof count === 'number' ? count : 1), 0);

void test('ten in a minute are written singly, the rest as a count every ten seconds', async () => {
  const { audit, journal, world } = await stage();
  await repeat(audit, 100, at => from(`10.0.0.1:${1000 + at}`));
  assert.equal(journal.records().length, 10);
  await world.advance(10_000);
  assert.deepEqual([journal.records().length, journal.records().at(-1)?.count], [11, 90]);
  assert.equal(journal.records().at(-1)?.address, '10.0.0.1:1099');
  await repeat(audit, 5, () => from('10.0.0.1:1'));
  await world.advance(10_000);
  assert.equal(journal.records().at(-1)?.count, 5);
});

void test('after a quiet minute refusals are written singly again, and nothing is written meanwhile', async () => {
  const { audit, journal, world } = await stage();
  await repeat(audit, 11, () => from('10.0.0.1:1'));
  await world.advance(300_000);
  assert.equal(journal.records().length, 11);
  await audit.record(from('10.0.0.1:1'));
  assert.equal(journal.records().length, 12);
});

void test('another source, another code and another event are counted apart', async () => {
  const { audit, journal } = await stage();
  await repeat(audit, 50, () => from('10.0.0.1:1'));
  await repeat(audit, 3, () => from('10.0.0.2:1'));
  await repeat(audit, 3, () => from('10.0.0.1:1', 'HANDSHAKE_TIMEOUT'));
  await audit.record({ event: 'serve.refused', peer: PEER, digest: DIGEST, code: 'NOT_SHARED' });
  assert.equal(journal.records().length, 10 + 3 + 3 + 1);
});

void test('all pulls at the door are one source, whatever they ask for', async () => {
  const { audit, journal } = await stage();
  await repeat(audit, 50, at => ({ event: 'pull.refused', reference: `registry.example/a${at}:1`, code: 'DENIED' }));
  assert.equal(journal.records().length, 10);
});

void test('each of many refused images is on record; digests without end of one repository are a count (image.refused)', async () => {
  const { audit, journal, world } = await stage();
  const refused = (reference: string): Event => ({
    event: 'image.refused',
    reference,
    digest: DIGEST,
    rule: 'team',
    code: 'SIGNATURE_MISSING',
    detail: 'x',
  });
  await repeat(audit, 200, at => refused(`registry.example:5000/team/a${at}:1@${DIGEST}`));
  assert.equal(journal.records().length, 200);
  await repeat(audit, 200, at => refused(`registry.example:5000/team/b@sha256:${at.toString(16).padStart(64, '0')}`));
  assert.equal(journal.records().length, 210);
  await world.advance(10_000);
  assert.equal(told(journal), 400);
});

void test('however many sources there are, memory is bounded and every refusal is told', async () => {
  const { audit, journal, world } = await stage();
  await repeat(audit, 3000, at => from(`10.1.${at >> 8}.${at & 255}:1`));
  assert.ok(journal.records().length < 1100, String(journal.records().length));
  await world.advance(20_000);
  assert.equal(told(journal), 3000);
});

void test('events that are no refusals are all written', async () => {
  const { audit, journal } = await stage();
  await repeat(audit, 30, () => ({ event: 'policy.refused', file: 'p', code: 'POLICY_INVALID' }));
  await repeat(audit, 30, () => ({ event: 'peer.revoked', peer: PEER }));
  assert.equal(journal.records().length, 60);
});

void test('a stop writes what was counted, and refusals after it are written singly', async () => {
  const stop = new AbortController();
  const { audit, journal, world } = await stage(stop.signal);
  await repeat(audit, 25, () => from('10.0.0.1:1'));
  stop.abort();
  await world.settle();
  assert.equal(told(journal), 25);
  await audit.record(from('10.0.0.1:1'));
  assert.equal(told(journal), 26);
});
