/**
 * The one rule of handing over: how many bytes of a content on its way may leave this node. Everything else in the mirror
 * may be slow, wrong or lied to; as long as this holds, no unproved byte reaches containerd.
 */
import type { Root } from '../proof/proof.ts';
import type { Vouching } from '../trust/trust.ts';

export interface Progress {
  /** Bytes of the whole content. */
  readonly size: number;
  /** Bytes that were checked against the proof with root `root`, and written without a gap. */
  readonly checked: number;
  readonly root: Root;
  /** True when all bytes were hashed and have the content's digest. */
  readonly whole: boolean;
}

/** The watermark: bytes from the start that may be handed on. */
export function handOver(progress: Progress, vouching: Vouching): number {
  if (progress.whole) return progress.size;
  if (vouching.root === progress.root && !vouching.conflict) return progress.checked;
  return 0;
}
