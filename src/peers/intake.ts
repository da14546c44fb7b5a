/**
 * What other nodes hand over: rosters, credentials, statements, by gossip or sync, and policy bundles. Promises: each item is judged by its
 * own signature, whoever brought it, and a refusal is recorded before anything follows from it. Spec: PROTOCOL.md, "Items".
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import type { PeerId } from '../oci/oci.ts';
import type { Kind } from './bodies.ts';
import { kindOfSigned, STATEMENT_MAX_BYTES } from './envelope.ts';
import { CREDENTIAL_MAX_BYTES, ROSTER_MAX_BYTES } from './greeting.ts';
import type { Membership, RecordEvent } from './peers.ts';
import type { Outcome, Table, Way } from './table.ts';

/** One byte of type and the largest content. */
export const ITEM_MAX_BYTES = 1 + STATEMENT_MAX_BYTES;

/** Bytes of a policy bundle, packed. */
export const POLICY_MAX_BYTES = 4 << 20;

const TYPES = { roster: 0x72, credential: 0x63, statement: 0x73, policy: 0x70 } as const;

export type ItemType = keyof typeof TYPES;

/** What an item was: its type, how it was taken, and for statements who signed it. */
export interface Taken {
  readonly type: ItemType;
  readonly outcome: Outcome;
  readonly signer?: PeerId;
  readonly kind?: Kind;
}

/** An item as it travels. */
export const encodeItem = (type: ItemType, content: Uint8Array | string): Uint8Array =>
  Buffer.concat([Uint8Array.of(TYPES[type]), typeof content === 'string' ? Buffer.from(content) : content]);

export interface IntakeOptions {
  readonly members: Membership;
  readonly table: Table;
  readonly record: RecordEvent;
}

export class Intake {
  readonly #options: IntakeOptions;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Judges an item that `from` handed over; its refusal has been recorded. @throws what the judge of its type throws */
  async take(item: Uint8Array, from: PeerId, way: Way): Promise<Taken> {
    const content = item.subarray(1);
    switch (item[0] ?? 0) {
      case TYPES.roster:
        return this.#roster(content, from);
      case TYPES.credential:
        return this.#credential(content, from);
      case TYPES.statement:
        return this.#statement(content, from, way);
      default: {
        const error = new MirrorError('FRAME_INVALID', `${from} sent an item of an unknown type`);
        await this.refused(from, 'item', error);
        throw error;
      }
    }
  }

  /** Judges a policy bundle that `from` handed over where only bundles go; its refusal has been recorded. @throws BUNDLE_INVALID, or what members throw */
  async policy(item: Uint8Array, from: PeerId): Promise<Taken> {
    try {
      if (item[0] !== TYPES.policy) throw new MirrorError('BUNDLE_INVALID', `${from} sent no policy bundle`);
      if (item.length > 1 + POLICY_MAX_BYTES)
        throw new MirrorError('BUNDLE_INVALID', `a policy bundle of ${item.length} bytes`);
      const fresh = await this.#options.members.offerPolicy(Uint8Array.from(item.subarray(1)));
      return { type: 'policy', outcome: fresh ? 'taken' : 'known' };
    } catch (error) {
      const reason = asMirrorError(error, 'BUNDLE_INVALID', 'a policy bundle');
      await this.refused(from, 'policy', reason);
      throw reason;
    }
  }

  /** Records that something of `from` was refused. */
  async refused(from: PeerId, kind: string, error: MirrorError): Promise<void> {
    await this.#options.record({ event: 'statement.refused', peer: from, kind, code: error.code });
  }

  async #roster(content: Uint8Array, from: PeerId): Promise<Taken> {
    try {
      if (content.length > ROSTER_MAX_BYTES)
        throw new MirrorError('ROSTER_INVALID', `a roster of ${content.length} bytes`);
      const fresh = await this.#options.members.offerRoster(latin1(content));
      return { type: 'roster', outcome: fresh ? 'taken' : 'known' };
    } catch (error) {
      const reason = asMirrorError(error, 'ROSTER_INVALID', 'a roster');
      await this.#options.record({ event: 'roster.refused', source: from, code: reason.code });
      throw reason;
    }
  }

  async #credential(content: Uint8Array, from: PeerId): Promise<Taken> {
    try {
      if (content.length > CREDENTIAL_MAX_BYTES)
        throw new MirrorError('CREDENTIAL_INVALID', `a credential of ${content.length} bytes`);
      const fresh = await this.#options.members.offerCredential(latin1(content));
      return { type: 'credential', outcome: fresh ? 'taken' : 'known' };
    } catch (error) {
      const reason = asMirrorError(error, 'CREDENTIAL_INVALID', 'a credential');
      await this.refused(from, 'credential', reason);
      throw reason;
    }
  }

  async #statement(content: Uint8Array, from: PeerId, way: Way): Promise<Taken> {
    try {
      const { outcome, statement } = this.#options.table.offer(content, from, way);
      return { type: 'statement', outcome, signer: statement.signer, kind: statement.kind };
    } catch (error) {
      const reason = asMirrorError(error, 'STATEMENT_INVALID', 'a statement');
      await this.refused(from, kindOfSigned(content) ?? 'unknown', reason);
      throw reason;
    }
  }
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
