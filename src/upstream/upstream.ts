/** What does the origin say? The port; nothing stands behind it yet, so the mirror's "not here" sends containerd there. */
import type { Descriptor, Reference } from '../oci/oci.ts';

export interface Upstream {
  /** The descriptor of a reference at its registry; undefined where it has none. @throws UPSTREAM_UNAVAILABLE */
  resolve(reference: Reference, signal: AbortSignal): Promise<Descriptor | undefined>;
}
