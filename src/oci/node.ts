/** Nodes, as every room speaks of them. A `PeerId` here was well formed; whether anyone admitted it is not said. */
import { MirrorError } from '../errors.ts';

/** A libp2p peer id of an Ed25519 key, in base58btc (`12D3KooW…`). */
export type PeerId = string & { readonly __brand: 'PeerId' };
/** What a credential lets a node do: ask, be asked, have its statements count, enrol others. */
export type Role = 'fetch' | 'serve' | 'attest' | 'enroll';
export const ROLES: readonly Role[] = ['fetch', 'serve', 'attest', 'enroll'];

/** A node that holds a credential of this cluster, as its credential says. */
export interface Node {
  readonly peer: PeerId;
  /** 1–63 characters of a DNS label. */
  readonly name: string;
  readonly zone?: string;
  readonly roles: ReadonlySet<Role>;
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

const PEER = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/;
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** @throws NAME_INVALID */
export function parsePeerId(text: string): PeerId {
  if (!PEER.test(text)) throw new MirrorError('NAME_INVALID', `not a peer id: ${JSON.stringify(text.slice(0, 80))}`);
  return text as PeerId;
}

/** The name of a node or zone: a DNS label. @throws NAME_INVALID */
export function parseNodeName(text: string): string {
  if (!NAME.test(text))
    throw new MirrorError(
      'NAME_INVALID',
      `a name is a DNS label (a-z, 0-9, -; at most 63): ${JSON.stringify(text.slice(0, 80))}`,
    );
  return text;
}
