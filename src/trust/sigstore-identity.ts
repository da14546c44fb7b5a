/**
 * Who a certificate speaks of. Promises: one name and one issuer, as the bytes in the certificate say them, read from the
 * same parsed certificate whose signature is verified; anything ambiguous, critical and unknown, or not meant for signing
 * code is refused. Spec: Fulcio certificate-specification.md and oid-info.md, RFC 5280 4.2.
 */
import type { SignedEntity } from '@sigstore/verify';
import { refusing, untrusted } from './sigstore-refusal.ts';

/** The library's certificate, and a piece of its ASN.1. */
export type Certificate = Extract<SignedEntity['key'], { $case: 'certificate' }>['certificate'];
type Asn1 = Certificate['tbsCertificate'];

const OID_KEY_USAGE = '2.5.29.15';
const OID_ALTERNATIVE_NAME = '2.5.29.17';
const OID_BASIC_CONSTRAINTS = '2.5.29.19';
const OID_EXTENDED_USAGE = '2.5.29.37';
const OID_CODE_SIGNING = '1.3.6.1.5.5.7.3.3';
const OID_ISSUER_OLD = '1.3.6.1.4.1.57264.1.1';
const OID_ISSUER = '1.3.6.1.4.1.57264.1.8';
/** Fulcio's first six extensions are bare text, all later ones a UTF8String. */
const BARE_TEXT = /^1\.3\.6\.1\.4\.1\.57264\.1\.[1-6]$/;
const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID_KEY_USAGE,
  OID_ALTERNATIVE_NAME,
  OID_BASIC_CONSTRAINTS,
  OID_EXTENDED_USAGE,
]);
const TAG_UTF8_STRING = 0x0c;
const TAG_EMAIL = 1;
const TAG_URI = 6;
const NAME_CHARACTERS = 2048;
const PRINTABLE = /^[\u0021-\u007e]+$/;

/** What a certificate says of its holder. */
export interface Identity {
  readonly subject: string;
  readonly issuer: string;
  /** The text of a further extension, by object identifier; undefined where there is none or it is no text. */
  extension(oid: string): string | undefined;
}

/** Whom `certificate` speaks of; its signature is verified by others. @throws SIGNATURE_UNTRUSTED */
export function identityOf(certificate: Certificate): Identity {
  return refusing(untrusted, 'the certificate', () => {
    const extensions = extensionsOf(certificate);
    checkUse(certificate, extensions);
    const extension = (oid: string): string | undefined => textOf(oid, extensions.get(oid));
    const [issuer, older] = [extension(OID_ISSUER), extension(OID_ISSUER_OLD)];
    if (issuer !== undefined && older !== undefined && issuer !== older)
      throw untrusted('the certificate names two issuers');
    return { subject: nameIn(extensions), issuer: printable(issuer ?? older, 'issuer'), extension };
  });
}

function extensionsOf(certificate: Certificate): Map<string, Asn1> {
  const extensions = new Map<string, Asn1>();
  for (const one of certificate.extensions) {
    const oid = one.subs[0]!.toOID();
    if (extensions.has(oid)) throw untrusted(`the certificate has extension ${oid} twice`);
    if (one.subs.length === 3 && one.subs[1]!.toBoolean() && !UNDERSTOOD.has(oid))
      throw untrusted(`the certificate has a critical extension that is unknown: ${oid}`);
    extensions.set(oid, one.subs.at(-1)!);
  }
  return extensions;
}

/** A leaf that is meant for signing code. The library looks at neither. */
function checkUse(certificate: Certificate, extensions: ReadonlyMap<string, Asn1>): void {
  const uses = extensions.get(OID_EXTENDED_USAGE)?.subs[0]?.subs.map(use => use.toOID()) ?? [];
  if (!uses.includes(OID_CODE_SIGNING)) throw untrusted('the certificate is not one for signing code');
  if (certificate.extKeyUsage?.digitalSignature === false) throw untrusted("the certificate's key may not sign");
  if (certificate.extBasicConstraints?.isCA === true) throw untrusted("the certificate is an authority's");
}

/** The one alternative name: a URI or an e-mail address. */
function nameIn(extensions: ReadonlyMap<string, Asn1>): string {
  const names = extensions.get(OID_ALTERNATIVE_NAME)?.subs[0]?.subs ?? [];
  if (names.length !== 1) throw untrusted(`the certificate has ${names.length} names, not one`);
  const [name] = names;
  if (!name?.tag.isContextSpecific(TAG_URI) && !name?.tag.isContextSpecific(TAG_EMAIL))
    throw untrusted('the certificate has a name that is no URI and no e-mail address');
  return printable(utf8(name.value), 'name');
}

/** ASCII that can be seen, so that no two spellings look alike; the library drops the eighth bit instead. */
function printable(text: string | undefined, what: string): string {
  if (text === undefined || text.length > NAME_CHARACTERS || !PRINTABLE.test(text))
    throw untrusted(`the certificate has no ${what} that can be read`);
  return text;
}

function textOf(oid: string, value: Asn1 | undefined): string | undefined {
  if (!value) return undefined;
  if (BARE_TEXT.test(oid)) return utf8(value.value);
  const [text, ...rest] = value.subs;
  if (!text || rest.length > 0 || text.tag.number !== TAG_UTF8_STRING || !text.tag.isUniversal()) return undefined;
  return utf8(text.value);
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
