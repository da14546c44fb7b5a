/** Keys, and members who believe a simple credential, for tests of the control plane alone. */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { base58btc } from 'multiformats/bases/base58';
import { MirrorError } from '../../src/errors.ts';
import type { Node, PeerId, Role } from '../../src/oci/oci.ts';
import type { Membership, OwnKey, Verify } from '../../src/peers/peers.ts';

const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI = Buffer.from('302a300506032b6570032100', 'hex');
const MULTIHASH = Buffer.from('002408011220', 'hex');

const privateKey = (seed: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' });

/** The peer id of a node key. */
export function peerOf(seed: Uint8Array): PeerId {
  const raw = createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' }).subarray(SPKI.length);
  return base58btc.encode(Buffer.concat([MULTIHASH, raw])).slice(1) as PeerId;
}

/** Verifies by the key inside the peer id. */
export const verifyPeer: Verify = (peer, bytes, signature) => {
  const raw = base58btc.decode(`z${peer}`).subarray(MULTIHASH.length);
  return verify(
    null,
    bytes,
    createPublicKey({ key: Buffer.concat([SPKI, raw]), format: 'der', type: 'spki' }),
    signature,
  );
};

/** A node key with a start count; its credential is what `FakeMembers` reads. */
export function ownKey(seed: Uint8Array, start = 1, credential = credentialFor(peerOf(seed))): OwnKey {
  const key = privateKey(seed);
  return { peer: peerOf(seed), start, sign: bytes => sign(null, bytes, key), credential: () => credential };
}

/** The credential that `FakeMembers` believes: JSON, since nobody signs here. */
export function credentialFor(
  peer: PeerId,
  more: { name?: string; zone?: string; roles?: Role[]; iat?: number; cluster?: string; expired?: boolean } = {},
): string {
  return JSON.stringify({
    sub: peer,
    name: more.name ?? peer.slice(-8).toLowerCase(),
    iat: more.iat ?? 1,
    roles: ['fetch', 'serve', 'attest'],
    ...more,
  });
}

interface FakeClaims {
  readonly sub: PeerId;
  readonly name: string;
  readonly zone?: string;
  readonly roles: Role[];
  readonly iat: number;
  readonly cluster?: string;
  readonly expired?: boolean;
}

/** Members without signatures: a roster is JSON {seq, revoked}. */
export class FakeMembers implements Membership {
  roster: { seq: number; jwt: string; expiresAt: number };
  policy: Membership['policy'];
  readonly #nodes = new Map<PeerId, { node: Node; jwt: string }>();
  readonly #listeners: ((revoked: readonly PeerId[]) => void)[] = [];
  #revoked = new Set<PeerId>();

  constructor(seq = 1) {
    this.roster = { seq, jwt: JSON.stringify({ seq, revoked: [] }), expiresAt: 2 ** 45 };
  }

  async admit(credential: string, peer: PeerId): Promise<Node> {
    const claims = this.#read(credential);
    if (claims.sub !== peer) throw new MirrorError('CREDENTIAL_STOLEN', `shown by ${peer}`);
    this.#keep(claims, credential);
    return this.#nodes.get(peer)!.node;
  }

  node(peer: PeerId): Node | undefined {
    return this.#revoked.has(peer) ? undefined : this.#nodes.get(peer)?.node;
  }

  nodes(): readonly Node[] {
    return [...this.#nodes.keys()].flatMap(peer => this.node(peer) ?? []);
  }

  credentials(): ReadonlyMap<PeerId, string> {
    return new Map([...this.#nodes].map(([peer, { jwt }]) => [peer, jwt]));
  }

  async offerRoster(jwt: string): Promise<boolean> {
    const roster = this.#parse(jwt, 'ROSTER_INVALID') as { seq: number; revoked: PeerId[] };
    if (!Array.isArray(roster.revoked)) throw new MirrorError('ROSTER_INVALID', 'no roster');
    if (roster.seq < this.roster.seq) throw new MirrorError('ROSTER_ROLLBACK', 'an older roster');
    if (roster.seq === this.roster.seq) return false;
    this.roster = { seq: roster.seq, jwt, expiresAt: 2 ** 45 };
    const fresh = roster.revoked.filter(peer => !this.#revoked.has(peer));
    this.#revoked = new Set(roster.revoked);
    for (const listener of this.#listeners) listener(fresh);
    return true;
  }

  async offerCredential(jwt: string): Promise<boolean> {
    const claims = this.#read(jwt);
    return this.#keep(claims, jwt);
  }

  /** A policy is JSON {serial}; what it says beside that is nobody's concern here. */
  async offerPolicy(bytes: Uint8Array): Promise<boolean> {
    const { serial } = this.#parse(Buffer.from(bytes).toString('latin1'), 'BUNDLE_INVALID') as { serial?: number };
    if (!Number.isSafeInteger(serial) || serial! < 1) throw new MirrorError('BUNDLE_INVALID', 'no policy');
    const known = this.policy?.serial ?? 0;
    if (serial! < known) throw new MirrorError('POLICY_ROLLBACK', 'an older policy');
    if (serial === known) return false;
    this.policy = { serial: serial!, bytes };
    for (const listener of this.#listeners) listener([]);
    return true;
  }

  onChange(listener: (revoked: readonly PeerId[]) => void): void {
    this.#listeners.push(listener);
  }

  /** As if the issuer had revoked `peers`. */
  async revoke(...peers: PeerId[]): Promise<void> {
    const seq = this.roster.seq + 1;
    await this.offerRoster(JSON.stringify({ seq, revoked: [...this.#revoked, ...peers] }));
  }

  #keep(claims: FakeClaims, jwt: string): boolean {
    const known = this.#nodes.get(claims.sub);
    if (known && known.node.issuedAt >= claims.iat) return false;
    const { sub, name, zone, roles, iat } = claims;
    const node: Node = {
      peer: sub,
      name,
      ...(zone ? { zone } : {}),
      roles: new Set(roles),
      issuedAt: iat,
      expiresAt: 2 ** 45,
    };
    this.#nodes.set(sub, { node, jwt });
    for (const listener of this.#listeners) listener([]);
    return true;
  }

  #read(credential: string): FakeClaims {
    const claims = this.#parse(credential, 'CREDENTIAL_INVALID') as FakeClaims;
    if (!Array.isArray(claims.roles)) throw new MirrorError('CREDENTIAL_INVALID', 'no credential');
    if (claims.cluster) throw new MirrorError('CREDENTIAL_FOREIGN', 'of another cluster');
    if (claims.expired) throw new MirrorError('CREDENTIAL_EXPIRED', 'expired');
    if (this.#revoked.has(claims.sub)) throw new MirrorError('CREDENTIAL_REVOKED', 'revoked');
    return claims;
  }

  #parse(jwt: string, code: 'ROSTER_INVALID' | 'CREDENTIAL_INVALID' | 'BUNDLE_INVALID'): object {
    try {
      return JSON.parse(jwt) as object;
    } catch (error) {
      throw new MirrorError(code, 'not JSON', { cause: error });
    }
  }
}
