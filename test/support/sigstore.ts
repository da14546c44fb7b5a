/**
 * A private sigstore on loopback, made at run time: Fulcio, CT log, Rekor v1 and v2, a timestamp authority, and their trust
 * root. Promises: bundles as cosign makes them, by the makers' own client. Knows nothing of who judges them.
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { bundleToJSON } from '@sigstore/bundle';
import {
  fulcioHandler,
  initializeCA,
  initializeCTLog,
  initializeTLog,
  initializeTSA,
  rekorHandler,
  rekorV2Handler,
  tsaHandler,
} from '@sigstore/mock';
import { HashAlgorithm, PublicKeyDetails, TrustedRoot } from '@sigstore/protobuf-specs';
import {
  DSSEBundleBuilder,
  FulcioSigner,
  MessageSignatureBundleBuilder,
  RekorWitness,
  type Signer,
  TSAWitness,
} from '@sigstore/sign';
import { logAsRekor1, logAsRekor2 } from './sigstore-logs.ts';
import { bytesOfJson, IN_TOTO, type Json, type KeyPair } from './sigstore-signing.ts';

type Handler = ReturnType<typeof tsaHandler>;
/** `intoto` is Rekor v1 with the older kind of entry. The clock of them all moves on a second with each entry and timestamp. */
export type Witnesses = readonly ('rekor1' | 'intoto' | 'rekor2' | 'tsa')[];

/** Who signs, and who sees it. */
export interface Signing {
  readonly signer: Signer;
  readonly witnesses?: Witnesses;
}

/** A private sigstore. */
export interface Sigstore {
  readonly url: string;
  /** Its `trusted_root.json`, with further certificate authorities (DER). */
  root(...authorities: readonly Uint8Array[]): Json;
  /** Signs by a certificate of its Fulcio for that identity. */
  keyless(subject: string, issuer?: string, claims?: Json): Signer;
  /** A bundle around an in-toto statement. */
  statement(text: string | Uint8Array, signing: Signing, payloadType?: string): Promise<Json>;
  /** A bundle whose signature is over the bytes themselves. */
  message(bytes: Uint8Array, signing: Signing): Promise<Json>;
  close(): void;
}

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
/** A pair of P-256. */
export const keyPair = (): KeyPair => generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const sha256 = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest();

function serve(handlers: ReadonlyMap<string, Handler>): Server {
  return createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const handler = handlers.get(request.url ?? '');
      if (!handler) return void response.writeHead(404).end();
      void handler.fn(Buffer.concat(parts).toString()).then(answer => {
        response.writeHead(answer.statusCode, { 'content-type': answer.contentType ?? 'text/plain' });
        response.end(answer.response);
      });
    });
  });
}

/** Starts a private sigstore on 127.0.0.1; it ends with `close`. */
export async function openSigstore(): Promise<Sigstore> {
  const handlers = new Map<string, Handler>();
  const server = serve(handlers);
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clock = new Date();
  const ct = await initializeCTLog(keyPair());
  const ca = await initializeCA(keyPair(), ct, clock);
  const rekor1 = await initializeTLog(url, keyPair(), clock);
  const rekor2 = await initializeTLog(url, keyPair(), clock);
  const tsa = await initializeTSA(keyPair(), clock);
  // Whole seconds, or the mock writes times that nobody reads; and not before its certificates, which begin now.
  clock.setTime(Math.ceil(Date.now() / SECOND_MS) * SECOND_MS);
  logAsRekor1(rekor1);
  logAsRekor2(rekor2);
  const ticking = <In, Out>(work: (input: In) => Out): ((input: In) => Out) => {
    return input => {
      const out = work(input);
      clock.setTime(clock.getTime() + SECOND_MS);
      return out;
    };
  };
  rekor1.log = ticking(rekor1.log.bind(rekor1));
  tsa.timestamp = ticking(tsa.timestamp.bind(tsa));
  for (const handler of [
    fulcioHandler(ca, { strict: true, subjectClaim: 'email' }),
    rekorHandler(rekor1, { strict: true }),
    rekorV2Handler(rekor2, { strict: true }),
    tsaHandler(tsa, { strict: true }),
  ])
    handlers.set(handler.path, handler);
  const witnessOf = {
    rekor1: () => new RekorWitness({ rekorBaseURL: url, entryType: 'dsse' }),
    intoto: () => new RekorWitness({ rekorBaseURL: url, entryType: 'intoto' }),
    rekor2: () => new RekorWitness({ rekorBaseURL: url, entryType: 'dsse', majorApiVersion: 2 }),
    tsa: () => new TSAWitness({ tsaBaseURL: url }),
  };
  const built = ({ signer, witnesses = ['rekor1'] }: Signing) => ({
    signer,
    witnesses: witnesses.map(name => witnessOf[name]()),
  });
  return {
    url,
    root: (...authorities) =>
      rootOf(url, {
        authorities: [asBytes(ca.rootCertificate), ...authorities],
        ctlogs: [ct.publicKey],
        tlogs: [rekor1.publicKey, rekor2.publicKey],
        timestamps: [asBytes(tsa.intCertificate), asBytes(tsa.rootCertificate)],
      }),
    keyless(subject, issuer = 'https://issuer.example', claims = {}) {
      const said = { email: subject, email_verified: true, iss: issuer, sub: 'x', ...claims };
      const token = `e30.${bytesOfJson(said).toString('base64url')}.sig`;
      return new FulcioSigner({ fulcioBaseURL: url, identityProvider: { getToken: () => Promise.resolve(token) } });
    },
    async statement(text, signing, type = IN_TOTO) {
      const bundle = await new DSSEBundleBuilder(built(signing)).create({ data: Buffer.from(text), type });
      return bundleToJSON(bundle) as Json;
    },
    async message(bytes, signing) {
      const bundle = await new MessageSignatureBundleBuilder(built(signing)).create({ data: Buffer.from(bytes) });
      return bundleToJSON(bundle) as Json;
    },
    close: () => void server.close(),
  };
}

const asBytes = (view: ArrayBufferView): Buffer => Buffer.from(view.buffer, view.byteOffset, view.byteLength);

interface RootParts {
  readonly authorities: readonly Uint8Array[];
  readonly ctlogs: readonly Buffer[];
  readonly tlogs: readonly Buffer[];
  readonly timestamps: readonly Uint8Array[];
}

function rootOf(baseUrl: string, { authorities, ctlogs, tlogs, timestamps }: RootParts): Json {
  const validFor = { start: new Date(Date.now() - HOUR_MS), end: undefined };
  const authority = (...chain: readonly Uint8Array[]) => ({
    subject: { commonName: 'x', organization: 'x' },
    uri: baseUrl,
    certChain: { certificates: chain.map(bytes => ({ rawBytes: Buffer.from(bytes) })) },
    validFor,
    operator: 'test',
  });
  const log = (rawBytes: Buffer) => ({
    baseUrl,
    logId: { keyId: sha256(rawBytes) },
    hashAlgorithm: HashAlgorithm.SHA2_256,
    publicKey: { rawBytes, keyDetails: PublicKeyDetails.PKIX_ECDSA_P256_SHA_256, validFor },
    checkpointKeyId: undefined,
    operator: 'test',
  });
  return TrustedRoot.toJSON({
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    certificateAuthorities: authorities.map(one => authority(one)),
    ctlogs: ctlogs.map(log),
    tlogs: tlogs.map(log),
    timestampAuthorities: [authority(...timestamps)],
  }) as Json;
}
