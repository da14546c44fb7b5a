/**
 * Peer ids of Ed25519 keys. Promises: an id carries its public key whole (identity multihash of the protobuf key, in
 * base58btc), so the two convert both ways and nothing is hashed. Spec: libp2p peer-ids.md; multiformats base58btc.
 */
import { assert, MirrorError } from '../errors.ts';
import { type PeerId, parsePeerId } from '../oci/oci.ts';

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
/** Identity multihash (0x00, 36 bytes) of the message {type: Ed25519, data: 32 bytes}. */
const PREFIX = Buffer.from('002408011220', 'hex');
/** Bytes of a raw Ed25519 public key. */
export const PUBLIC_KEY_BYTES = 32;
const ID_BYTES = PREFIX.length + PUBLIC_KEY_BYTES;

function base58(bytes: Uint8Array): string {
  let value = BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
  let text = '';
  for (; value > 0n; value /= 58n) text = ALPHABET[Number(value % 58n)] + text;
  const zeros = bytes.findIndex(byte => byte !== 0);
  return '1'.repeat(zeros < 0 ? bytes.length : zeros) + text;
}

/** The peer id of a raw 32-byte Ed25519 public key. */
export function peerIdOf(publicKey: Uint8Array): PeerId {
  assert(publicKey.length === PUBLIC_KEY_BYTES, 'an Ed25519 public key has 32 bytes');
  return base58(Buffer.concat([PREFIX, publicKey])) as PeerId;
}

/** The raw 32-byte public key in a peer id. @throws NAME_INVALID where the id carries anything but an Ed25519 key */
export function publicKeyOf(peer: PeerId): Uint8Array {
  const text = parsePeerId(peer);
  // 52 digits that begin as these do are 38 bytes with one leading zero, so no length needs to be checked.
  let value = 0n;
  for (const character of text) value = value * 58n + BigInt(ALPHABET.indexOf(character));
  const hex = value.toString(16).padStart(ID_BYTES * 2, '0');
  const bytes = Buffer.from(hex, 'hex');
  if (!bytes.subarray(0, PREFIX.length).equals(PREFIX))
    throw new MirrorError('NAME_INVALID', `the peer id ${text} carries no Ed25519 key`);
  return new Uint8Array(bytes.subarray(PREFIX.length));
}
