/**
 * Is an artifact a signature and nothing else? Whoever may name things in this node's store can write a manifest that lists
 * any content there, another's private image for one: so what is taken out of the store as an attachment, and given to others as
 * such, must itself read as a signature. Promises: every content of it does, or it is none. Refuses to know whether it
 * holds. Spec: cosign's BUNDLE_SPEC and SIGNATURE_SPEC; OCI image-spec config.md.
 */
import type { Artifact, Digest } from '../oci/oci.ts';
import { BUNDLE_TYPE, type Read } from './candidates.ts';

const CLAIM = 'cosign container image signature';
const EMPTY = '{}';

/** True where each layer is a bundle, a payload that cosign signs or an envelope, and the config is one that these have. */
export function isSignature({ bond, artifact, contents }: Read): boolean {
  const shape = { subject: isBundle, sig: isClaim, att: isEnvelope }[bond];
  return (
    artifact.layers.length > 0 &&
    artifact.layers.every(({ digest }) => shape(parsed(contents.get(digest)))) &&
    isConfig(artifact, contents.get(artifact.config.digest))
  );
}

type Json = Readonly<Record<string, unknown>>;

function parsed(bytes: Uint8Array | undefined): Json {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes ?? []).toString());
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Json) : {};
  } catch {
    return {};
  }
}

const isBundle = ({ mediaType, verificationMaterial }: Json): boolean =>
  typeof mediaType === 'string' && BUNDLE_TYPE.test(mediaType) && typeof verificationMaterial === 'object';

const isClaim = ({ critical }: Json): boolean => (critical as Json | undefined | null)?.type === CLAIM;

const isEnvelope = ({ payload, payloadType, signatures }: Json): boolean =>
  typeof payload === 'string' && typeof payloadType === 'string' && Array.isArray(signatures);

/** Empty, or of just these layers, which are not compressed: the config of another image lists that image's. */
function isConfig({ layers }: Artifact, bytes: Uint8Array | undefined): boolean {
  if (bytes && Buffer.from(bytes).toString() === EMPTY) return true;
  const ids = (parsed(bytes).rootfs as { diff_ids?: unknown } | undefined | null)?.diff_ids;
  const wanted = layers.map(({ digest }): Digest => digest);
  return Array.isArray(ids) && ids.length === wanted.length && wanted.every((digest, at) => ids[at] === digest);
}
