/**
 * How far a node's policies had come: `policy.json` of the state folder. Promises: no policy comes into force again that is
 * older than one that was, of signed and of unsigned ones apart. Refuses to know what they say. Spec: policy/POLICY.md,
 * "Bundles".
 */
import { MirrorError } from '../errors.ts';
import { readState, StateFile } from '../trust/state-file.ts';
import type { Keep } from '../world.ts';

const WHAT = 'the file of policy serials';
const SERIALS = { min: 1, max: Number.MAX_SAFE_INTEGER };

/** A policy as the marks tell it from others; `id` is the SHA-256 of a signed one's payload. */
export interface Marked {
  readonly policy: { readonly serial: number };
  readonly sealed?: { readonly id: string };
}

interface Marks {
  readonly signed?: { readonly serial: number; readonly id: string };
  readonly unsigned?: number;
}

export class PolicyMarks {
  readonly #file: StateFile;
  #marks: Marks;

  private constructor(keep: Keep, marks: Marks) {
    this.#marks = marks;
    this.#file = new StateFile(keep, () => this.#marks);
  }

  /** @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE */
  static async open(keep: Keep): Promise<PolicyMarks> {
    const fields = await readState(keep, WHAT);
    const signed = fields?.fields('signed');
    const id = signed?.string('id');
    if (id !== undefined && !/^[0-9a-f]{64}$/.test(id)) signed?.fail('id', 'must be a SHA-256 in hex');
    const marks = {
      ...(signed && id !== undefined ? { signed: { serial: signed.integer('serial', SERIALS), id } } : {}),
      ...(fields?.keys().includes('unsigned') ? { unsigned: fields.integer('unsigned', SERIALS) } : {}),
    };
    signed?.end();
    fields?.end();
    return new PolicyMarks(keep, marks);
  }

  /** Refuses what is older than what was in force. @throws POLICY_ROLLBACK */
  judge({ policy: { serial }, sealed }: Marked): void {
    const { signed, unsigned } = this.#marks;
    const before = (what: string): never => {
      throw new MirrorError('POLICY_ROLLBACK', `the policy has serial ${serial}, but ${what} was in force here`);
    };
    if (sealed) {
      if (signed && serial < signed.serial) before(`the signed one with ${signed.serial}`);
      if (signed && serial === signed.serial && sealed.id !== signed.id) before('another signed one with it');
      return;
    }
    if (signed && serial <= signed.serial) before(`the signed one with ${signed.serial}`);
    if (unsigned !== undefined && serial < unsigned) before(`the one with ${unsigned}`);
  }

  /** Resolves when it is on disk that this one came into force. @throws FILE_UNREADABLE */
  async raise({ policy: { serial }, sealed }: Marked): Promise<void> {
    const { signed, unsigned } = this.#marks;
    if (serial === (sealed ? signed?.serial : unsigned)) return;
    const mark = sealed ? { signed: { serial, id: sealed.id } } : { unsigned: serial };
    this.#marks = { ...this.#marks, ...mark };
    await this.#file.save();
  }
}
