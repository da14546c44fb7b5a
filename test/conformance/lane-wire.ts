/** What every `LaneWire` promises; the real one and the fake are put through it. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { type Code, hasCode, type MirrorError } from '../../src/errors.ts';
import type { PeerId } from '../../src/oci/oci.ts';
import type { LaneSocket, LaneWire } from '../../src/peers/wire.ts';
import { patterned, peerNamed, until } from '../support/lane-pair.ts';

const KEY = patterned(32, 'key');
const IDENTITY = 'ab'.repeat(16);

export function laneWireConformance(name: string, make: () => { near: LaneWire; far: LaneWire }): void {
  const stop: (() => unknown)[] = [];
  afterEach(async () => {
    for (const one of stop.splice(0)) await one();
  });

  /** A listener with one live identity, and what it saw. */
  async function listening(key = KEY) {
    const { near, far } = make();
    const live = new Map<string, { key: Uint8Array; peer: PeerId }>([[IDENTITY, { key, peer: peerNamed('dialer') }]]);
    const accepted: { socket: LaneSocket; peer: PeerId }[] = [];
    const refused: MirrorError[] = [];
    const listener = await far.listen(
      '127.0.0.1:0',
      identity => {
        const entry = live.get(identity);
        live.delete(identity);
        return entry;
      },
      (socket, peer) => void accepted.push({ socket, peer }),
      (_host, error) => void refused.push(error),
    );
    stop.push(() => listener.close());
    const dial = async (identity = IDENTITY, signal = new AbortController().signal): Promise<LaneSocket> => {
      const socket = await near.dial(`127.0.0.1:${listener.port}`, identity, KEY, signal);
      stop.push(() => socket.destroy());
      return socket;
    };
    return { dial, accepted, refused, listener, near };
  }

  async function pair(): Promise<[LaneSocket, LaneSocket]> {
    const { dial, accepted } = await listening();
    const near = await dial();
    await until(() => accepted.length === 1);
    return [near, accepted[0]!.socket];
  }

  const fails = (code: Code) => (error: unknown) => hasCode(error, code);

  void test(`${name}: a live identity opens one lane, for the peer that it was for`, async () => {
    const { dial, accepted, refused } = await listening();
    const near = await dial();
    await until(() => accepted.length === 1);
    assert.equal(accepted[0]!.peer, peerNamed('dialer'));
    assert.equal(near.remoteAddress, '127.0.0.1');
    assert.equal(accepted[0]!.socket.remoteAddress, '127.0.0.1');
    assert.equal(refused.length, 0);
  });

  void test(`${name}: an identity opens nothing a second time`, async () => {
    const { dial, accepted, refused } = await listening();
    await dial();
    await assert.rejects(dial(), fails('LANE_REFUSED'));
    await until(() => refused.length === 1);
    assert.equal(refused[0]!.code, 'LANE_REFUSED');
    assert.equal(accepted.length, 1);
  });

  void test(`${name}: an identity with another key opens nothing`, async () => {
    const { dial, accepted, refused } = await listening(patterned(32, 'other'));
    await assert.rejects(dial(), fails('LANE_REFUSED'));
    await until(() => refused.length === 1);
    assert.equal(accepted.length, 0);
  });

  void test(`${name}: dialling where nobody listens says so`, async () => {
    const { dial, listener } = await listening();
    await listener.close();
    await assert.rejects(dial(), fails('PEER_UNREACHABLE'));
  });

  void test(`${name}: a dial that is stopped ends`, async () => {
    const { dial } = await listening();
    await assert.rejects(dial(IDENTITY, AbortSignal.abort()), fails('STOPPED'));
  });

  void test(`${name}: a port that is taken says so`, async () => {
    const { listener, near } = await listening();
    const again = make().far;
    const wire = name.includes('memory') ? near : again;
    await assert.rejects(
      wire.listen(
        `127.0.0.1:${listener.port}`,
        () => undefined,
        () => undefined,
      ),
      fails('PORT_TAKEN'),
    );
  });

  void test(`${name}: bytes arrive whole and in order, both ways`, async () => {
    const [near, far] = await pair();
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const sent = patterned(3_000_000, from === near ? 'there' : 'back');
      const got: Buffer[] = [];
      let length = 0;
      to.receive(bytes => {
        got.push(Buffer.from(bytes));
        length += bytes.length;
        return true;
      });
      await Promise.all([from.send(sent.subarray(0, 1_000_000)), from.send(sent.subarray(1_000_000))]);
      await until(() => length >= sent.length);
      assert.ok(Buffer.concat(got).equals(sent));
    }
  });

  void test(`${name}: what was sent before anybody listened is not lost`, async () => {
    const [near, far] = await pair();
    await far.send(Buffer.from('early'));
    for (let turn = 0; turn < 50; turn++) await new Promise(resolve => setImmediate(resolve));
    let text = '';
    near.receive(bytes => {
      text += Buffer.from(bytes).toString();
      return true;
    });
    await until(() => text === 'early');
  });

  void test(`${name}: memory may be used again once send has answered`, async () => {
    const [near, far] = await pair();
    const got: Buffer[] = [];
    near.receive(bytes => got.push(Buffer.from(bytes)) > 0);
    const buffer = Buffer.alloc(500_000, 1);
    await far.send(buffer);
    buffer.fill(2);
    await far.send(buffer);
    await until(() => Buffer.concat(got).length === 1_000_000);
    const all = Buffer.concat(got);
    assert.ok(all.subarray(0, 500_000).every(byte => byte === 1));
    assert.ok(all.subarray(500_000).every(byte => byte === 2));
  });

  void test(`${name}: a reader that pauses stops the sender, and resume goes on`, async () => {
    const [near, far] = await pair();
    let got = 0;
    let open = false;
    near.receive(bytes => {
      got += bytes.length;
      return open;
    });
    const piece = Buffer.alloc(1 << 20, 7);
    let sent = 0;
    const sending = (async () => {
      for (; sent < 24; sent++) await far.send(piece);
    })();
    let before = -1;
    for (let still = 0; still < 20; ) {
      await new Promise(resolve => setImmediate(resolve));
      still = before === sent ? still + 1 : 0;
      before = sent;
    }
    assert.ok(sent < 24, `the sender was never stopped`);
    assert.ok(got < 2 << 20, `${got} bytes came after the pause`);
    open = true;
    near.resume();
    await sending;
    await until(() => got === 24 << 20);
  });

  void test(`${name}: an end is seen after all bytes, a destroyed lane refuses to send`, async () => {
    const [near, far] = await pair();
    let got = 0;
    near.receive(bytes => {
      got += bytes.length;
      return true;
    });
    await far.send(Buffer.alloc(100_000));
    far.end();
    await near.closed;
    assert.equal(got, 100_000);
    await far.closed;
    await assert.rejects(near.send(Buffer.alloc(1)), fails('LANE_CLOSED'));
    await assert.rejects(far.send(Buffer.alloc(1)), fails('LANE_CLOSED'));
  });

  void test(`${name}: sending to a reader that takes nothing ends when the lane is destroyed`, async () => {
    const [near, far] = await pair();
    let open = false;
    near.receive(() => open);
    const sending = Promise.allSettled(Array.from({ length: 24 }, () => far.send(Buffer.alloc(1 << 20))));
    await new Promise(resolve => setImmediate(resolve));
    far.destroy();
    const failed = (await sending).filter(one => one.status === 'rejected');
    assert.ok(failed.length > 0 && failed.every(one => hasCode(one.reason, 'LANE_CLOSED')));
    await far.closed;
    // Who has paused may learn of the end only when it listens again.
    open = true;
    near.resume();
    await near.closed;
  });

  void test(`${name}: closing the listener closes its lanes`, async () => {
    const { dial, accepted, listener } = await listening();
    const near = await dial();
    near.receive(() => true);
    await until(() => accepted.length === 1);
    await listener.close();
    await near.closed;
  });
}
