/**
 * Every file of the state folder, as a crash, a full disk or another's hand may leave it: opened, or refused by one of the
 * two codes that README names; what was opened and is written again says the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { endOf, formatRecord } from '../../src/audit/record.ts';
import { type Code, hasCode } from '../../src/errors.ts';
import { readCredentials, writeCredentials } from '../../src/identity/members-file.ts';
import { openSelf } from '../../src/identity/self.ts';
import { Admitted } from '../../src/mirror/admitted.ts';
import { StatedTags } from '../../src/mirror/stated.ts';
import { digestOf, OCI_MANIFEST, parseTagReference, type TagReference } from '../../src/oci/oci.ts';
import { encodeSigned, signStatement } from '../../src/peers/envelope.ts';
import { readRecords, Records } from '../../src/peers/records.ts';
import { parseRoot, type Root } from '../../src/proof/proof.ts';
import { formatIndex, parseIndex } from '../../src/store/layout-index.ts';
import { foundIn } from '../../src/store/spool-found.ts';
import { openEvidence } from '../../src/trust/evidence.ts';
import { openOrigins } from '../../src/trust/origin.ts';
import type { Keep } from '../../src/world.ts';
import { makeCluster, memoryKeep } from '../support/cluster.ts';
import { ownKey } from '../support/fake-peers.ts';
import { fuzzAsync, refusedOrLater, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { policyOf, whole } from '../support/policies.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

smallAtTheEnd();

const world = simulatedWorld();
const cluster = await makeCluster({ nodes: ['n1'] });
const [node] = cluster.nodes;
const { peer } = node!;
const digest = digestOf(Buffer.from('content'));
const root: Root = parseRoot('a'.repeat(64));
const reference: TagReference = parseTagReference('r.test/team/app:1');

const target = { digest, size: 1, mediaType: OCI_MANIFEST };
/** What an expired policy says, and one that may freeze. */
const expired = { allowed: false, rule: 'r', code: 'POLICY_EXPIRED', detail: '' } as const;
const frozen = policyOf(whole('', ', expiresAt: 2026-12-20T00:00:00Z'));

interface StateFile {
  readonly name: string;
  /** A good file, made by its own writer. */
  readonly good: () => Promise<Keep & { bytes: Uint8Array | undefined }>;
  /** Opens it and answers with what it holds, spelt out. */
  readonly open: (keep: Keep) => Promise<unknown>;
}

const FILES: readonly StateFile[] = [
  {
    name: 'start.json',
    good: async () => {
      const start = memoryKeep();
      await openSelf({ token: node!.token, start, world });
      return start;
    },
    open: async start => (await openSelf({ token: node!.token, start, world })).start,
  },
  {
    name: 'credentials.json',
    good: async () => {
      const keep = memoryKeep();
      await writeCredentials(keep, [node!.credential, 'another']);
      return keep;
    },
    open: async keep => {
      const read = await readCredentials(keep);
      await writeCredentials(keep, read);
      assert.deepEqual(await readCredentials(keep), read);
      return read;
    },
  },
  {
    name: 'evidence.json',
    good: async () => {
      const keep = memoryKeep();
      const found = { peer, credentialIssuedAt: 5, digest, claimed: root, own: root, foundAt: 7, statement: 'c2ln' };
      await (await openEvidence({ keep })).add(found);
      return keep;
    },
    open: async keep => {
      const book = await openEvidence({ keep });
      const all = book.list();
      // Writing it again by a change that is none of them.
      const added = { peer, credentialIssuedAt: 2 ** 50, digest, claimed: parseRoot('b'.repeat(64)), foundAt: 1 };
      const { id } = await book.add({ ...added, statement: '' });
      await book.clear(id);
      const again = (await openEvidence({ keep })).list();
      assert.deepEqual(
        again,
        all.filter(one => one.id !== id),
      );
      return all;
    },
  },
  {
    name: 'origins.json',
    good: async () => {
      const keep = memoryKeep();
      const book = await openOrigins({ keep, world });
      await book.mirrored(reference, digest);
      await book.adopt({ ...reference, tag: parseTagReference('r.test/a:2').tag }, digest);
      return keep;
    },
    open: async keep => {
      const book = await openOrigins({ keep, world });
      await book.adopt(reference, digest);
      assert.equal((await openOrigins({ keep, world })).born, book.born);
      return book.born;
    },
  },
  {
    name: 'admitted.json',
    good: async () => {
      const keep = memoryKeep();
      await (await Admitted.open(keep)).save([{ reference, target, contents: [target] }], frozen, () => 2 ** 45);
      return keep;
    },
    open: async keep => {
      const admitted = await Admitted.open(keep);
      return admitted.over(expired, { ...reference, digest }, frozen, world.now()).allowed;
    },
  },
  {
    name: 'stated-tags.json',
    good: async () => {
      const keep = memoryKeep();
      const stated = await StatedTags.open(keep, peer);
      stated.state(reference, digest, world.now());
      await stated.save();
      return keep;
    },
    open: async keep => {
      const stated = await StatedTags.open(keep, peer);
      await stated.save();
      assert.deepEqual((await StatedTags.open(keep, peer)).list(), stated.list());
      return stated.list();
    },
  },
  {
    name: 'roster.jwt',
    good: async () => memoryKeep(Buffer.from(await cluster.signRoster({ seq: 3, revoked: ['gone'] }))),
    open: async roster => (await node!.members({ roster })).roster.seq,
  },
  {
    name: 'index.json of the layout',
    good: async () => {
      const manifests = [
        {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          digest,
          size: 7,
          annotations: {
            'org.opencontainers.image.ref.name': 'r.test/a:1',
            'dev.pinnace.named': '2026-01-01T00:00:00Z',
          },
        },
        { foreign: true },
      ];
      return memoryKeep(Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })));
    },
    open: async keep => {
      const entries = parseIndex((await keep.read())!);
      // JSON has no word for the infinity that 1e999 is read as.
      const said = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
      assert.deepEqual(said(parseIndex(formatIndex(entries))), said(entries));
      return entries.length;
    },
  },
];

type Json = { readonly version?: unknown };
const codes: readonly Code[] = ['STATE_INVALID', 'STATE_NEWER'];

for (const { name, good, open } of FILES)
  void test(`${name}, however spoilt, is opened or refused by code`, async () => {
    const { bytes } = await good();
    await open(memoryKeep(bytes));
    const text = Buffer.from(bytes!).toString();
    const versioned = text.startsWith('{"version":1,');
    const others = text.startsWith('{')
      ? [twisted(JSON.parse(text) as object).map(value => Buffer.from(JSON.stringify(value)))]
      : [];
    const hostile = fc.oneof(
      spoilt(bytes!),
      ...others,
      fc.json().map(json => Buffer.from(json)),
      fc.uint8Array({ maxLength: 100 }),
    );
    await fuzzAsync(
      fc.asyncProperty(hostile, async changed => {
        const opened = await refusedOrLater(() =>
          open(memoryKeep(changed)).catch((error: unknown) => {
            assert.ok(hasCode(error, ...codes), String(error));
            throw error;
          }),
        );
        if (opened !== undefined && versioned)
          assert.equal((JSON.parse(Buffer.from(changed).toString()) as Json).version, 1);
      }),
      name === 'start.json' ? 300 : 1500,
    );
  });

void test('files of statements give their whole frames up to the first that is not, or are of a newer version', async () => {
  const key = ownKey(Buffer.alloc(32, 9));
  const records = new Records('tags', 1 << 20);
  const said = { signer: key.peer, start: 1, seq: 1, notAfter: 9e12 };
  const body = { tags: [{ reference, digest, observedAt: 1, renewedAt: 2 }] };
  const signed = signStatement({ ...said, kind: 'tags', body }, bytes => key.sign(bytes));
  records.take(signed as Parameters<typeof records.take>[0]);
  const file = records.file();
  assert.deepEqual(await readRecords(memoryKeep(file)), [Buffer.from(encodeSigned(signed))]);
  await fuzzAsync(
    fc.asyncProperty(fc.oneof(spoilt(file), fc.uint8Array({ maxLength: 60 })), async bytes => {
      const found = await refusedOrLater(() => readRecords(memoryKeep(bytes)));
      let at = 21;
      for (const one of found ?? []) {
        assert.deepEqual(Buffer.from(bytes).subarray(at + 4, at + 4 + one.length), one);
        at += 4 + one.length;
      }
    }),
    500,
  );
});

void test('names in the folder of the spool are contents of their size, or nothing of it', async () => {
  const name = `sha256-${'a'.repeat(64)}-5-1`;
  const names = fc.oneof(
    spoilt(Buffer.from(name)).map(bytes => bytes.toString('latin1').replaceAll(/[/\0]/g, '') || 'x'),
    fc.constantFrom(`${name}.part`, name.replace('sha256', 'sha512'), name.replace('-5-', '-999999999999999-')),
  );
  await fuzzAsync(
    fc.asyncProperty(fc.uniqueArray(names, { maxLength: 5 }), async all => {
      const disk = new MemoryDisk();
      await disk.mkdir('/spool');
      for (const one of all) disk.poke(`/spool/${one}`, Buffer.from('bytes'));
      const { found, named } = await foundIn(disk, '/spool');
      for (const { size, path } of found) assert.equal(disk.peek(path)?.length, size);
      assert.ok(Number.isSafeInteger(named + found.length));
      assert.ok((await disk.list('/spool')).every(one => !one.endsWith('.part')));
    }),
    300,
  );
});

void test('the end of an audit log, however torn, gives a number to go on from, or is no log', async () => {
  const envelope = { time: 0, self: 'n1', policy: 'p' };
  const line = (record: number): string =>
    formatRecord({ record, ...envelope }, { event: 'audit.resumed', torn: false, refused: 0 });
  const log = Buffer.from([1, 2, 3].map(line).join(''));
  const last = fc.constantFrom(...[2 ** 52, 2 ** 53 - 1, 2 ** 53].map(record => Buffer.from(`{"record":${record}}\n`)));
  assert.deepEqual(endOf(log), { record: 3, torn: false });
  await fuzzAsync(
    fc.asyncProperty(fc.oneof(spoilt(log), fc.uint8Array({ maxLength: 100 }), last), async bytes => {
      const end = await refusedOrLater(async () => endOf(bytes));
      // The next record must have a number, too.
      if (end)
        assert.ok(
          formatRecord({ ...envelope, record: end.record + 2 }, { event: 'audit.resumed', torn: true, refused: 1 }),
        );
    }),
    1000,
  );
});
