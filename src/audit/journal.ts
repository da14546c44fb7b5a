/**
 * The audit log as lines in a journal. Promises: a record is with the system when `record` answers, records keep their
 * order, those that come together share a write, no number is used twice, and what could not be written is told later.
 * Refuses to know where the journal lies. Spec: FORMAT.md.
 */
import { MirrorError } from '../errors.ts';
import type { Journal, World } from '../world.ts';
import type { Audit, Event } from './audit.ts';
import { endOf, formatRecord, LINE_MAX_BYTES } from './record.ts';
import { isRefusal, Refusals } from './refusals.ts';

/** The most characters of one append; a record may always go out. */
const BATCH_MAX_CHARACTERS = 1 << 20;
/** The most records that wait for a write. */
const WAITING_MAX = 10_000;
/** Bytes at the end of an existing log that are read to go on from: several records, whatever their length. */
export const AUDIT_TAIL_BYTES = 4 * LINE_MAX_BYTES;

export interface AuditOptions {
  readonly journal: Journal;
  readonly world: World;
  /** Of the policy in force, hex. */
  readonly policyHash: () => string;
  /** This node's name. */
  readonly node: string;
  /** The last bytes, at most `maxBytes`, of what the journal holds from before; not given: the journal is new. */
  readonly tail?: (maxBytes: number) => Promise<Uint8Array>;
  /** The daemon's life: at its end, refusals that were only counted are written. */
  readonly signal?: AbortSignal;
}

interface Waiting {
  readonly event: Event;
  readonly time: number;
  readonly policy: string;
  readonly settle: (error?: MirrorError) => void;
}

/** Opens the log and goes on after its last record. @throws STATE_INVALID, FILE_UNREADABLE */
export async function openAudit(options: AuditOptions): Promise<Audit> {
  const { record, torn } = endOf((await options.tail?.(AUDIT_TAIL_BYTES)) ?? new Uint8Array(0));
  const writer = new Writer(options, record + (torn ? 1 : 0), torn);
  const { world, signal } = options;
  // A count that cannot be written is refused like any record, and `audit.resumed` tells so.
  const refusals = new Refusals(world, count => void writer.write(count).catch(() => undefined), signal);
  return { record: async event => (isRefusal(event) && !refusals.single(event) ? undefined : writer.write(event)) };
}

class Writer {
  readonly #options: AuditOptions;
  readonly #waiting: Waiting[] = [];
  #last: number;
  #torn: boolean;
  #refused = 0;
  #writing = false;

  constructor(options: AuditOptions, last: number, torn: boolean) {
    this.#options = options;
    this.#last = last;
    this.#torn = torn;
  }

  /** @throws AUDIT_UNAVAILABLE */
  write(event: Event): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX) {
      this.#refused++;
      const what = `${WAITING_MAX} audit records wait for the disk: ${event.event} is refused`;
      return Promise.reject(new MirrorError('AUDIT_UNAVAILABLE', what));
    }
    const { world, policyHash } = this.#options;
    return new Promise((resolve, reject) => {
      const settle = (error?: MirrorError): void => (error ? reject(error) : resolve());
      this.#waiting.push({ event: { ...event }, time: world.now(), policy: policyHash(), settle });
      void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    // One turn, so that what is asked for in this one shares the write.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#append();
    this.#writing = false;
  }

  /** Writes a note where one is due, then what waits, as far as it fits. */
  async #append(): Promise<void> {
    const taken: Waiting[] = [];
    const note = this.#note();
    let bytes = note;
    for (
      let next = this.#waiting[0];
      next && bytes.length + LINE_MAX_BYTES <= BATCH_MAX_CHARACTERS;
      next = this.#waiting[0]
    ) {
      taken.push(next);
      this.#waiting.shift();
      bytes += this.#line(next.event, next.time, next.policy);
    }
    try {
      await this.#options.journal.append(Buffer.from(bytes));
      if (note) [this.#torn, this.#refused] = [false, 0];
      for (const { settle } of taken) settle();
    } catch (cause) {
      this.#refused += taken.length;
      const what = 'the audit log cannot be written, so what was to be recorded is not done: look at its disk';
      for (const { settle } of taken) settle(new MirrorError('AUDIT_UNAVAILABLE', what, { cause }));
    }
  }

  #note(): string {
    if (!this.#torn && this.#refused === 0) return '';
    const { world, policyHash } = this.#options;
    return this.#line({ event: 'audit.resumed', torn: this.#torn, refused: this.#refused }, world.now(), policyHash());
  }

  #line(event: Event, time: number, policy: string): string {
    return formatRecord({ record: ++this.#last, time, self: this.#options.node, policy }, event);
  }
}
