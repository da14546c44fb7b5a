/**
 * A policy on a disk with the files that it names. Promises: bounded; what is read is of one moment, or it is read again;
 * changes of any of the files are seen, also behind symbolic links (a ConfigMap's). Refuses to know what a policy says.
 * Spec: policy/POLICY.md.
 */
import { dirname, resolve } from 'node:path';
import { asMirrorError, MirrorError } from '../errors.ts';
import { policyFiles } from '../policy/parse.ts';
import { closeAfter, type Disk, readWhole } from '../store/disk.ts';
import { looksLikeBundle } from '../trust/policy-bundle.ts';

/** The largest policy or bundle that is read from a file, in bytes. */
export const POLICY_FILE_MAX_BYTES = 8 << 20;
/** One file that a policy names, all of them, in bytes, and how many. */
export const NAMED_MAX_BYTES = 64 << 20;
export const NAMED_TOTAL_MAX_BYTES = 128 << 20;
export const NAMED_MAX = 64;

/** What was read: a bundle, or a policy's text with the files that it names, by the names that stand in it. */
export type ReadPolicy =
  | { readonly kind: 'bundle'; readonly bytes: Uint8Array }
  | { readonly kind: 'text'; readonly text: string; readonly files: ReadonlyMap<string, Uint8Array> };

/** The text of bytes. @throws FILE_UNREADABLE where they are not UTF-8 */
export function utf8Of(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new MirrorError('FILE_UNREADABLE', `${path} is not text in UTF-8`, { cause: error });
  }
}

async function bytesOf(disk: Disk, path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    const file = await disk.openRead(path, 'follow');
    if (!file) throw new Error('there is no such file');
    return await closeAfter(file, () => readWhole(file, path, maxBytes));
  } catch (error) {
    throw new MirrorError('FILE_UNREADABLE', `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}

export class PolicyFile {
  readonly #disk: Disk;
  readonly #file: string;
  /** The policy, and the files that it named last. */
  #paths: readonly string[];
  /** What they looked like when they were read last; empty where they are to be read again. */
  #stamps = '';

  constructor(disk: Disk, file: string) {
    this.#disk = disk;
    this.#file = file;
    this.#paths = [file];
  }

  /** True where any of the files may have changed since `read`. */
  async changed(): Promise<boolean> {
    return this.#stamps === '' || this.#stamps !== (await this.#look());
  }

  /** Reads it again at the next look, whatever it looks like. */
  again(): void {
    this.#stamps = '';
  }

  /** Reads all of it. @throws FILE_UNREADABLE, YAML_INVALID, POLICY_INVALID */
  async read(): Promise<ReadPolicy> {
    this.#paths = [this.#file];
    this.#stamps = await this.#look();
    const bytes = await bytesOf(this.#disk, this.#file, POLICY_FILE_MAX_BYTES);
    if (looksLikeBundle(bytes)) return { kind: 'bundle', bytes };
    const text = utf8Of(bytes, this.#file);
    const names = policyFiles(text, this.#file);
    if (names.length > NAMED_MAX)
      throw new MirrorError('POLICY_INVALID', `${this.#file}: names more than ${NAMED_MAX} files`);
    const before = this.#stamps;
    this.#paths = [this.#file, ...names.map(name => resolve(dirname(this.#file), name))];
    this.#stamps = await this.#look();
    const files = await this.#named(names);
    if (!this.#stamps.startsWith(before) || this.#stamps !== (await this.#look())) {
      this.again();
      throw new MirrorError('FILE_UNREADABLE', `${this.#file} or a file that it names changed while it was read`);
    }
    return { kind: 'text', text, files };
  }

  async #named(names: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const files = new Map<string, Uint8Array>();
    let left = NAMED_TOTAL_MAX_BYTES;
    for (const [at, name] of names.entries()) {
      const bytes = await bytesOf(this.#disk, this.#paths[at + 1]!, Math.min(NAMED_MAX_BYTES, left));
      left -= bytes.length;
      files.set(name, bytes);
    }
    return files;
  }

  /** What the files look like now, one a line, the policy first. */
  async #look(): Promise<string> {
    const lines: string[] = [];
    for (const path of this.#paths) lines.push(`${path} ${await this.#stamp(path)}\n`);
    return lines.join('');
  }

  async #stamp(path: string): Promise<string> {
    try {
      const file = await this.#disk.openRead(path, 'follow');
      return file ? await closeAfter(file, async () => (await file.facts()).stamp) : 'absent';
    } catch (error) {
      return asMirrorError(error, 'FILE_UNREADABLE', path).message;
    }
  }
}

/** The bytes of a policy or bundle. @throws FILE_UNREADABLE */
export const readPolicyBytes = (disk: Disk, file: string): Promise<Uint8Array> =>
  bytesOf(disk, file, POLICY_FILE_MAX_BYTES);

/** Reads the policy of `file` once. @throws FILE_UNREADABLE, YAML_INVALID, POLICY_INVALID */
export const readPolicyOnce = (disk: Disk, file: string): Promise<ReadPolicy> => new PolicyFile(disk, file).read();
