/**
 * The mirror's door over a real socket of loopback, in front of a story's node on the machine's own clock. Promises: what
 * the socket itself saw (bytes, FIN, RST) can be looked at; everything ends with `close`.
 */
import { connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { type Door, registryServer, type Server } from '../../src/http/registry.ts';
import { realWorld, type World } from '../../src/world.ts';
import { type ClientAnswer, get } from '../support/pull-client.ts';
import { Story, type StoryNode, type StoryNodeSettings } from '../mirror/story-node.ts';

export interface OpenDoor {
  readonly story: Story;
  readonly node: StoryNode;
  readonly server: Server;
  readonly port: number;
  readonly base: string;
  /** Why it is not ready; undefined: it is. */
  reason: string | undefined;
  /** Set to refuse clients. */
  authorize: Door['authorize'];
  get(path: string, options?: Parameters<typeof get>[1]): Promise<ClientAnswer>;
  close(): Promise<void>;
}

/** Opens a door before a node of a new story, or of `story`. */
export async function openDoor(settings: StoryNodeSettings = {}, story = new Story(realTime())): Promise<OpenDoor> {
  const node = await story.node('door', settings);
  const hosts = new Set<string>();
  const door = {
    story,
    node,
    reason: undefined as string | undefined,
    authorize: (() => Promise.resolve()) as Door['authorize'],
    get: (path: string, options?: Parameters<typeof get>[1]) => get(`http://127.0.0.1:${port}${path}`, options),
    async close() {
      await server.close();
      await story.end();
    },
  };
  const server = registryServer(node.rooms, {
    hosts,
    authorize: request => door.authorize(request),
    notReady: () => door.reason,
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  hosts.add(`127.0.0.1:${port}`);
  hosts.add(`localhost:${port}`);
  return Object.assign(door, { server, port, base: `http://127.0.0.1:${port}` });
}

/** The machine's clock in the shape of a simulated one; advancing waits. */
function realTime(): Story['world'] {
  const world: World = realWorld;
  return {
    ...world,
    advance: ms => world.sleep(ms),
    settle: () => world.sleep(5),
  };
}

export interface RawAnswer {
  /** All that came, headers included. */
  readonly bytes: Buffer;
  readonly status: number;
  /** How the other side ended: `FIN`, or the error of the socket. */
  readonly ended: string;
}

/** Sends raw bytes, takes all that comes until the other side ends; `onBytes` may stop the reading. */
export function raw(
  port: number,
  text: string | Uint8Array,
  onBytes?: (socket: Socket, sofar: number) => void,
): Promise<RawAnswer> {
  return new Promise(done => {
    const parts: Buffer[] = [];
    let ended = 'nothing';
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(text));
    socket.on('data', (part: Buffer) => {
      parts.push(part);
      onBytes?.(
        socket,
        parts.reduce((sum, { length }) => sum + length, 0),
      );
    });
    socket.on('end', () => (ended = 'FIN'));
    socket.on('error', (error: NodeJS.ErrnoException) => (ended = error.code ?? error.message));
    socket.on('close', () => {
      const bytes = Buffer.concat(parts);
      const [, status = '0'] = /^HTTP\/1\.1 (\d{3})/.exec(bytes.subarray(0, 20).toString()) ?? [];
      done({ bytes, status: Number(status), ended });
    });
  });
}
