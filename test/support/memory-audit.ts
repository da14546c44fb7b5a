/**
 * An audit log in memory, for tests of rooms and stories: it keeps every event in order, and can be told to fail. It folds
 * no refusals. It passes the same suite as the real one (test/conformance/audit.ts).
 */
import type { Audit, Event } from '../../src/audit/audit.ts';
import { MirrorError } from '../../src/errors.ts';

export interface MemoryAudit extends Audit {
  /** What was recorded so far. */
  readonly events: readonly Event[];
  /** The events of one name so far. */
  of<Name extends Event['event']>(name: Name): Extract<Event, { readonly event: Name }>[];
  /** While true, nothing can be recorded. */
  broken: boolean;
}

export function memoryAudit(): MemoryAudit {
  const events: Event[] = [];
  return {
    events,
    broken: false,
    of: <Name extends Event['event']>(name: Name) =>
      events.filter((event): event is Extract<Event, { readonly event: Name }> => event.event === name),
    async record(event) {
      if (this.broken) throw new MirrorError('AUDIT_UNAVAILABLE', 'the audit log in memory was told to fail');
      events.push({ ...event });
    },
  };
}
