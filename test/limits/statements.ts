/** Tries of the limits on statements, credentials and rosters. */
import assert from 'node:assert/strict';
import { Known } from '../../src/identity/known.ts';
import { type Node, type PeerId } from '../../src/oci/oci.ts';
import type { Body } from '../../src/peers/bodies.ts';
import { encodeStatement, type Statement } from '../../src/peers/envelope.ts';
import { Holdings } from '../../src/peers/holdings.ts';
import { Table } from '../../src/peers/table.ts';
import { StatedTags } from '../../src/mirror/mirror.ts';
import { makeCluster, memoryKeep, type ClusterNode } from '../support/cluster.ts';
import { peerNamed } from '../support/lane-pair.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { is, refused, type Tries } from './table.ts';
import {
  here,
  evil,
  room,
  holdings,
  tagNamed,
  numbered,
  said,
  sealed,
  soon,
  saying,
  stating,
  tagsOf,
  parsed,
} from './member.ts';

export const statementTries: Tries = {
  members: ({ numbers: [most], codes: [code] }) => {
    const known = new Known();
    const member = (at: number): Parameters<Known['take']>[0] => {
      const name = `n${at}`;
      return {
        jwt: name,
        issuer: Buffer.from(here.self.cluster.issuer).toString('base64url'),
        node: { peer: name as PeerId, name, roles: new Set(), issuedAt: 1, expiresAt: 2 },
      };
    };
    for (let at = 0; at < most; at++) assert.ok(known.take(member(at)).news);
    refused(code, () => known.take(member(most)));
  },
  'greeting-bytes': async ({ numbers: [roster, credential], codes: [code] }) => {
    const greeted = async (hello: number, ...frames: Uint8Array[]): Promise<string> => {
      const { greet, records } = await room();
      const first = Buffer.from(`{"greeting":1,"roster":${hello}}`);
      await greet(evil.peer, saying([first, ...frames]), 'a:1', new AbortController().signal).catch(() => undefined);
      return String(records.at(-1)?.code);
    };
    assert.equal(await greeted(9, Buffer.alloc(roster, 'x')), 'ROSTER_INVALID');
    assert.equal(await greeted(9, Buffer.alloc(roster + 1, 'x')), code);
    assert.equal(await greeted(1, Buffer.alloc(credential, 'x')), 'CREDENTIAL_INVALID');
    assert.equal(await greeted(1, Buffer.alloc(credential + 1, 'x')), code);
  },
  'credential-life': async ({ numbers: [life, skew], codes: [code] }) => {
    const world = simulatedWorld();
    const aged = await makeCluster({ world, nodes: ['old', 'young'], rosterExpiresAt: world.now() + 2 * life });
    const members = await aged.node('young').members();
    const { credential, peer } = aged.node('old');
    await world.advance(life + skew);
    await members.admit(credential, peer);
    // Credentials count whole seconds.
    await world.advance(1_000);
    await assert.rejects(members.admit(credential, peer), is(code));
  },
  'roster-life': async ({ numbers: [life, skew], codes: [code] }) => {
    const world = simulatedWorld();
    const aged = await makeCluster({ world, nodes: ['one', 'two', 'three'] });
    const members = await aged.node('one').members();
    const admit = ({ credential, peer }: ClusterNode): Promise<Node> => members.admit(credential, peer);
    await world.advance(life + skew);
    await admit(aged.node('two'));
    await world.advance(1_000);
    await assert.rejects(admit(aged.node('three')), is(code));
    await admit(aged.node('two'));
  },
  'clock-skew': async ({ numbers: [skew], codes: [code] }) => {
    const { table, world } = await room();
    const tag = (ahead: number, seq: number): void => {
      const at = world.now() + ahead;
      const tags = [{ ...tagNamed('r.test/a:1'), observedAt: at, renewedAt: at }];
      const statement = said({ kind: 'tags', body: { tags } }, seq, soon(world));
      table.offer(sealed(statement).subarray(1), evil.peer, 'sync');
    };
    tag(skew, 1);
    refused(code, () => tag(skew + 1, 2));
  },
  'statement-ahead': async ({ numbers: [node, holding, tags], codes: [code] }) => {
    const { table, world } = await room();
    const offer = (body: Body, seq: number, ahead: number): unknown =>
      table.offer(sealed(said(body, seq, world.now() + ahead)).subarray(1), evil.peer, 'sync');
    const bodies: readonly [Body, number][] = [
      [{ kind: 'node', body: { addresses: [], lanePort: 1 } }, node],
      [{ kind: 'holdings', body: { entries: [] } }, holding],
      [{ kind: 'tags', body: { tags: [] } }, tags],
    ];
    for (const [at, [body, ahead]] of bodies.entries()) {
      offer(body, 10 * at + 1, ahead + 60_000);
      refused(code, () => offer(body, 10 * at + 2, ahead + 60_001));
    }
  },
  addresses: ({ numbers: [most], codes: [code] }) => {
    const record = (count: number): Statement =>
      said(
        { kind: 'node', body: { addresses: Array.from({ length: count }, (_, at) => `10.0.0.${at}:1`), lanePort: 1 } },
        1,
        1,
      );
    parsed(record(most));
    refused(code, () => parsed(record(most + 1)));
  },
  holdings: async ({ numbers: [most], codes: [code] }) => {
    const { stated, last, warned } = await stating();
    await stated.hold(holdings(most));
    assert.deepEqual([last('holdings')!.body.entries.length, warned.length], [most, 0]);
    parsed(last('holdings')!);
    const more = await stating();
    await more.stated.hold(holdings(most + 1));
    assert.deepEqual([more.last('holdings')!.body.entries.length, more.warned.length], [most, 1]);
    refused(code, () => parsed(said({ kind: 'holdings', body: { entries: holdings(most + 1) } }, 1, 1)));
  },
  deltas: async ({ numbers: [most, bytes], codes: [code] }) => {
    const { stated, told } = await stating();
    for (let at = 0; at <= most + 1; at++) await stated.hold(holdings(1 + at));
    const states = told.map(({ kind }) => kind).filter(kind => kind !== 'holdings-head');
    assert.deepEqual(states, ['holdings', ...Array.from({ length: most }, () => 'holdings-delta'), 'holdings']);
    const all = new Holdings();
    const take = (statement: Statement): boolean => all.take({ statement, signature: new Uint8Array(64) });
    take(said({ kind: 'holdings', body: { entries: [] } }, 1, 9));
    const delta = (seq: number): Statement =>
      said({ kind: 'holdings-delta', body: { after: seq - 1, add: [], drop: [] } }, seq, 9);
    for (let at = 0; at < most; at++) take(delta(2 + at));
    refused(code, () => take(delta(2 + most)));
    // One that would be larger is a snapshot.
    const size = (count: number, seq: number): number =>
      encodeStatement(said({ kind: 'holdings-delta', body: { after: 1, add: holdings(count), drop: [] } }, seq, 1e12))
        .length;
    const each = size(2, 3) - size(1, 3);
    const { world } = await room();
    const head = size(1, 3) - each - String(1e12).length + String(world.now()).length;
    const fit = Math.floor((bytes - head + 1) / each);
    for (const [count, kind] of [
      [fit, 'holdings-delta'],
      [fit + 1, 'holdings'],
    ] as const) {
      const node = await stating();
      await node.stated.hold([]);
      await node.stated.hold(holdings(count));
      assert.equal(node.told.findLast(one => one.kind !== 'holdings-head')!.kind, kind);
    }
  },
  'all-holdings': ({ numbers: [most], codes: [code] }) => {
    const all = new Holdings();
    const take = (name: string, from: number, count: number): unknown => {
      const statement = { ...said({ kind: 'holdings', body: { entries: holdings(count, from) } }, 1, 9) };
      return all.take({ statement: { ...statement, signer: peerNamed(name) }, signature: new Uint8Array(64) });
    };
    const each = 16_384;
    for (let from = 0; from < most; from += each) take(`n${from}`, from, Math.min(each, most - from));
    refused(code, () => take('late', most, 1));
    // What others hold too is no other content.
    take('same', 0, 1);
  },
  tags: async ({ numbers: [most], codes: [code] }) => {
    const { stated, last } = await stating();
    await stated.stateTags(numbered(most + 1));
    assert.equal(last('tags')!.body.tags.length, most);
    parsed(last('tags')!);
    refused(code, () => parsed(said({ kind: 'tags', body: { tags: numbered(most + 1) } }, 1, 1)));
    const own = await StatedTags.open(memoryKeep(), here.peer);
    for (const [at, { reference, digest }] of numbered(most + 1).entries()) own.state(reference, digest, at);
    assert.equal(own.list().length, most);
    assert.equal(own.claims(numbered(1)[0]!.reference).length, 0);
  },
  'tags-forgotten': async ({ numbers: [ms] }) => {
    const own = await StatedTags.open(memoryKeep(), here.peer);
    const [old, young] = numbered(2);
    own.state(old!.reference, old!.digest, 1);
    own.state(young!.reference, young!.digest, 1 + ms);
    assert.equal(own.list().length, 2);
    own.state(young!.reference, young!.digest, 2 + ms);
    assert.equal(own.list().length, 1);
  },
  'tags-bytes': ({ numbers: [one, all], codes: [single, total] }) => {
    const largest = tagsOf(one);
    assert.equal(encodeStatement(largest).length, one);
    parsed(largest);
    refused(single, () => parsed(tagsOf(one + 1)));
    const { tags } = new Table({ world: simulatedWorld(), self: here.peer, members: {} as never, verify: () => true });
    const take = (name: string): void =>
      tags.take({
        statement: { ...(largest as Extract<Statement, { kind: 'tags' }>), signer: peerNamed(name) },
        signature: new Uint8Array(64),
      });
    const fit = Math.floor(all / (one + 64));
    for (let at = 0; at < fit; at++) take(`n${at}`);
    refused(total!, () => take('late'));
  },
};
