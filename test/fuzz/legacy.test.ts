/** Cosign's older signatures against hostile annotations and payloads: judged in time, never an exception. */
import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type Authority, type Judgement, openSigners } from '../../src/trust/trust.ts';
import { keyPair, openSigstore } from '../support/sigstore.ts';
import { fuzz, refusedOr, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';
import { digestAt, IMAGE, key, keyless, SUBJECT } from '../support/sigstore-judging.ts';
import {
  annotationsOf,
  byKey,
  bytesOfJson,
  type Json,
  payloadOf,
  pemOf,
  statementOf,
} from '../support/sigstore-signing.ts';

type Annotations = Record<string, string>;
const SIGNATURE = 'dev.cosignproject.cosign/signature';
const OTHER = digestAt('other');
const NOW = Date.now();

smallAtTheEnd();
const sigstore = await openSigstore();
after(() => sigstore.close());
const pair = keyPair();
const PAYLOAD = payloadOf(IMAGE);
const witnesses = ['rekor1', 'tsa'] as const;
const good = annotationsOf(await sigstore.message(PAYLOAD, { signer: sigstore.keyless(SUBJECT), witnesses }));
const attested = await sigstore.statement(statementOf(IMAGE, 'x'), { signer: byKey(pair), witnesses: [] });
const signers = openSigners(
  new Map<string, Authority>([
    ['key', key(pemOf(pair.publicKey))],
    ['release', keyless()],
  ]),
  new Map([['root', bytesOfJson(sigstore.root())]]),
);

const judge = (payload: Uint8Array, annotations: unknown): readonly Judgement[] =>
  [IMAGE, OTHER].map(subject =>
    signers.judge({ format: 'legacy', payload, annotations: annotations as Annotations }, subject, NOW),
  );

function soundly(payload: Uint8Array, annotations: unknown, signed = PAYLOAD): void {
  const [image, other] = refusedOr(() => judge(payload, annotations)) ?? assert.fail('it threw');
  assert.deepEqual(other!.signed, []);
  if (image!.signed.length > 0) assert.deepEqual(payload, signed);
  else assert.ok(image!.code !== undefined && image!.reason !== undefined);
}

void test('the good one holds', () => assert.equal(judge(PAYLOAD, good)[0]!.signed.length, 1));

void test('any annotations are judged', () => {
  const values = fc.oneof(fc.string(), fc.json(), fc.base64String());
  const annotations = fc.dictionary(fc.constantFrom(...Object.keys(good), '__proto__', 'constructor'), values);
  fuzz(
    fc.property(annotations, also => soundly(PAYLOAD, also)),
    500,
  );
  fuzz(
    fc.property(twisted(good), also => soundly(PAYLOAD, also)),
    300,
  );
});

void test('good annotations with one spoilt, outside or within its JSON, are judged', () => {
  for (const [name, value] of Object.entries(good)) {
    const spoiltText = spoilt(Buffer.from(value)).map(bytes => bytes.toString('latin1'));
    const isJson = value.startsWith('{');
    const within = isJson ? twisted(JSON.parse(value) as object).map(json => JSON.stringify(json)) : spoiltText;
    fuzz(
      fc.property(fc.oneof(spoiltText, within), text => soundly(PAYLOAD, { ...good, [name]: text })),
      250,
    );
  }
});

void test("any payload, signed or not, is judged, and only the digest's own holds", () => {
  const payloads = fc.oneof(
    spoilt(PAYLOAD),
    twisted(JSON.parse(PAYLOAD.toString()) as Json).map(bytesOfJson),
    fc.json().map(json => Buffer.from(json)),
  );
  fuzz(
    fc.property(payloads, payload => soundly(payload, good)),
    300,
  );
  const signed = fc.property(payloads, payload => {
    const signature = sign('sha256', payload, pair.privateKey).toString('base64');
    const [image, other] = refusedOr(() => judge(payload, { [SIGNATURE]: signature })) ?? assert.fail('it threw');
    assert.deepEqual(other!.signed, []);
    if (image!.signed.length === 0) return;
    const claims = JSON.parse(payload.toString()) as { critical: { image: Json; type: string } };
    assert.equal(claims.critical.image['docker-manifest-digest'], IMAGE);
    assert.equal(claims.critical.type, 'cosign container image signature');
  });
  fuzz(signed, 300);
});

void test('an attestation that is spoilt anywhere is judged', () => {
  const envelope = attested.dsseEnvelope as Json;
  const payloads = fc.oneof(spoilt(bytesOfJson(envelope)), twisted(envelope).map(bytesOfJson));
  const property = fc.property(payloads, payload => {
    const [image, other] = refusedOr(() => judge(payload, {})) ?? assert.fail('it threw');
    assert.deepEqual(other!.signed, []);
    for (const { predicateType } of image!.signed) assert.equal(predicateType, 'x');
  });
  fuzz(property, 300);
});
