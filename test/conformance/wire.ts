/** What every control wire must do: the one on libp2p and the fake in memory pass the same suite. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { hasCode, MirrorError } from '../../src/errors.ts';
import type { PeerId } from '../../src/oci/oci.ts';
import type { ControlWire, Greet, Link } from '../../src/peers/wire.ts';

export interface WireUnderTest {
  readonly wire: ControlWire;
  readonly peer: PeerId;
  readonly address: string;
}

/** A network on which wires are made; `greet` is what the node does with each secured connection. */
export interface Network {
  node(greet: Greet): Promise<WireUnderTest>;
  close(): Promise<void>;
}

const live = (): AbortSignal => new AbortController().signal;
const LIMITS = { maxFrame: 1 << 20, maxInbound: 2 };

/** Resolves when `check` holds; fails after five seconds of real time. */
export async function eventually(check: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 5000;
  while (!check()) {
    if (performance.now() > end) assert.fail(`never came true: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

/** A greeting that sends a word and wants the same word. */
export const password =
  (word: string): Greet =>
  async (_peer, stream) => {
    await stream.send(Buffer.from(word));
    const theirs = await stream.receive();
    if (theirs === undefined || Buffer.from(theirs).toString() !== word)
      throw new MirrorError('CREDENTIAL_INVALID', 'another word');
    await stream.send(Buffer.from('welcome'));
    if ((await stream.receive()) === undefined) throw new MirrorError('PEER_REFUSED', 'closed');
  };

export function wireConformance(name: string, make: () => Promise<Network>): void {
  void describe(`a control wire: ${name}`, () => {
    let network: Network;
    let a: WireUnderTest;
    let b: WireUnderTest;
    before(async () => {
      network = await make();
      a = await network.node(password('x'));
      b = await network.node(password('x'));
    });
    after(() => network.close());

    void it('dials an address and learns who is there', async () => {
      const seen: [Link, boolean][] = [];
      b.wire.onLink((link, open) => seen.push([link, open]));
      const link = await a.wire.dial(b.address, live());
      assert.equal(link.peer, b.peer);
      assert.equal(link.inbound, false);
      await eventually(() => b.wire.links().length === 1, 'the listener has the link');
      assert.equal(b.wire.links()[0]?.peer, a.peer);
      assert.deepEqual(
        seen.map(([l, open]) => [l.peer, l.inbound, open]),
        [[a.peer, true, true]],
      );
    });

    void it('carries whole frames both ways, and each side ends its own', async () => {
      b.wire.handle('/echo', LIMITS, async (stream, link) => {
        assert.equal(link.peer, a.peer);
        for (let frame = await stream.receive(); frame; frame = await stream.receive()) await stream.send(frame);
      });
      const stream = await a.wire.open(b.peer, '/echo', LIMITS, live());
      const frames = [
        new Uint8Array(0),
        Uint8Array.of(7),
        new Uint8Array(1 << 20).fill(3),
        new Uint8Array(300_000).fill(9),
      ];
      const sending = (async () => {
        for (const frame of frames) await stream.send(frame);
        await stream.close();
      })();
      for (const frame of frames) assert.deepEqual(Buffer.from((await stream.receive())!), Buffer.from(frame));
      assert.equal(await stream.receive(), undefined);
      await sending;
    });

    void it('refuses a frame over the limit on both sides', async () => {
      const heard: unknown[] = [];
      b.wire.handle('/small', { maxFrame: 10, maxInbound: 2 }, async stream => {
        await stream.receive().catch((error: unknown) => heard.push(error));
      });
      const big = await a.wire.open(b.peer, '/small', LIMITS, live());
      await big.send(new Uint8Array(11)).catch(() => undefined);
      await eventually(() => heard.length === 1, 'the receiver refused');
      assert.ok(hasCode(heard[0], 'LIMIT_EXCEEDED'));
      const small = await a.wire.open(b.peer, '/small', { maxFrame: 10, maxInbound: 2 }, live());
      await assert.rejects(small.send(new Uint8Array(11)), error => hasCode(error, 'LIMIT_EXCEEDED'));
      await small.close();
    });

    void it('stops a sender whose reader does not read', async () => {
      let go = (): void => undefined;
      const gate = new Promise<void>(resolve => (go = resolve));
      let received = 0;
      b.wire.handle('/slow', LIMITS, async stream => {
        await gate;
        for (let frame = await stream.receive(); frame; frame = await stream.receive()) received += frame.length;
      });
      const stream = await a.wire.open(b.peer, '/slow', LIMITS, live());
      let sent = 0;
      const sending = (async () => {
        for (let i = 0; i < 32; i++) {
          await stream.send(new Uint8Array(1 << 20));
          sent++;
        }
        await stream.close();
      })();
      await new Promise(resolve => setTimeout(resolve, 300));
      assert.ok(sent < 16, `${sent} MiB were taken although nobody reads`);
      go();
      await sending;
      await eventually(() => received === 32 << 20, 'everything arrived in the end');
    });

    void it('lets a peer have only so many streams of a protocol open', async () => {
      let open = 0;
      b.wire.handle('/few', LIMITS, async stream => {
        open++;
        await stream.receive();
      });
      const streams = await Promise.all([1, 2, 3, 4].map(() => a.wire.open(b.peer, '/few', LIMITS, live())));
      let ended = 0;
      const ends = streams.map(async stream => {
        assert.equal(await stream.receive().catch(() => undefined), undefined);
        ended++;
      });
      // Which two, is up to the order in which they come.
      await eventually(() => ended === 2, 'two streams ended');
      assert.equal(open, 2);
      for (const stream of streams) stream.abort(new Error('done'));
      await Promise.all(ends);
    });

    void it('ends a stream when its signal aborts', async () => {
      b.wire.handle('/wait', LIMITS, async stream => void (await stream.receive()));
      const stop = new AbortController();
      const stream = await a.wire.open(b.peer, '/wait', LIMITS, stop.signal);
      const waiting = assert.rejects(stream.receive());
      stop.abort(new MirrorError('STOPPED', 'enough'));
      await waiting;
    });

    void it('passes gossip on only where the judge accepts', async () => {
      const c = await network.node(password('x'));
      await c.wire.dial(b.address, live());
      const heard: string[] = [];
      const judge = (who: string) => async (_from: PeerId, message: Uint8Array) => {
        const text = Buffer.from(message).toString();
        heard.push(`${who} ${text}`);
        return text.startsWith('good') ? ('accept' as const) : ('reject' as const);
      };
      a.wire.subscribe('pinnace/1', judge('a'));
      b.wire.subscribe('pinnace/1', judge('b'));
      c.wire.subscribe('pinnace/1', judge('c'));
      let n = 0;
      // Subscriptions spread by themselves; until then a message reaches nobody.
      while (!heard.some(line => line.startsWith('c good')) && n < 100) {
        await a.wire.publish('pinnace/1', Buffer.from(`good ${n++}`));
        await new Promise(resolve => setTimeout(resolve, 50));
      }
      assert.ok(
        heard.some(line => line.startsWith('c good')),
        'from a over b to c',
      );
      await a.wire.publish('pinnace/1', Buffer.from('bad'));
      await eventually(() => heard.includes('b bad'), 'b heard it');
      await new Promise(resolve => setTimeout(resolve, 100));
      assert.ok(!heard.includes('c bad'), 'b did not pass it on');
      await assert.rejects(a.wire.publish('pinnace/1', new Uint8Array(65_537)), error =>
        hasCode(error, 'LIMIT_EXCEEDED'),
      );
    });

    void it('makes no link with a peer whom either side refuses, and tells the dialler', async () => {
      const stranger = await network.node(password('y'));
      await assert.rejects(stranger.wire.dial(a.address, live()), error =>
        hasCode(error, 'CREDENTIAL_INVALID', 'PEER_REFUSED'),
      );
      await assert.rejects(a.wire.dial(stranger.address, live()), error =>
        hasCode(error, 'CREDENTIAL_INVALID', 'PEER_REFUSED'),
      );
      assert.equal(stranger.wire.links().length, 0);
      assert.ok(a.wire.links().every(link => link.peer !== stranger.peer));
    });

    void it('says that nobody is there', async () => {
      await assert.rejects(a.wire.dial('127.0.0.1:1', live()), error => hasCode(error, 'PEER_UNREACHABLE'));
      await assert.rejects(a.wire.open('12D3KooWnobody' as PeerId, '/echo', LIMITS, live()), error =>
        hasCode(error, 'PEER_UNREACHABLE'),
      );
    });

    void it('ends every link with a peer at once, for both', async () => {
      const ended: PeerId[] = [];
      a.wire.onLink((link, open) => !open && ended.push(link.peer));
      await b.wire.disconnect(a.peer);
      await eventually(() => ended.includes(b.peer), 'the other side noticed');
      assert.ok(a.wire.links().every(link => link.peer !== b.peer));
    });
  });
}
