/** Attacks on the door of lanes: keys that are used twice, late or by somebody else, sessions and certificates instead of keys. */
import assert from 'node:assert/strict';
import { connect as tcp, createServer } from 'node:net';
import { afterEach, test } from 'node:test';
import { type ConnectionOptions, connect, createServer as tlsServer, type TLSSocket } from 'node:tls';
import { type Code, hasCode } from '../../src/errors.ts';
import type { PeerId } from '../../src/oci/oci.ts';
import { encodeRequest, OFFER_REQUEST, parseOffer } from '../../src/peers/frame.ts';
import { KEY_LIFE_MS, KEYS_PER_PEER_MAX, LaneKeys, laneKey } from '../../src/peers/lane-keys.ts';
import { LANE_PROTOCOL } from '../../src/peers/lane-offer.ts';
import { createLaneWire, HALF_OPEN_PER_HOST_MAX, LANE_HANDSHAKE_MS } from '../../src/peers/wire-lane.ts';
import type { LaneWire } from '../../src/peers/wire.ts';
import { realWorld } from '../../src/world.ts';
import { type LaneNode, laneNodes, MemoryControl, patterned, peerNamed, readAll, until } from '../support/lane-pair.ts';
import { selfSigned } from '../support/self-signed.ts';
import { simulatedWorld } from '../support/simulated-world.ts';

let stop: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of stop.reverse()) await one();
  stop = [];
});

const fails = (code: Code) => (error: unknown) => hasCode(error, code);
const refusals = (node: LaneNode, code: Code): number => node.records.filter(record => record.code === code).length;

/** Nodes with TLS lanes, and a way to get an offer of `giver` as `peer`. */
async function victims() {
  const life = new AbortController();
  stop.push(() => life.abort());
  const world = simulatedWorld();
  const wire = createLaneWire({ world });
  const control = new MemoryControl();
  const [giver, reader, other] = await laneNodes(['giver', 'reader', 'other'], {
    world,
    wire: () => wire,
    control,
    signal: life.signal,
  });
  const offerTo = async (peer: PeerId, to = giver.peer): Promise<{ identity: string; offered: Uint8Array }> => {
    const stream = await control.of(peer).open(to, LANE_PROTOCOL, { maxFrame: 100, maxInbound: 1 }, life.signal);
    await stream.send(OFFER_REQUEST);
    const offer = parseOffer((await stream.receive())!);
    if ('refused' in offer) throw new Error(offer.refused);
    return { identity: Buffer.from(offer.identity).toString('hex'), offered: offer.key };
  };
  const address = `127.0.0.1:${giver.lanes.port}`;
  const dial: LaneWire['dial'] = async (...where) => {
    const socket = await wire.dial(...where);
    stop.push(() => socket.destroy());
    return socket;
  };
  return { world, giver, reader, other, control, offerTo, address, dial, signal: life.signal };
}

/** Dials TLS by hand; resolves when the connection has ended, with what was learnt. */
async function byHand(port: number, options: ConnectionOptions, hello?: Uint8Array) {
  const seen: { secured: boolean; reused: boolean; session?: Buffer; error?: Error; bytes: number } = {
    secured: false,
    reused: false,
    bytes: 0,
  };
  const socket: TLSSocket = connect({
    host: '127.0.0.1',
    port,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: false,
    ...options,
  });
  socket.on('session', session => {
    seen.session = session;
  });
  socket.on('secureConnect', () => {
    seen.secured = true;
    seen.reused = socket.isSessionReused();
    if (hello) socket.write(hello);
  });
  socket.on('data', bytes => {
    seen.bytes += bytes.length;
    socket.end();
  });
  socket.on('error', error => {
    seen.error = error;
  });
  await new Promise(resolve => socket.once('close', resolve));
  return seen;
}

/** The reader finds an impostor at the lane port of `other`, asks it for nothing, and records that. */
async function deceived(reader: LaneNode, other: LaneNode, lanePort: number): Promise<void> {
  reader.addresses.set(other.peer, { host: '127.0.0.1', lanePort });
  const digest = other.shelf.put(patterned(1000));
  const reading = readAll(reader.lanes.read(other.peer, digest, 0, 1000, new AbortController().signal));
  await assert.rejects(reading, fails('LANE_REFUSED'));
  assert.deepEqual(reader.records, [
    { event: 'peer.refused', peer: other.peer, address: '127.0.0.1', code: 'LANE_REFUSED' },
  ]);
  assert.equal(reader.lanes.countFor(other.peer), 0);
}

void test('an identity that was used opens nothing again, and the attempt is recorded', async () => {
  const { giver, reader, offerTo, address, dial, signal } = await victims();
  const { identity, offered } = await offerTo(reader.peer);
  const key = laneKey(offered, reader.peer, giver.peer);
  await dial(address, identity, key, signal);
  await until(() => giver.lanes.countFor(reader.peer) === 1);
  await assert.rejects(dial(address, identity, key, signal), fails('LANE_REFUSED'));
  await until(() => refusals(giver, 'LANE_REFUSED') === 1);
  assert.equal(giver.lanes.countFor(reader.peer), 1);
});

void test('an identity that is ten seconds old opens nothing, and a younger one does', async () => {
  const { world, giver, reader, offerTo, address, dial, signal } = await victims();
  const late = await offerTo(reader.peer);
  await world.advance(1);
  const young = await offerTo(reader.peer);
  await world.advance(KEY_LIFE_MS - 1);
  const keyOf = (offered: Uint8Array): Uint8Array => laneKey(offered, reader.peer, giver.peer);
  await assert.rejects(dial(address, late.identity, keyOf(late.offered), signal), fails('LANE_REFUSED'));
  await until(() => refusals(giver, 'LANE_REFUSED') === 1);
  await dial(address, young.identity, keyOf(young.offered), signal);
});

void test('an offer that another peer got hold of opens nothing for it, and is used up', async () => {
  const { giver, reader, other, offerTo, address, dial, signal } = await victims();
  const { identity, offered } = await offerTo(reader.peer);
  await assert.rejects(
    dial(address, identity, laneKey(offered, other.peer, giver.peer), signal),
    fails('LANE_REFUSED'),
  );
  await assert.rejects(
    dial(address, identity, laneKey(offered, reader.peer, giver.peer), signal),
    fails('LANE_REFUSED'),
  );
  await until(() => refusals(giver, 'LANE_REFUSED') === 2);
  assert.equal(giver.lanes.countFor(reader.peer) + giver.lanes.countFor(other.peer), 0);
});

void test('a node that passes on an offer of another cannot put itself between the two', async () => {
  const { giver, reader, other, control, offerTo } = await victims();
  const digest = giver.shelf.put(patterned(1000));
  // `other` is asked, asks `giver` in its own name, and hands that offer and that address to the reader.
  control.replace(other.peer, LANE_PROTOCOL, async stream => {
    await stream.receive();
    const { identity, offered } = await offerTo(other.peer);
    await stream.send(Buffer.concat([Uint8Array.of(1, 0), Buffer.from(identity, 'hex'), offered]));
    await stream.close();
  });
  reader.addresses.set(other.peer, { host: '127.0.0.1', lanePort: giver.lanes.port });
  await assert.rejects(
    readAll(reader.lanes.read(other.peer, digest, 0, 1000, new AbortController().signal)),
    fails('LANE_REFUSED'),
  );
  assert.deepEqual(giver.shelf.asked, []);
  await until(() => refusals(giver, 'LANE_REFUSED') === 1);
});

void test('a session cannot be resumed without a key', async () => {
  const { giver, reader, offerTo } = await victims();
  const digest = giver.shelf.put(patterned(1000));
  const ask = encodeRequest({ digest, offset: 0, length: 1000 });
  const { identity, offered } = await offerTo(reader.peer);
  const psk = laneKey(offered, reader.peer, giver.peer);
  const pskCallback = (): { psk: Uint8Array; identity: string } => ({ psk, identity });
  const first = await byHand(giver.lanes.port, { ciphers: 'TLS_AES_128_GCM_SHA256', pskCallback }, ask);
  assert.ok(
    first.secured && first.bytes > 0 && first.session,
    'the true key opens a lane, and leaves a session to try',
  );
  const again = await byHand(giver.lanes.port, { session: first.session }, ask);
  assert.equal(again.bytes, 0);
  await until(() => refusals(giver, 'LANE_REFUSED') === 1);
  assert.equal(giver.shelf.asked.length, 1);
});

void test('a client without a key gets no handshake, whatever suite it offers', async () => {
  const { giver } = await victims();
  const options: ConnectionOptions[] = [
    {},
    { ciphers: 'TLS_AES_128_GCM_SHA256' },
    { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' },
  ];
  for (const one of options) {
    const { secured, error } = await byHand(giver.lanes.port, one);
    assert.equal(secured, false);
    assert.ok(error);
  }
  await until(() => refusals(giver, 'LANE_REFUSED') === options.length);
});

void test('a client with a certificate instead of a key gets no handshake', async () => {
  const { giver } = await victims();
  const { secured } = await byHand(giver.lanes.port, { ...selfSigned('reader') });
  assert.equal(secured, false);
  await until(() => refusals(giver, 'LANE_REFUSED') === 1);
  assert.deepEqual(giver.shelf.asked, []);
});

void test('a server with a certificate instead of the key is found out', async () => {
  const { reader, other } = await victims();
  let asked = '';
  const impostor = tlsServer({
    ...selfSigned('other'),
    pskCallback: (_socket, identity) => {
      asked = identity;
      return null;
    },
  });
  impostor.on('tlsClientError', () => undefined);
  await new Promise<void>(resolve => impostor.listen(0, '127.0.0.1', resolve));
  stop.push(() => impostor.close());
  const { port } = impostor.address() as { port: number };
  await deceived(reader, other, port);
  assert.match(asked, /^[0-9a-f]{32}$/);
});

void test('a server that guesses the key is found out', async () => {
  const { reader, other } = await victims();
  const impostor = tlsServer({ ciphers: 'TLS_AES_128_GCM_SHA256', pskCallback: () => patterned(32, 'guess') });
  impostor.on('tlsClientError', () => undefined);
  await new Promise<void>(resolve => impostor.listen(0, '127.0.0.1', resolve));
  stop.push(() => impostor.close());
  const { port } = impostor.address() as { port: number };
  await deceived(reader, other, port);
});

void test('a server that accepts and says nothing is left after the handshake time', async () => {
  const { world, dial, signal } = await victims();
  const silent = createServer(socket => void stop.push(() => socket.destroy()));
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve));
  stop.push(() => silent.close());
  let accepted = false;
  silent.on('connection', () => {
    accepted = true;
  });
  const { port } = silent.address() as { port: number };
  const dialling = assert.rejects(dial(`127.0.0.1:${port}`, 'ab', patterned(32), signal), fails('HANDSHAKE_TIMEOUT'));
  await until(() => accepted);
  await world.settle();
  await world.advance(LANE_HANDSHAKE_MS);
  await dialling;
});

void test('half-open handshakes of one host are bounded, and the true peer gets in when they are gone', async () => {
  const { giver, reader, offerTo, address, dial, signal } = await victims();
  const floods = Array.from({ length: HALF_OPEN_PER_HOST_MAX + 10 }, () => tcp(giver.lanes.port, '127.0.0.1'));
  stop.push(() => floods.forEach(socket => socket.destroy()));
  let closed = 0;
  for (const socket of floods) {
    socket.on('error', () => undefined);
    socket.on('close', () => closed++);
    socket.resume();
  }
  await until(() => closed === 10);
  assert.equal(refusals(giver, 'LIMIT_EXCEEDED'), 10);
  for (const socket of floods) socket.destroy();
  await until(() => refusals(giver, 'LANE_REFUSED') === HALF_OPEN_PER_HOST_MAX);
  const { identity, offered } = await offerTo(reader.peer);
  await dial(address, identity, laneKey(offered, reader.peer, giver.peer), signal);
});

void test('who opens a connection and says nothing is closed in time, and recorded', async () => {
  const told: Code[] = [];
  const nobody = (): undefined => undefined;
  const listener = await createLaneWire({ world: realWorld }).listen('127.0.0.1:0', nobody, nobody, (_, { code }) =>
    told.push(code),
  );
  stop.push(() => listener.close());
  const socket = tcp(listener.port, '127.0.0.1');
  socket.resume();
  await new Promise(resolve => socket.once('close', resolve));
  await until(() => told.length > 0);
  assert.deepEqual(told, ['HANDSHAKE_TIMEOUT']);
});

void test('a host outside peerCidrs gets no handshake, even with a live key', async () => {
  const key = patterned(32);
  for (const [range, expected] of [
    ['10.0.0.0/8', { taken: 0, accepted: 0, refused: ['LANE_REFUSED'] }],
    ['127.0.0.0/8', { taken: 1, accepted: 1, refused: [] }],
  ] as const) {
    const seen: { taken: number; accepted: number; refused: Code[] } = { taken: 0, accepted: 0, refused: [] };
    const wire = createLaneWire({ world: realWorld, peerCidrs: [range] });
    const listener = await wire.listen(
      '127.0.0.1:0',
      () => {
        seen.taken++;
        return { key, peer: peerNamed('reader') };
      },
      () => seen.accepted++,
      (_host, { code }) => void seen.refused.push(code),
    );
    stop.push(() => listener.close());
    const dialling = wire.dial(`127.0.0.1:${listener.port}`, 'ab', key, new AbortController().signal);
    await Promise.allSettled([dialling]);
    await until(() => seen.accepted + seen.refused.length === 1);
    assert.deepEqual(seen, expected);
  }
});

void test('a peer that asks for keys and never dials is refused more, and the refusal is recorded', async () => {
  const { world, giver, reader, other, offerTo } = await victims();
  for (let asked = 0; asked < KEYS_PER_PEER_MAX; asked++) await offerTo(reader.peer);
  await assert.rejects(offerTo(reader.peer), { message: 'LIMIT_EXCEEDED' });
  assert.deepEqual(giver.records, [
    { event: 'peer.refused', peer: reader.peer, address: '127.0.0.1:5001', code: 'LIMIT_EXCEEDED' },
  ]);
  await offerTo(other.peer);
  await world.advance(KEY_LIFE_MS);
  await offerTo(reader.peer);
});

void test('what was offered to a revoked peer opens nothing', () => {
  const keys = new LaneKeys(simulatedWorld(), peerNamed('giver'));
  const { identity } = keys.offer(peerNamed('reader'));
  keys.drop(peerNamed('reader'));
  assert.equal(keys.take(Buffer.from(identity).toString('hex')), undefined);
});
