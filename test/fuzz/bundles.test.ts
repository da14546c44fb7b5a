/** Sigstore bundles against hostile bytes: judged in time, never an exception, and what holds is what was signed. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type Authority, type Judgement, openSigners } from '../../src/trust/trust.ts';
import { keyPair, openSigstore } from '../support/sigstore.ts';
import { deep, fuzz, refusedOr, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';
import { digestAt, IMAGE, key, keyless, SUBJECT } from '../support/sigstore-judging.ts';
import { byKey, bytesOfJson, type Json, pemOf, statementOf } from '../support/sigstore-signing.ts';

const TYPE = 'https://slsa.dev/provenance/v1';
const PREDICATE = { level: 3 };
const OTHER = digestAt('other');
const NOW = Date.now();

smallAtTheEnd();
const sigstore = await openSigstore();
after(() => sigstore.close());
const pair = keyPair();
const text = statementOf(IMAGE, TYPE, PREDICATE);
const byAKey = await sigstore.statement(text, { signer: byKey(pair), witnesses: [] });
const logged = await sigstore.statement(text, { signer: sigstore.keyless(SUBJECT), witnesses: ['rekor1', 'tsa'] });
const tiled = await sigstore.statement(text, { signer: sigstore.keyless(SUBJECT), witnesses: ['rekor2', 'tsa'] });
const ARTIFACT = Buffer.from('content');
const messages = await sigstore.message(ARTIFACT, { signer: sigstore.keyless(SUBJECT) });
const GOOD = [byAKey, logged, tiled, messages] as const;
const root = bytesOfJson(sigstore.root());
const signers = openSigners(
  new Map<string, Authority>([
    ['key', key(pemOf(pair.publicKey))],
    ['release', keyless()],
  ]),
  new Map([['root', root]]),
);

const judge = (bytes: Uint8Array): readonly Judgement[] =>
  [IMAGE, OTHER].map(subject => signers.judge({ format: 'bundle', bytes, artifact: ARTIFACT }, subject, NOW));

/** Judged without an exception and in time; what holds, holds for what was signed, and for nothing else. */
function soundly(bytes: Uint8Array): void {
  const [image, other] = refusedOr(() => judge(bytes)) ?? assert.fail('it threw');
  assert.deepEqual(other!.signed, []);
  for (const { signed, code, reason } of [image!, other!])
    if (signed.length === 0) assert.ok(code !== undefined && reason !== undefined && reason.length < 1000);
  for (const { predicateType, predicate } of image!.signed) {
    assert.equal(predicateType, TYPE);
    assert.deepEqual(predicate, PREDICATE);
  }
}

void test('the good ones hold', () => {
  for (const json of [byAKey, logged, tiled]) assert.equal(judge(bytesOfJson(json))[0]!.signed.length, 1);
});

void test('any bytes and any JSON are judged', () => {
  fuzz(fc.property(fc.uint8Array({ maxLength: 300 }), soundly), 300);
  fuzz(
    fc.property(fc.json(), json => soundly(Buffer.from(json))),
    300,
  );
});

void test('a good bundle with anything in it replaced, gone, twice or added is judged', () => {
  const changed = fc.oneof(...GOOD.map(json => twisted(json)));
  fuzz(
    fc.property(changed, json => soundly(bytesOfJson(json))),
    1500,
  );
});

void test('a good bundle with its bytes spoilt is judged', () => {
  fuzz(fc.property(spoilt(...GOOD.map(bytesOfJson)), soundly), 500);
});

type Place = (json: { verificationMaterial: Record<string, never> }) => [holder: Json, key: string];
const PLACES: readonly Place[] = [
  json => [json.verificationMaterial.certificate as unknown as Json, 'rawBytes'],
  json => [
    (json.verificationMaterial.timestampVerificationData as unknown as { rfc3161Timestamps: Json[] })
      .rfc3161Timestamps[0]!,
    'signedTimestamp',
  ],
  json => [(json.verificationMaterial.tlogEntries as unknown as Json[])[0]!, 'canonicalizedBody'],
  json => [(json as unknown as { dsseEnvelope: Json }).dsseEnvelope, 'payload'],
];

void test('certificates, timestamps, log entries and statements that are spoilt inside are judged', () => {
  for (const good of [logged, tiled])
    for (const place of PLACES) {
      const at = (json: Json): [Json, string] => place(json as never);
      const [holder, name] = at(good);
      const inside = spoilt(Buffer.from(holder[name] as string, 'base64'));
      const property = fc.property(inside, bytes => {
        const copy = structuredClone(good);
        const [there, called] = at(copy);
        there[called] = bytes.toString('base64');
        soundly(bytesOfJson(copy));
      });
      fuzz(property, 80);
    }
});

void test('brackets thousands deep and certificates that are boxes in boxes are judged in time', () => {
  soundly(Buffer.from('['.repeat(1 << 20)));
  soundly(Buffer.from('{"a":'.repeat(100_000)));
  soundly(bytesOfJson({ ...byAKey, extra: deep(2000) }));
  const boxes = Buffer.alloc(32 << 10);
  for (let at = 0; at + 4 < boxes.length; at += 4) {
    boxes[at] = at % 8 === 0 ? 0x30 : 0x04;
    boxes[at + 1] = 0x82;
    boxes.writeUInt16BE(boxes.length - at - 4, at + 2);
  }
  const copy = structuredClone(logged) as { verificationMaterial: { certificate: Json } };
  copy.verificationMaterial.certificate.rawBytes = boxes.toString('base64');
  soundly(bytesOfJson(copy));
  const stamped = structuredClone(tiled) as {
    verificationMaterial: { timestampVerificationData: { rfc3161Timestamps: Json[] } };
  };
  const rfc3161Timestamps = Array.from({ length: 16 }, () => ({ signedTimestamp: boxes.toString('base64') }));
  stamped.verificationMaterial.timestampVerificationData = { rfc3161Timestamps };
  soundly(bytesOfJson(stamped));
});

void test('a trust root that is spoilt anywhere is loaded or refused by one code', () => {
  const load = (bytes: Uint8Array): void => {
    try {
      openSigners(new Map([['release', keyless()]]), new Map([['root', bytes]]));
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'POLICY_INVALID', String(error));
    }
  };
  fuzz(fc.property(fc.oneof(spoilt(root), twisted(sigstore.root()).map(bytesOfJson)), load), 500);
});
