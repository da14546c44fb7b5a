/** Tries of the limits on lanes: keys, handshakes, numbers, times and buffers. */
import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { hasCode } from '../../src/errors.ts';
import { digestOf } from '../../src/oci/oci.ts';
import { encodeAnswer, encodeRequest } from '../../src/peers/frame.ts';
import { Answer } from '../../src/peers/lane-answer.ts';
import { Buffers } from '../../src/peers/lane-buffers.ts';
import type { LaneSocket } from '../../src/peers/wire.ts';
import { LaneKeys } from '../../src/peers/lane-keys.ts';
import { LANE_PROTOCOL } from '../../src/peers/lane-offer.ts';
import { Rate } from '../../src/peers/lane-rate.ts';
import { createLaneWire } from '../../src/peers/wire-lane.ts';
import { CHUNK_BYTES } from '../../src/proof/proof.ts';
import { laneNodes, MemoryControl, peerNamed, readAll } from '../support/lane-pair.ts';
import { LaneNetwork } from '../support/memory-lane-wire.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { is, refused, type Row, type Tries } from './table.ts';
import { SMALL, LARGE, stage, codesOf, sockets, door, turns, settlesAt } from './lane-stage.ts';

export const laneTries: Tries = {
  'lane-keys': ({ numbers: [most, ms], codes: [code] }) => {
    const world = simulatedWorld();
    const keys = new LaneKeys(world, peerNamed('self'));
    const peer = peerNamed('peer');
    const offers = Array.from({ length: most }, () => Buffer.from(keys.offer(peer).identity).toString('hex'));
    refused(code, () => keys.offer(peer));
    keys.offer(peerNamed('another'));
    return (async () => {
      await world.advance(ms - 1);
      assert.ok(keys.take(offers[0]!) && !keys.take(offers[0]!));
      await world.advance(1);
      assert.ok(!keys.take(offers[1]!));
      keys.offer(peer);
    })();
  },
  'lane-key-wait': async ({ numbers: [ms], codes: [code] }) => {
    const { world, giver, readers, end } = await stage();
    const control = new MemoryControl();
    control.replace(giver.peer, LANE_PROTOCOL, () => new Promise(() => undefined));
    const life = new AbortController();
    const [asker] = await laneNodes(['asker'], {
      world,
      wire: () => new LaneNetwork().wire('127.0.0.1'),
      control,
      signal: life.signal,
    });
    asker.nodes.set(giver.peer, readers[0]!.nodes.get(giver.peer)!);
    const asked = readAll(asker.lanes.read(giver.peer, digestOf(SMALL), 0, 1, life.signal));
    await settlesAt(world, ms, asked, code);
    life.abort();
    end();
  },
  'lane-handshake': async ({ numbers: [ms], codes: [code] }) => {
    const world = simulatedWorld();
    const silent = createServer(socket => socket.resume());
    await new Promise<void>(done => silent.listen(0, '127.0.0.1', done));
    const { port } = silent.address() as AddressInfo;
    const key = new Uint8Array(32);
    const dialled = createLaneWire({ world }).dial(
      `127.0.0.1:${port}`,
      'a'.repeat(32),
      key,
      new AbortController().signal,
    );
    await new Promise<void>(done => silent.once('connection', () => done()));
    await settlesAt(world, ms, dialled, code);
    await new Promise(done => silent.close(done));
    // The giver's own clock is that of OpenSSL.
    const own = await door();
    const begin = performance.now();
    const late = await sockets(own.port, ['127.0.0.1']);
    await new Promise<void>(done =>
      setInterval(function (this: NodeJS.Timeout) {
        if (late.closed()) {
          clearInterval(this);
          done();
        }
      }, 20),
    );
    assert.ok(performance.now() - begin > ms - 100);
    await turns(() => own.told.length > 0);
    assert.deepEqual(own.told, [code]);
    await own.close();
  },
  'lane-handshakes': async ({ numbers: [all, each], codes: [code] }) => {
    const own = await door();
    const host = (at: number): string => `127.0.0.${2 + Math.floor(at / each)}`;
    // One host has all that it may; one more of it ends its own oldest.
    const first = await sockets(
      own.port,
      Array.from({ length: each }, () => host(0)),
    );
    assert.equal(own.told.length, 0);
    const same = await sockets(own.port, [host(0)]);
    await turns(() => first.closed() === 1);
    assert.deepEqual([own.told, same.closed()], [[code], 0]);
    const others = await sockets(
      own.port,
      Array.from({ length: all - each }, (_, at) => host(at + each)),
    );
    assert.deepEqual([own.told, others.closed()], [[code], 0]);
    const late = await sockets(own.port, [host(all)]);
    await turns(() => own.told.length === 2);
    await turns(() => first.closed() + others.closed() === 2);
    assert.deepEqual([own.told, late.closed()], [[code, code], 0]);
    for (const one of [first, same, others, late]) one.end();
    await own.close();
  },
  'lanes-out': async ({ numbers: [most, ms], codes: [code] }) => {
    const { world, giver, readers, read, end } = await stage();
    for (let at = 0; at < most; at++) await read(giver).next();
    assert.equal(readers[0]!.lanes.countFor(giver.peer), most);
    await settlesAt(world, ms, read(giver).next(), code);
    assert.equal(readers[0]!.lanes.countFor(giver.peer), most);
    end();
  },
  'lanes-in': async ({ numbers: [each, all], codes: [code] }) => {
    const names = Array.from(
      { length: Math.ceil(all / each) + 1 },
      (_, at) => `n${'abcdefgh'[at % 8]}${'ABCDEFGH'[Math.floor(at / 8)]}`,
    );
    const { world, giver, readers, lane, end } = await stage(names);
    for (let at = 0; at < each; at++) await lane(readers[0]!);
    await lane(readers[0]!);
    await world.settle();
    assert.deepEqual([giver.lanes.countFor(readers[0]!.peer), codesOf(giver)], [each, [code]]);
    for (let at = each; at < all; at++) await lane(readers[Math.floor(at / each)]!);
    await world.settle();
    assert.deepEqual(codesOf(giver), [code]);
    await lane(readers.at(-1)!);
    await world.settle();
    assert.deepEqual([giver.lanes.countFor(readers.at(-1)!.peer), codesOf(giver)], [0, [code, code]]);
    end();
  },
  'lane-reads': async ({ numbers: [most] }) => {
    const names = Array.from({ length: Math.ceil((most + 1) / 4) }, (_, at) => `g${'abcdefgh'[at]}`);
    const { world, givers, read, end } = await stage(['reader'], names);
    const reads = Array.from({ length: most + 1 }, (_, at) => read(givers[Math.floor(at / 4)]!));
    let begun = 0;
    const first = reads.map(one =>
      one.next().then(
        () => begun++,
        () => undefined,
      ),
    );
    await world.settle();
    assert.equal(begun, most);
    await reads[0]!.return!(undefined);
    await world.settle();
    assert.equal(begun, most + 1);
    end();
    await Promise.all(first);
  },
  'lane-idle': async ({ numbers: [own, theirs] }) => {
    const { world, giver, readers, read, lane, small, end } = await stage();
    for (const one = read(giver, small, SMALL.length); ; ) {
      const { value, done } = await one.next();
      if (done) break;
      value.release();
    }
    await world.advance(own - 1);
    assert.equal(readers[0]!.lanes.countFor(giver.peer), 1);
    await world.advance(1);
    assert.equal(readers[0]!.lanes.countFor(giver.peer), 0);
    await lane(readers[0]!);
    await world.advance(theirs - 1);
    assert.equal(giver.lanes.countFor(readers[0]!.peer), 1);
    await world.advance(1);
    assert.equal(giver.lanes.countFor(readers[0]!.peer), 0);
    end();
  },
  'lane-bytes': async ({ numbers: [most] }) => {
    const { world, giver, readers, read, end } = await stage();
    const nothing = digestOf(Buffer.from('nobody has it'));
    const half = most / 2;
    const ask = (length: number): Promise<void> =>
      assert.rejects(read(giver, nothing, length).next(), is('CONTENT_ABSENT'));
    for (const length of [half, half]) await ask(length);
    await world.settle();
    assert.equal(readers[0]!.lanes.countFor(giver.peer), 1);
    await ask(1);
    await world.settle();
    assert.equal(readers[0]!.lanes.countFor(giver.peer), 0);
    end();
  },
  'lane-stall': async ({ numbers: [silence, chunk], codes: [code] }) => {
    const request = { digest: digestOf(SMALL), offset: 0, length: SMALL.length };
    // A giver that says nothing after its head, and one that gives a byte a second.
    for (const [ms, trickles] of [
      [silence, false],
      [chunk, true],
    ] as const) {
      const world = simulatedWorld();
      const socket = { send: async () => undefined, resume: () => undefined, destroy: () => undefined };
      const rooms = { world, buffers: new Buffers(), who: 'giver' };
      const answer = new Answer(rooms, socket as unknown as LaneSocket, request);
      let error: unknown;
      const first = answer.chunks().next();
      first.catch((reason: unknown) => (error = reason));
      await world.settle();
      answer.receive(encodeAnswer(request));
      for (let second = 1; second * 1000 < ms && trickles; second++) {
        await world.advance(1000);
        answer.receive(Uint8Array.of(1));
      }
      await world.advance(ms - world.monotonic() - 1);
      assert.equal(error, undefined);
      await world.advance(1);
      assert.ok(hasCode(error, code), String(error));
    }
  },
  'lane-reader': async ({ numbers: [ms], codes: [code] }) => {
    const { world, giver, readers, lane, large, end } = await stage();
    const socket = await lane(readers[0]!);
    await socket.send(encodeRequest({ digest: large, offset: 0, length: LARGE.length }));
    await world.advance(ms - 1);
    assert.deepEqual(codesOf(giver), []);
    await world.advance(1);
    assert.deepEqual(codesOf(giver), [code]);
    end();
  },
  'lane-memory': async ({ numbers: [each, all] }) => {
    const one = await stage();
    const ask = (large: Row extends never ? never : Parameters<typeof encodeRequest>[0]['digest']): Uint8Array =>
      encodeRequest({ digest: large, offset: 0, length: LARGE.length });
    await (await one.lane(one.readers[0]!)).send(ask(one.large));
    await one.world.settle();
    assert.equal(one.giver.shelf.readBytes, each * CHUNK_BYTES);
    one.end();
    const names = Array.from({ length: 11 }, (_, at) => `r${'abcdefghijk'[at]}`);
    const many = await stage(names);
    for (const reader of many.readers)
      for (let lanes = 0; lanes < 6; lanes++) await (await many.lane(reader)).send(ask(many.large));
    await many.world.settle();
    assert.equal(many.giver.shelf.readBytes, all * CHUNK_BYTES);
    many.end();
  },
  'lane-rate': ({ numbers: [least], codes: [code] }) => {
    assert.ok(new Rate(simulatedWorld(), least));
    refused(code, () => new Rate(simulatedWorld(), least - 1));
  },
};
