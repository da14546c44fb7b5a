/**
 * Policy bundles as they go from node to node: gzip. Promises: never unpacks more than an envelope may have, whatever is
 * packed. Refuses to know what is in them. Spec: policy/POLICY.md, "Bundles"; RFC 1952.
 */
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { MirrorError } from '../errors.ts';
import { BUNDLE_MAX_BYTES } from './policy-bundle.ts';

/** The largest packed bundle, in bytes: what peers send. */
export const PACKED_MAX_BYTES = 4 << 20;

const pack = promisify(gzip);
const unpack = promisify(gunzip);

/** Packs a bundle. @throws LIMIT_EXCEEDED where it would be too large for other nodes */
export async function packBundle(bytes: Uint8Array): Promise<Uint8Array> {
  const packed = await pack(bytes, { level: 9 });
  if (packed.length > PACKED_MAX_BYTES)
    throw new MirrorError(
      'LIMIT_EXCEEDED',
      `packed the bundle has ${packed.length} bytes, other nodes take ${PACKED_MAX_BYTES}`,
    );
  return packed;
}

/** Unpacks what a peer sent, at most BUNDLE_MAX_BYTES. @throws BUNDLE_INVALID */
export async function unpackBundle(packed: Uint8Array): Promise<Uint8Array> {
  if (packed.length > PACKED_MAX_BYTES)
    throw new MirrorError('BUNDLE_INVALID', `a packed policy bundle of ${packed.length} bytes`);
  try {
    return await unpack(packed, { maxOutputLength: BUNDLE_MAX_BYTES });
  } catch (error) {
    throw new MirrorError('BUNDLE_INVALID', `a policy bundle that cannot be unpacked: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
