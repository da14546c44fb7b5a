/**
 * Decisions and signatures are not beyond their goals by an order of magnitude, however busy the machine is: kept decisions
 * by the clock, in a process as the daemon runs; cold signatures by the processor's time.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { loadPolicy } from '../../src/policy/parse.ts';
import { openSigners } from '../../src/trust/trust.ts';
import { cost } from '../support/fuzz.ts';
import { openSigstore } from '../support/sigstore.ts';
import { bundle, digestAt, keyless, SUBJECT } from '../support/sigstore-judging.ts';
import { bytesOfJson, statementOf } from '../support/sigstore-signing.ts';
import { admissionFindings, KEPT_LIMIT_MS } from './bench-admission.ts';
import { COLD_LIMIT_MS } from './bench-signatures.ts';
import { median } from './measure.ts';
import { buildSignedImages } from './signed-images.ts';

const TIMES = 10;
const SIGNATURES = 21;

void test('a decision that was made before costs less than ten times its goal', async () => {
  const found = await admissionFindings(async args => (await promisify(execFile)(process.execPath, [...args])).stdout);
  assert.ok(found.kept.p50 < TIMES * KEPT_LIMIT_MS, `a kept ruling in ${found.kept.p50} ms`);
  assert.ok(found.pulled.p50 < TIMES * KEPT_LIMIT_MS, `all of a pull in ${found.pulled.p50} ms`);
});

void test('under the next policy of the bench no signature was judged before', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'pinnace-admission-'));
  t.after(() => rm(folder, { recursive: true }));
  for (const kind of ['key', 'keyless'] as const) {
    const { policy, files } = await buildSignedImages(join(folder, kind), kind, 1);
    const idOf = (serial: number): string => {
      const { authorities, trustRoots } = loadPolicy(policy(serial, true), 'policy.yaml', files);
      return openSigners(authorities, trustRoots).id;
    };
    assert.notEqual(idOf(1), idOf(2));
  }
});

void test('a keyless bundle that was never seen costs less than ten times its goal', async t => {
  const sigstore = await openSigstore();
  t.after(() => sigstore.close());
  const signers = openSigners(new Map([['authority', keyless()]]), new Map([['root', bytesOfJson(sigstore.root())]]));
  const costs: number[] = [];
  for (let at = 0; at < SIGNATURES; at++) {
    const subject = digestAt(`image ${at}`);
    const signing = { signer: sigstore.keyless(SUBJECT), witnesses: ['rekor1'] } as const;
    const candidate = bundle(await sigstore.statement(statementOf(subject), signing));
    costs.push(cost(() => assert.equal(signers.judge(candidate, subject, Date.now()).signed.length, 1)));
  }
  assert.ok(median(costs) < TIMES * COLD_LIMIT_MS, `${median(costs)} ms`);
});
