/**
 * Does a signature hold, and since when? Promises: logs, certificate, timestamps and signature are all verified by the
 * library against one trust root, as many distinct logs and times as are asked for, each log in force when it took the
 * entry; whatever the library throws is a refusal. Refuses to know who may sign: a proof of anybody's signature is one.
 */
import { verify as verifySignature, type KeyObject } from 'node:crypto';
import { type SignedEntity, type TrustMaterial, Verifier } from '@sigstore/verify';
import type { Offer } from './sigstore-bundle.ts';
import type { Certificate } from './sigstore-identity.ts';
import { refusing, untrusted } from './sigstore-refusal.ts';

/** What must have it: certificate transparency logs, transparency logs, times that are proved. */
export interface Thresholds {
  readonly ctlog: number;
  readonly tlog: number;
  readonly timestamps: number;
}

/** That a signature holds: its certificate where it has one, its earliest proved time in ms since 1970 where it has one. */
export interface Proof {
  readonly certificate?: Certificate;
  readonly signedAt?: number;
}

interface ProvenTime {
  readonly source: string;
  readonly at: number;
}

type Content = SignedEntity['signature'];
type Outcome = { readonly proof: Proof } | { readonly refusal: unknown };

/** Proves signatures against one trust root with one set of thresholds; a candidate once proved costs nothing more. */
export class Prover {
  readonly #material: TrustMaterial;
  readonly #thresholds: Thresholds;
  readonly #key: KeyObject | undefined;
  readonly #verifier: Verifier;
  readonly #outcomes = new WeakMap<Offer, Outcome>();

  /** For signatures by `key` alone, else by certificates of the root. Without a root, logs and times are left aside. */
  constructor(material: TrustMaterial | undefined, thresholds: Thresholds, key?: KeyObject) {
    const found = (): { publicKey: KeyObject; validFor: () => boolean } => {
      if (!key) throw untrusted('it is signed by a bare key');
      return { publicKey: key, validFor: () => true };
    };
    const empty = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
    this.#material = { ...(material ?? empty), publicKey: found };
    this.#thresholds = thresholds;
    this.#key = key;
    this.#verifier = new Verifier(this.#material, {
      ctlogThreshold: key ? 0 : thresholds.ctlog,
      tlogThreshold: thresholds.tlog,
      timestampThreshold: thresholds.timestamps,
    });
  }

  /** The proof that the signature in `offer` holds. `now`, ms since 1970, stands for a time where none is proved. @throws SIGNATURE_UNTRUSTED */
  prove(offer: Offer, now: number): Proof {
    const outcome = this.#outcomes.get(offer) ?? this.#outcomeOf(offer, now);
    this.#outcomes.set(offer, outcome);
    if ('refusal' in outcome) throw outcome.refusal;
    return outcome.proof;
  }

  #outcomeOf(offer: Offer, now: number): Outcome {
    try {
      return { proof: this.#proved(offer, now) };
    } catch (refusal) {
      return { refusal };
    }
  }

  #proved(offer: Offer, now: number): Proof {
    const entity = this.#entityOf(offer);
    refusing(untrusted, 'the signature does not hold', () => this.#verifier.verify(entity));
    const times = provenTimes(entity);
    const sources = new Set(times.map(({ source }) => source));
    if (sources.size < this.#thresholds.timestamps) throw untrusted('the proved times are not from distinct sources');
    const signedAt = times.length === 0 ? undefined : Math.min(...times.map(({ at }) => at));
    this.#checkLogs(entity, signedAt === undefined ? [now] : times.map(({ at }) => at));
    return {
      ...(entity.key.$case === 'certificate' ? { certificate: entity.key.certificate } : {}),
      ...(signedAt === undefined ? {} : { signedAt }),
    };
  }

  /** What the library verifies. A key of the policy's own stands in the place of whatever key the bundle names. */
  #entityOf(offer: Offer): SignedEntity {
    const { entity } = offer;
    if (!this.#key) return entity;
    const bare = this.#material.tlogs.length === 0 && this.#material.timestampAuthorities.length === 0;
    return {
      ...entity,
      key: { $case: 'public-key', hint: '' },
      signature: withHashOf(entity.signature, signedBytesOf(offer)),
      ...(bare ? { tlogEntries: [], timestamps: [] } : {}),
    };
  }

  /**
   * Distinct logs, each in force at one of the proved times (the library looks only where the entry has a promise): a retired
   * log's key must not vouch for what is new.
   */
  #checkLogs({ tlogEntries }: SignedEntity, times: readonly number[]): void {
    const logs = new Set(tlogEntries.map(({ logId }) => logId.keyId.toString('hex')));
    if (logs.size < this.#thresholds.tlog) throw untrusted('the log entries are not from distinct logs');
    const inForce = this.#material.tlogs.filter(({ validFor }) =>
      times.some(at => validFor.start.getTime() <= at && at <= validFor.end.getTime()),
    );
    for (const { inclusionPromise, logId } of tlogEntries)
      if (!inclusionPromise && !inForce.some(({ logID }) => logID.equals(logId.keyId)))
        throw untrusted('a log was not in force when it took the entry');
  }
}

/** The times in a verified entity: of timestamps, and of log entries whose promise covers their time (Rekor v2 has none). */
function provenTimes(entity: SignedEntity): ProvenTime[] {
  return entity.timestamps.flatMap((one): ProvenTime[] => {
    if (one.$case === 'timestamp-authority') {
      const { signerIssuer, signerSerialNumber, signingTime } = one.timestamp;
      const source = `${signerIssuer.toString('hex')} ${signerSerialNumber.toString('hex')}`;
      return [{ source, at: signingTime.getTime() }];
    }
    const { inclusionPromise, logId, integratedTime } = one.tlogEntry;
    return inclusionPromise ? [{ source: logId.keyId.toString('hex'), at: Number(integratedTime) * 1000 }] : [];
  });
}

/** The bytes that are signed: the message, or the envelope's pre-authentication encoding (DSSE v1.0). */
function signedBytesOf({ bundle, message }: Offer): Buffer {
  if (bundle.content.$case !== 'dsseEnvelope') return message ?? Buffer.alloc(0);
  const { payload, payloadType } = bundle.content.dsseEnvelope;
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

/** As `content`, and for a key that signs without SHA-256, its own hash: the library knows one hash for all keys. */
function withHashOf(content: Content, signed: Buffer): Content {
  return {
    signature: content.signature,
    compareSignature: signature => content.compareSignature(signature),
    compareDigest: digest => content.compareDigest(digest),
    compareSignedDigest: digest => content.compareSignedDigest(digest),
    verifySignature(key) {
      if (content.verifySignature(key)) return true;
      if (key.asymmetricKeyType === 'ed25519') return verifySignature(null, signed, key, content.signature);
      const isP384 = key.asymmetricKeyDetails?.namedCurve === 'secp384r1';
      return isP384 && verifySignature('sha384', signed, key, content.signature);
    },
  };
}
