/**
 * Evidence: signed roots that this node found false. Promises: kept across restarts, bounded, and a signer that is refuted
 * here stays so until a person clears it or it gets a new credential; nobody can push the evidence against it out.
 * Refuses to know how it was found, and never acts on another's word.
 */
import { createHash } from 'node:crypto';
import { asMirrorError, MirrorError } from '../errors.ts';
import { type PeerId, parseDigest, parsePeerId } from '../oci/oci.ts';
import { parseRoot } from '../proof/proof.ts';
import type { Keep } from '../world.ts';
import { Fields } from '../yaml.ts';
import { readState, StateFile } from './state-file.ts';
import type { Evidence, EvidenceBook } from './trust.ts';

/** Pieces kept of one signer under one credential; one is enough to refute it. */
export const EVIDENCE_PER_PEER = 4;
/** Pieces kept in all; the oldest goes. */
export const EVIDENCE_MAX = 1024;
/** Characters of signed statements kept in all; the oldest pieces lose theirs first, and stay. */
export const STATEMENTS_MAX_CHARS = 32 << 20;
const WHAT = 'the file of evidence';
const LATEST = { min: 0, max: Number.MAX_SAFE_INTEGER };

export interface EvidenceOptions {
  readonly keep: Keep;
}

/** Opens the book. @throws STATE_INVALID, STATE_NEWER, FILE_UNREADABLE */
export async function openEvidence({ keep }: EvidenceOptions): Promise<EvidenceBook> {
  const fields = await readState(keep, WHAT);
  const list = fields?.take('evidence') ?? [];
  fields?.end();
  if (!Array.isArray(list)) throw new MirrorError('STATE_INVALID', `${WHAT}: evidence must be a list`);
  return new Book(keep, list.map(readEvidence));
}

class Book implements EvidenceBook {
  readonly #file: StateFile;
  readonly #all = new Map<string, Evidence>();
  /** The newest credential of each signer against which there is evidence: asked for every holder of every chunk. */
  readonly #refuted = new Map<PeerId, number>();

  constructor(keep: Keep, all: readonly Evidence[]) {
    for (const one of all) this.#put(one);
    this.#file = new StateFile(keep, () => ({ evidence: this.list() }));
  }

  list(): readonly Evidence[] {
    return [...this.#all.values()];
  }

  async add(found: Omit<Evidence, 'id'>): Promise<Evidence> {
    const evidence = { id: idOf(found), ...found };
    const known = this.#all.get(evidence.id);
    if (known && known.credentialIssuedAt >= found.credentialIssuedAt) return known;
    const same = this.list().filter(
      one => one.peer === found.peer && one.credentialIssuedAt >= found.credentialIssuedAt,
    );
    if (same.length >= EVIDENCE_PER_PEER) return evidence;
    this.#all.delete(evidence.id);
    this.#put(evidence);
    this.#bound();
    await this.#file.save();
    return evidence;
  }

  refuted(peer: PeerId, credentialIssuedAt: number): boolean {
    const newest = this.#refuted.get(peer);
    return newest !== undefined && newest >= credentialIssuedAt;
  }

  async clear(idOrPeer: string): Promise<boolean> {
    const gone = this.list().filter(one => one.id === idOrPeer || one.peer === idOrPeer);
    this.#remove(gone);
    if (gone.length) await this.#file.save();
    return gone.length > 0;
  }

  #put(one: Evidence): void {
    this.#all.set(one.id, one);
    this.#refuted.set(one.peer, Math.max(one.credentialIssuedAt, this.#refuted.get(one.peer) ?? 0));
  }

  #remove(gone: readonly Evidence[]): void {
    if (!gone.length) return;
    for (const { id } of gone) this.#all.delete(id);
    this.#refuted.clear();
    for (const one of this.#all.values()) this.#put(one);
  }

  #bound(): void {
    this.#remove(this.list().slice(0, -EVIDENCE_MAX));
    let room = STATEMENTS_MAX_CHARS;
    for (const one of this.list().toReversed()) {
      room -= one.statement.length;
      if (room < 0) this.#all.set(one.id, { ...one, statement: '' });
    }
  }
}

const idOf = ({ peer, digest, claimed }: Omit<Evidence, 'id'>): string =>
  createHash('sha256').update([peer, digest, claimed].join('\n')).digest('hex').slice(0, 16);

function readEvidence(entry: unknown): Evidence {
  const fields = new Fields(entry, `${WHAT}: evidence[]`, 'STATE_INVALID');
  fields.take('id');
  try {
    const own = fields.string('own', undefined);
    const found = {
      peer: parsePeerId(fields.string('peer')),
      credentialIssuedAt: fields.integer('credentialIssuedAt', LATEST),
      digest: parseDigest(fields.string('digest')),
      claimed: parseRoot(fields.string('claimed')),
      ...(own === undefined ? {} : { own: parseRoot(own) }),
      foundAt: fields.integer('foundAt', LATEST),
    };
    const statement = fields.take('statement');
    if (typeof statement !== 'string') fields.fail('statement', 'must be a string');
    fields.end();
    return { id: idOf({ ...found, statement: '' }), ...found, statement: statement as string };
  } catch (error) {
    throw new MirrorError('STATE_INVALID', `${asMirrorError(error, 'STATE_INVALID', WHAT).message}: remove it`);
  }
}
