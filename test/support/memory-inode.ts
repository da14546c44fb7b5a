/** A file of the disk in memory, and what a crash leaves of its bytes. Refuses to know names. */

export interface Inode {
  readonly number: number;
  bytes: Uint8Array<ArrayBuffer>;
  synced: Uint8Array<ArrayBuffer>;
  /** True while `synced` is the same memory as `bytes`. */
  shared: boolean;
  size: number;
  modifiedAt: number;
  changes: number;
  mode: number;
  names: number;
  open: number;
}

/** Luck at a crash: a whole number from 0 to `most`. */
export type Luck = (most: number) => number;

/** Power was lost: what was synced is left, and of what came after it as much as luck leaves, its bytes or zeros. */
export function tear(inode: Inode, luck: Luck): void {
  const { synced } = inode;
  const kept = luck(Math.max(0, inode.size - synced.length));
  const bytes = new Uint8Array(synced.length + kept);
  bytes.set(synced);
  // Room was found for it, and the bytes themselves may not have come.
  if (luck(1) === 1) bytes.set(inode.bytes.subarray(synced.length, bytes.length), synced.length);
  Object.assign(inode, { bytes, synced: bytes, shared: true, size: bytes.length, open: 0 });
  inode.changes += 1;
}
