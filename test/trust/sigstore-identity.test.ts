/** Who signed: where @sigstore/verify takes one identity for another, edge by edge. Each of these fails without our wrapper. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { openSigstore, type Sigstore } from '../support/sigstore.ts';
import {
  bundle,
  holds,
  IMAGE,
  ISSUER,
  judged,
  type Keyless,
  keyless,
  refused,
  SUBJECT,
} from '../support/sigstore-judging.ts';
import { email, extension, leafAuthority, type LeafWish, otherName, uri, utf8 } from '../support/sigstore-leaf.ts';
import { byLeaf, type Json, statementOf } from '../support/sigstore-signing.ts';

type Subject = string | RegExp;
const UNTRUSTED = 'SIGNATURE_UNTRUSTED';
const leaves = leafAuthority();
let sigstore: Sigstore;
let root: Json;
let plain: Json;

before(async () => {
  sigstore = await openSigstore();
  root = sigstore.root(leaves.certificate);
  plain = await sigstore.statement(statementOf(IMAGE), { signer: sigstore.keyless(SUBJECT) });
});
after(() => sigstore.close());

const refusedPlain = (changes: Partial<Keyless>, reason: RegExp): void =>
  refused({ authority: keyless(changes), root, candidate: bundle(plain) }, UNTRUSTED, reason);
const identities = (subject: Subject, issuer = ISSUER): Partial<Keyless> => ({ identities: [{ issuer, subject }] });

void describe('edge a: an identity is compared whole', () => {
  for (const subject of [
    SUBJECT.slice(1),
    SUBJECT.slice(0, -1),
    `${SUBJECT}x`,
    `x${SUBJECT}`,
    '.*',
    '.',
    SUBJECT.toUpperCase(),
  ])
    void it(`the exact subject ${JSON.stringify(subject)} is another's`, () => {
      refusedPlain(identities(subject), /signed by/);
    });

  for (const issuer of [`${ISSUER}/`, ISSUER.slice(0, -1), `${ISSUER}.evil.example`, ISSUER.replace('https', 'http')])
    void it(`the issuer ${issuer} is another`, () => refusedPlain(identities(SUBJECT, issuer), /signed by/));

  void it('a subject of one identity does not go with the issuer of another', () => {
    const mixed = [
      { issuer: 'https://other.example', subject: SUBJECT },
      { issuer: ISSUER, subject: 'https://forge.example/other' },
    ];
    refusedPlain({ identities: mixed }, /signed by/);
  });

  for (const subject of [
    /forge/,
    /https:\/\/forge\.example/,
    /app\/build@refs\/heads\/main/,
    /x|https:\/\/forge/,
    /^https:\/\/forge|x$/,
  ])
    void it(`the pattern ${subject.source} is not found within a name: it covers the whole or nothing`, () => {
      refusedPlain(identities(subject), /signed by/);
    });

  void it('a pattern that covers the whole name holds, its alternatives included', () => {
    for (const subject of [/https:\/\/forge\.example\/app\/.+/, /https:\/\/forge|https:\/\/forge\.example\/.*/g])
      holds({ authority: keyless(identities(subject)), root, candidate: bundle(plain) });
  });

  void it('a pattern does not end at a line feed in the name', async () => {
    const witnesses = ['rekor1'] as const;
    for (const name of [`${SUBJECT}\n`, `${SUBJECT}\nx`, `x\n${SUBJECT}`]) {
      const signer = byLeaf(leaves.issue({ names: [uri(name)] }));
      const made = bundle(await sigstore.statement(statementOf(IMAGE), { signer, witnesses }));
      const pattern = new RegExp(`^${SUBJECT.replaceAll('.', '\\.')}$`, 'm');
      for (const subject of [pattern, SUBJECT, name])
        refused(
          { authority: keyless({ ...identities(subject), ctlog: 0 }), root, candidate: made },
          UNTRUSTED,
          /no name/,
        );
    }
  });
});

void describe('edge b: nobody is not anybody', () => {
  void it('a stranger with a good certificate is refused', async () => {
    const signer = sigstore.keyless('https://forge.example/stranger');
    const made = await sigstore.statement(statementOf(IMAGE), { signer });
    refused({ authority: keyless(), root, candidate: bundle(made) }, UNTRUSTED, /signed by/);
  });

  void it('an authority without an identity is an error of the policy', () => {
    assert.throws(() => judged({ authority: keyless({ identities: [] }), root, candidate: bundle(plain) }), {
      code: 'POLICY_INVALID',
    });
  });
});

void describe('edge e: a certificate is one for signing code, and speaks of one', () => {
  const sign = async (wish: LeafWish): Promise<Parameters<typeof refused>[0]> => {
    const signer = byLeaf(leaves.issue({ names: [uri(SUBJECT)], ...wish }));
    const made = await sigstore.statement(statementOf(IMAGE), { signer });
    return { authority: keyless({ ctlog: 0 }), root, candidate: bundle(made) };
  };

  void it('the authority of these tests issues good ones, too', async () => {
    holds(await sign({}));
  });

  const CASES: readonly (readonly [what: string, wish: LeafWish, reason: RegExp])[] = [
    ['without a use', { uses: [] }, /signing code/],
    ['for servers', { uses: ['1.3.6.1.5.5.7.3.1'] }, /signing code/],
    ['for anything', { uses: ['2.5.29.37.0'] }, /signing code/],
    ["that is an authority's", { authority: true }, /authority's/],
    ['without a name', { names: [] }, /0 names/],
    ['with two names', { names: [uri(SUBJECT), email('root@example.com')] }, /2 names/],
    ['with a name of another kind', { names: [otherName(SUBJECT)] }, /no URI/],
    ['with a critical extension that nobody knows', { more: [extension('1.2.3.4', utf8('x'), true)] }, /critical/],
    ['with an extension twice', { more: [extension('1.3.6.1.4.1.57264.1.8', utf8(ISSUER))] }, /twice/],
    [
      'with two issuers',
      { more: [extension('1.3.6.1.4.1.57264.1.1', Buffer.from('https://x.example'))] },
      /two issuers/,
    ],
  ];
  for (const [what, wish, reason] of CASES)
    void it(`a certificate ${what} is refused`, async () => refused(await sign(wish), UNTRUSTED, reason));

  void it('bytes above 127 are not read as the letters that are left when the eighth bit is dropped', async () => {
    const high = (text: string): Buffer => Buffer.from(text, 'latin1').map(byte => byte | 0x80) as Buffer;
    refused(await sign({ names: [uri(high(SUBJECT))] }), UNTRUSTED, /no name/);
    refused(await sign({ issuer: high(ISSUER) }), UNTRUSTED, /no issuer/);
  });

  void it('an extension that is not critical and not known does no harm', async () => {
    holds(await sign({ more: [extension('1.2.3.4', utf8('x'))] }));
  });
});

void describe('edge f: certificates beside the leaf are not trusted', () => {
  void it('a chain that ends in an authority of its own is refused', async () => {
    const own = leafAuthority();
    const signer = byLeaf(own.issue({ names: [uri(SUBJECT)] }));
    const made = await sigstore.statement(statementOf(IMAGE), { signer });
    const material = made.verificationMaterial as { certificate: Json };
    const { certificate, ...rest } = material;
    const certificates = [certificate, { rawBytes: own.certificate.toString('base64') }];
    const chained = {
      ...made,
      mediaType: 'application/vnd.dev.sigstore.bundle+json;version=0.2',
      verificationMaterial: { ...rest, x509CertificateChain: { certificates } },
    };
    refused({ authority: keyless({ ctlog: 0 }), root, candidate: bundle(chained) }, UNTRUSTED, /CERTIFICATE/);
    const trusting = sigstore.root(own.certificate);
    holds({ authority: keyless({ ctlog: 0 }), root: trusting, candidate: bundle(chained) });
  });
});

void describe('edge l: extensions by object identifier really refuse', () => {
  const REPOSITORY = '1.3.6.1.4.1.57264.1.12';
  const OLD_REPOSITORY = '1.3.6.1.4.1.57264.1.5';
  const made = (): Promise<Json> =>
    sigstore.statement(statementOf(IMAGE), {
      signer: sigstore.keyless(SUBJECT, ISSUER, { repository: 'team/app', ref: 'refs/heads/main' }),
    });
  const under = async (...extensions: [string, string][]): Promise<Parameters<typeof refused>[0]> => ({
    authority: keyless({ extensions: new Map(extensions) }),
    root,
    candidate: bundle(await made()),
  });

  void it('text in both of the ways that Fulcio writes it is compared whole', async () => {
    holds(await under([OLD_REPOSITORY, 'team/app'], ['1.3.6.1.4.1.57264.1.14', 'refs/heads/main']));
    for (const value of ['team/ap', 'team/app2', 'TEAM/APP', '.*', '', '\u000c\u0008team/app'])
      refused(await under([OLD_REPOSITORY, value]), UNTRUSTED, /extension/);
    for (const value of ['refs/heads/mai', 'refs/heads/main2', '\u000c\u000frefs/heads/main'])
      refused(await under(['1.3.6.1.4.1.57264.1.14', value]), UNTRUSTED, /extension/);
  });

  void it('one of several that differs is enough to refuse, and so is one that is not there', async () => {
    refused(await under([OLD_REPOSITORY, 'team/app'], [REPOSITORY, 'https://forge.example/other']), UNTRUSTED);
    refused(await under(['1.3.6.1.4.1.57264.1.22', 'public']), UNTRUSTED, /extension/);
    refused(
      { authority: keyless({ extensions: new Map([['2.5.29.17', SUBJECT]]) }), root, candidate: bundle(plain) },
      UNTRUSTED,
    );
  });
});

void describe('a certificate that no CT log has', () => {
  void it('is refused, unless the authority asks for none', async () => {
    const signer = byLeaf(leaves.issue({ names: [uri(SUBJECT)] }));
    const made = bundle(await sigstore.statement(statementOf(IMAGE), { signer }));
    holds({ authority: keyless({ ctlog: 0 }), root, candidate: made });
    refused({ authority: keyless(), root, candidate: made }, UNTRUSTED, /CERTIFICATE/);
  });

  void it('is one that another CT log has', async () => {
    const other = await openSigstore();
    try {
      const { ctlogs } = other.root();
      refused({ authority: keyless(), root: { ...root, ctlogs }, candidate: bundle(plain) }, UNTRUSTED, /CERTIFICATE/);
    } finally {
      other.close();
    }
  });
});
