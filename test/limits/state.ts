/** Tries of the limits on what a node keeps: its log, evidence, origins, and what has no limit. */
import assert from 'node:assert/strict';
import tar from 'tar-stream';
import { openAudit } from '../../src/audit/journal.ts';
import { tokenDoor } from '../../src/cli/client-token.ts';
import { watchIncoming } from '../../src/cli/incoming.ts';
import { type Digest, type PeerId, parseReference, parseTagReference } from '../../src/oci/oci.ts';
import { parseRoot } from '../../src/proof/proof.ts';
import { readSecret } from '../../src/store/disk.ts';
import { openLayout } from '../../src/store/layout.ts';
import { importImage } from '../../src/store/layout-import.ts';
import { openEvidence } from '../../src/trust/evidence.ts';
import { openOrigins } from '../../src/trust/origin.ts';
import { realWorld } from '../../src/world.ts';
import { memoryKeep } from '../support/cluster.ts';
import { peerNamed } from '../support/lane-pair.ts';
import { memoryAudit } from '../support/memory-audit.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { MemoryJournal } from '../support/memory-journal.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { is, type Tries } from './table.ts';

const live = new AbortController().signal;

/** A log on a simulated clock. */
async function log(journal = new MemoryJournal()) {
  const world = simulatedWorld();
  const audit = await openAudit({ journal, world, policyHash: () => 'p', node: 'n1' });
  const refusal = (address = '10.0.0.1:1') =>
    audit.record({ event: 'peer.refused', address, code: 'PEER_REFUSED' } as Parameters<typeof audit.record>[0]);
  return { audit, journal, world, refusal };
}

const numbered = (at: number): Digest => `sha256:${at.toString(16).padStart(64, '0')}` as Digest;

/** The disk, on which every file is its owner's alone. */
function secretDisk(disk: MemoryDisk): MemoryDisk {
  const open = disk.openRead.bind(disk);
  disk.openRead = async (...where) => {
    const file = (await open(...where))!;
    const facts = file.facts.bind(file);
    return Object.assign(file, { facts: async () => ({ ...(await facts()), mode: 0o600 }) });
  };
  return disk;
}

export const stateTries: Tries = {
  'record-string': async ({ numbers: [most] }) => {
    const { audit, journal } = await log();
    for (const length of [most, most + 1]) await audit.record({ event: 'node.stopped', reason: 'a'.repeat(length) });
    assert.deepEqual(
      journal.records().map(({ reason }) => String(reason).length),
      [most, most + 1],
    );
    assert.deepEqual(
      journal.records().map(({ reason }) => String(reason).endsWith('…')),
      [false, true],
    );
  },
  'record-wait': async ({ numbers: [most], codes: [code] }) => {
    const { audit, journal } = await log();
    const gate = Promise.withResolvers<void>();
    journal.before = () => gate.promise;
    const first = audit.record({ event: 'node.stopped', reason: 'under way' });
    await new Promise(done => setImmediate(done));
    const waiting = Array.from({ length: most }, () => audit.record({ event: 'node.stopped', reason: 'waits' }));
    await assert.rejects(audit.record({ event: 'node.stopped', reason: 'too many' }), is(code));
    gate.resolve();
    await Promise.all([first, ...waiting]);
    // The next record is preceded by the count of what was refused.
    await audit.record({ event: 'node.stopped', reason: 'later' });
    assert.equal(journal.records().find(({ event }) => event === 'audit.resumed')?.refused, 1);
  },
  refusals: async ({ numbers: [singles, window, every] }) => {
    const { journal, world, refusal } = await log();
    for (let at = 0; at < singles + 3; at++) await refusal();
    assert.equal(journal.records().length, singles);
    await world.advance(every - 1);
    assert.equal(journal.records().length, singles);
    await world.advance(1);
    assert.deepEqual([journal.records().length, journal.records().at(-1)!.count], [singles + 1, 3]);
    await world.advance(window - every - 1);
    await refusal();
    assert.equal(journal.records().length, singles + 1);
    await world.advance(1);
    await refusal();
    assert.deepEqual([journal.records().length, journal.records().at(-1)!.count], [singles + 2, undefined]);
  },
  'refusal-sources': async ({ numbers: [most] }) => {
    const { journal, refusal } = await log();
    for (let at = 0; at < most; at++) await refusal(`host${at}:1`);
    assert.equal(journal.records().length, most);
    // From here on all others are one source.
    for (let at = 0; at < 11; at++) await refusal(`late${at}:1`);
    assert.equal(journal.records().length, most + 10);
  },
  evidence: async ({ numbers: [each, all] }) => {
    const book = await openEvidence({ keep: memoryKeep() });
    const found = (peer: PeerId, at: number) =>
      book.add({
        peer,
        credentialIssuedAt: 1,
        digest: numbered(at),
        claimed: parseRoot('a'.repeat(64)),
        foundAt: at,
        statement: '',
      });
    const liar = peerNamed('liar');
    for (let at = 0; at <= each; at++) await found(liar, at);
    assert.equal(book.list().length, each);
    const other = (at: number): PeerId => peerNamed(`n${at.toString(2).replaceAll('0', 'a').replaceAll('1', 'b')}`);
    for (let at = each; at < all; at++) await found(other(at), at);
    assert.equal(book.list().length, all);
    assert.equal(book.list()[0]!.peer, liar);
    await found(other(all), all);
    assert.deepEqual([book.list().length, book.list()[0]!.digest], [all, numbered(1)]);
  },
  origins: async ({ numbers: [most] }) => {
    const world = simulatedWorld();
    const book = await openOrigins({ keep: memoryKeep(), world });
    const { born } = book;
    await world.advance(1_000);
    const one = (at: number): Promise<void> => book.mirrored(parseTagReference(`r.test/a:t${at}`), numbered(at));
    await Promise.all(Array.from({ length: most }, (_, at) => one(at)));
    assert.equal(book.born, born);
    await one(most);
    assert.equal(book.born, world.now());
    const image = (at: number) => ({
      reference: parseTagReference(`r.test/a:t${at}`),
      digest: numbered(at),
      createdAt: world.now(),
      fetched: true,
    });
    assert.deepEqual([await book.decide(image(0)), await book.decide(image(1))], ['unknown', 'mirrored']);
  },
  'secret-file': async ({ numbers: [most], codes: [code] }) => {
    const disk = new MemoryDisk();
    for (const size of [most, most + 1]) disk.poke(`/${size}`, Buffer.alloc(size));
    secretDisk(disk);
    assert.equal((await readSecret(disk, `/${most}`)).length, most);
    await assert.rejects(readSecret(disk, `/${most + 1}`), is(code));
  },
  'client-token': async ({ numbers: [least, most], codes: [code] }) => {
    const open = (length: number): ReturnType<typeof tokenDoor> => {
      const disk = new MemoryDisk();
      disk.poke('/token', Buffer.from('t'.repeat(length)));
      return tokenDoor(secretDisk(disk), '/token');
    };
    for (const length of [least, most])
      await (await open(length))({ headers: { authorization: `Bearer ${'t'.repeat(length)}` } });
    for (const length of [least - 1, most + 1]) await assert.rejects(open(length), is(code));
  },
  'incoming-file': async ({ numbers: [most, documents], codes: [code] }) => {
    const taken = async (text: string, name = 'one.jwt'): Promise<readonly string[]> => {
      const world = simulatedWorld();
      const life = new AbortController();
      const audit = memoryAudit();
      const disk = new MemoryDisk();
      const [stateDir, folder] = ['/state', '/state/incoming'];
      await disk.mkdir(folder);
      disk.poke(`${folder}/${name}`, Buffer.from(text));
      const take = async (): Promise<boolean> => true;
      const members = { offerRoster: take, offerCredential: take };
      const log = { info: () => undefined, warn: () => undefined };
      const policy = { take };
      const rooms = { edges: { disk }, members, policy, audit, log, world, life: life.signal, config: { stateDir } };
      const watching = watchIncoming(rooms as unknown as Parameters<typeof watchIncoming>[0]);
      await world.advance(3_000);
      life.abort();
      await watching;
      const refusals = audit.events.flatMap(one => ('code' in one ? [String(one.code)] : []));
      return [...refusals, ...(await disk.list(folder))];
    };
    assert.deepEqual(await taken('x'.repeat(most)), []);
    assert.deepEqual(await taken('x'.repeat(most + 1)), [code, 'one.jwt.refused']);
    assert.deepEqual(await taken('x'.repeat(most), 'one.policy.json'), []);
    assert.deepEqual(await taken('x'.repeat(most + 1), 'one.policy.json'), [code, 'one.policy.json.refused']);
    const lines = (count: number): string => Array.from({ length: count }, () => 'x').join('\n');
    assert.deepEqual(await taken(lines(documents)), []);
    assert.deepEqual(await taken(lines(documents + 1)), [code, 'one.jwt.refused']);
  },
  'audit-log': async ({ howMany }) => {
    assert.equal(howMany, 'none');
    const { audit, journal } = await log();
    for (let at = 0; at < 3_000; at++) await audit.record({ event: 'node.stopped', reason: 'one more' });
    assert.equal(journal.records()[0]!.record, 1);
    assert.equal(journal.records().length, 3_000);
  },
  'embedded-store': async ({ howMany }) => {
    assert.equal(howMany, 'none');
    const disk = new MemoryDisk();
    const layout = await openLayout(disk, '/layout', realWorld);
    for (let at = 0; at < 5; at++) {
      const config = Buffer.from(JSON.stringify({ os: 'linux', at, rootfs: { type: 'layers', diff_ids: [] } }));
      const docker = [{ Config: 'config.json', RepoTags: [`registry.example/app:${at}`], Layers: [] }];
      const pack = tar.pack();
      pack.entry({ name: 'config.json' }, config);
      pack.entry({ name: 'manifest.json' }, Buffer.from(JSON.stringify(docker)));
      pack.finalize();
      const parts: Uint8Array[] = [];
      for await (const part of pack) parts.push(part as Uint8Array);
      disk.poke('/archive', Buffer.concat(parts));
      const reference = parseReference(`registry.example/app:${at}`);
      await importImage(disk, layout, '/archive', { reference }, () => undefined, live);
    }
    assert.equal((await layout.images()).length, 5);
  },
};
