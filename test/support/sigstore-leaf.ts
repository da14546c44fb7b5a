/**
 * A certificate authority made at run time that issues what Fulcio never would: leaves without a use, with two names, with
 * bytes above 127 in them, with critical extensions that nobody knows. X.509 v3, P-256, in DER. Knows no log.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

const der = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  const { length } = body;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Uint8Array.of(tag, ...head), body]);
};
const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const octets = (...parts: readonly Uint8Array[]): Buffer => der(0x04, ...parts);

/** An object identifier. */
function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 127];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left & 127) | 128);
    bytes.push(...groups);
  }
  return der(0x06, Uint8Array.from(bytes));
}

const ECDSA_WITH_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
const TRUE = der(0x01, Uint8Array.of(0xff));
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3';
const ISSUER = '1.3.6.1.4.1.57264.1.8';
const time = (at: number): Buffer =>
  der(
    0x17,
    Buffer.from(
      `${new Date(at)
        .toISOString()
        .replaceAll(/[-T:]|\.\d+/g, '')
        .slice(2)}`,
    ),
  );
const nameOf = (text: string): Buffer => sequence(der(0x31, sequence(oid('2.5.4.3'), der(0x0c, Buffer.from(text)))));
const idOf = (key: KeyObject): Buffer =>
  createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();

/** An extension; `value` is its DER. */
export const extension = (id: string, value: Uint8Array, critical = false): Buffer =>
  sequence(oid(id), ...(critical ? [TRUE] : []), octets(value));
/** Text as Fulcio writes it in its extensions. */
export const utf8 = (text: string | Uint8Array): Buffer => der(0x0c, Buffer.from(text));
/** Alternative names: a URI, an e-mail address, another name. */
export const uri = (text: string | Uint8Array): Buffer => der(0x86, Buffer.from(text));
export const email = (text: string): Buffer => der(0x81, Buffer.from(text));
export const otherName = (text: string): Buffer => der(0xa0, oid('1.3.6.1.4.1.57264.1.7'), der(0xa0, utf8(text)));

/** What a leaf says of its holder. */
export interface LeafWish {
  readonly names?: readonly Uint8Array[];
  readonly issuer?: string | Uint8Array;
  /** Extended uses; none at all where it is empty. */
  readonly uses?: readonly string[];
  readonly authority?: boolean;
  readonly more?: readonly Uint8Array[];
}

/** A certificate and its key. */
export interface Leaf {
  readonly pem: string;
  readonly key: KeyObject;
}

/** An authority: its own certificate in DER, and leaves that are valid for an hour around now. */
export interface LeafAuthority {
  readonly certificate: Buffer;
  issue(wish?: LeafWish): Leaf;
}

const pemOf = (bytes: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64').replaceAll(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----\n`;

function certificate(subject: string, key: KeyObject, signer: KeyObject, extensions: readonly Uint8Array[]): Buffer {
  const now = Date.now();
  const body = sequence(
    der(0xa0, der(0x02, Uint8Array.of(2))),
    der(0x02, Uint8Array.of(1)),
    ECDSA_WITH_SHA256,
    nameOf('leaf authority'),
    sequence(time(now - 1_800_000), time(now + 1_800_000)),
    nameOf(subject),
    key.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  );
  return sequence(body, ECDSA_WITH_SHA256, der(0x03, Uint8Array.of(0), sign('sha256', body, signer)));
}

const constraints = (ca: boolean): Buffer => extension('2.5.29.19', sequence(...(ca ? [TRUE] : [])), true);
const usage = (bits: number, unused: number): Buffer =>
  extension('2.5.29.15', der(0x03, Uint8Array.of(unused, bits)), true);

/** Makes an authority. */
export function leafAuthority(): LeafAuthority {
  const root = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const keyId = idOf(root.publicKey);
  const own = [
    constraints(true),
    usage(0x06, 1),
    extension('2.5.29.14', octets(keyId)),
    extension('2.5.29.35', sequence(der(0x80, keyId))),
  ];
  return {
    certificate: certificate('leaf authority', root.publicKey, root.privateKey, own),
    issue({ names = [uri('ci@example.com')], issuer, uses = [CODE_SIGNING], authority = false, more = [] } = {}) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
      const extensions = [
        ...(authority ? [constraints(true)] : []),
        usage(0x80, 7),
        ...(uses.length > 0 ? [extension('2.5.29.37', sequence(...uses.map(oid)))] : []),
        ...(names.length > 0 ? [extension('2.5.29.17', sequence(...names), true)] : []),
        extension('2.5.29.35', sequence(der(0x80, keyId))),
        extension(ISSUER, utf8(issuer ?? 'https://issuer.example')),
        ...more,
      ];
      return { pem: pemOf(certificate('leaf', publicKey, root.privateKey, extensions)), key: privateKey };
    },
  };
}
