/** A wire whose node is listened to, and one that knows only some protocols, as a node of an older version. */
import { MirrorError } from '../../src/errors.ts';
import type { ControlWire, Stream } from '../../src/peers/wire.ts';

/** Makes `wire` keep every frame and message that its node receives in `heard`; the same wire. */
export function tapped<W extends ControlWire>(wire: W, heard: Uint8Array[]): W {
  const [open, handle, subscribe] = [wire.open.bind(wire), wire.handle.bind(wire), wire.subscribe.bind(wire)];
  const tap = (stream: Stream): Stream => ({
    send: frame => stream.send(frame),
    receive: async () => {
      const frame = await stream.receive();
      if (frame) heard.push(Uint8Array.from(frame));
      return frame;
    },
    close: () => stream.close(),
    abort: reason => stream.abort(reason),
  });
  return Object.assign(wire, {
    open: async (...asked: Parameters<ControlWire['open']>) => tap(await open(...asked)),
    handle: (...[protocol, limits, handler]: Parameters<ControlWire['handle']>) =>
      handle(protocol, limits, (stream, link) => handler(tap(stream), link)),
    subscribe: (...[topic, judge]: Parameters<ControlWire['subscribe']>) =>
      subscribe(topic, (from, message) => {
        heard.push(Uint8Array.from(message));
        return judge(from, message);
      }),
  });
}

/** Makes `wire` neither say nor take nor hear anything whose name has one of `words`; the same wire. */
export function withoutWords<W extends ControlWire>(wire: W, words: readonly string[]): W {
  const known = (name: string): boolean => !words.some(word => name.includes(word));
  const [open, handle] = [wire.open.bind(wire), wire.handle.bind(wire)];
  const [publish, subscribe] = [wire.publish.bind(wire), wire.subscribe.bind(wire)];
  return Object.assign(wire, {
    open: async (...asked: Parameters<ControlWire['open']>) => {
      if (known(asked[1])) return open(...asked);
      throw new MirrorError('PEER_UNREACHABLE', 'an older node has no word for it');
    },
    handle: (...asked: Parameters<ControlWire['handle']>) => void (known(asked[0]) && handle(...asked)),
    publish: async (...said: Parameters<ControlWire['publish']>) => void (known(said[0]) && (await publish(...said))),
    subscribe: (...asked: Parameters<ControlWire['subscribe']>) => void (known(asked[0]) && subscribe(...asked)),
  });
}

const HEX = /^(?:[0-9a-f]{2})+$/;

/** Whether any of `bytes` has one of `needles` in it: as text, and what is hex also raw. */
export const mentions = (bytes: readonly Uint8Array[], ...needles: readonly string[]): boolean => {
  const raw = needles.filter(needle => HEX.test(needle)).map(needle => Buffer.from(needle, 'hex'));
  const wanted = [...needles.map(needle => Buffer.from(needle)), ...raw];
  return bytes.some(one => wanted.some(needle => Buffer.from(one.buffer, one.byteOffset, one.length).includes(needle)));
};
