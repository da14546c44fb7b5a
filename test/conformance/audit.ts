/** What every `Audit` does, the real one and the fake: what is recorded is there when it answers, in order, or refused. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Audit, Event } from '../../src/audit/audit.ts';
import { hasCode } from '../../src/errors.ts';
import { digestOf, type PeerId } from '../../src/oci/oci.ts';

/** A log as an implementation sees it. */
export interface AuditStage {
  readonly audit: Audit;
  /** What a reader of the log finds now, the log's own records left out; at least the facts that were recorded. */
  readonly read: () => readonly Readonly<Record<string, unknown>>[];
  /** Takes the disk away, and gives it back. */
  readonly breakDisk: (broken: boolean) => void;
}

export const DIGEST = digestOf(Buffer.from('content'));
export const PEER = `12D3KooW${'1'.repeat(44)}` as PeerId;
const REFERENCE = 'registry.example/a/b:1';

/** One event of each shape that differs in its types. */
const SAMPLES: readonly Event[] = [
  { event: 'node.started', peer: PEER, node: 'n1', version: '1', start: 3 },
  { event: 'roster.accepted', seq: 7, expiresAt: 1_700_000_000_000 },
  { event: 'tag.resolved', reference: REFERENCE, digest: DIGEST, by: 'pin' },
  { event: 'pull.ended', id: 'p1', digest: DIGEST, bytes: 0, outcome: 'cut', source: 'peer', code: 'LANE_STALLED' },
  { event: 'peer.refused', address: '127.0.0.1:1', code: 'CREDENTIAL_FOREIGN' },
];

const started = (id: string): Event => ({ event: 'pull.started', id, reference: REFERENCE, digest: DIGEST, size: 1 });

/** Runs the suite; `make` makes a stage with an empty log. */
export function auditConformance(name: string, make: () => Promise<AuditStage>): void {
  void describe(`audit: ${name}`, () => {
    void it('has a record with all its facts when it answers', async () => {
      const { audit, read } = await make();
      for (const [at, event] of SAMPLES.entries()) {
        await audit.record(event);
        const found = read();
        assert.equal(found.length, at + 1);
        assert.deepEqual({ ...found[at], ...event }, found[at]);
      }
    });

    void it('keeps the order of records that come together', async () => {
      const { audit, read } = await make();
      const ids = Array.from({ length: 200 }, (_, at) => `p${at}`);
      await Promise.all(ids.map(id => audit.record(started(id))));
      assert.deepEqual(
        read().map(({ id }) => id),
        ids,
      );
    });

    void it('keeps an event as it was when it was recorded', async () => {
      const { audit, read } = await make();
      const event = { event: 'node.stopped' as const, reason: 'before' };
      const recorded = audit.record(event);
      event.reason = 'after';
      await recorded;
      assert.equal(read()[0]?.reason, 'before');
    });

    void it('refuses while it cannot write, and goes on when it can', async () => {
      const { audit, read, breakDisk } = await make();
      await audit.record(started('first'));
      breakDisk(true);
      const refused = await Promise.allSettled(['second', 'third'].map(id => audit.record(started(id))));
      for (const result of refused)
        assert.ok(result.status === 'rejected' && hasCode(result.reason, 'AUDIT_UNAVAILABLE'), result.status);
      breakDisk(false);
      await audit.record(started('fourth'));
      assert.deepEqual(
        read().map(({ id }) => id),
        ['first', 'fourth'],
      );
    });

    void it('writes the first refusals of a source singly', async () => {
      const { audit, read } = await make();
      for (let at = 0; at < 10; at++)
        await audit.record({ event: 'serve.refused', peer: PEER, digest: DIGEST, code: 'NOT_SHARED' });
      assert.equal(read().length, 10);
    });
  });
}
