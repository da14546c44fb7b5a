/**
 * The daemon: joins the rooms and opens the doors. What one room needs of another is joined here as a function, and
 * nowhere else. Promises: ready only when it can answer; everything ends with the life that it was given.
 */
import { MirrorError } from '../errors.ts';
import { registryServer, type Server } from '../http/registry.ts';
import { verifyPeer } from '../identity/key.ts';
import {
  Admitted,
  Catalogue,
  Fetches,
  Pulls,
  type Rooms,
  serving,
  Sharing,
  StatedTags,
  Verdicts,
} from '../mirror/mirror.ts';
import type { Giver } from '../peers/peers.ts';
import { createPeers, type OpenPeers } from '../peers/peers-node.ts';
import type { Policy } from '../policy/policy.ts';
import { openSigners, type Signers } from '../trust/trust.ts';
import { tokenDoor } from './client-token.ts';
import { splitAddress } from './config.ts';
import { openControls } from './controls.ts';
import type { Ground } from './ground.ts';
import { watchIncoming } from './incoming.ts';
import { livesOf, noticesOf, recordChanges, watchLives } from './lives.ts';
import type { Facts } from './node-status.ts';
import { VERSION } from './version.ts';

export { type Edges, type Ground, layGround } from './ground.ts';

export interface RunningNode {
  readonly rooms: Rooms;
  /** Settles when all doors are closed. */
  readonly stopped: Promise<void>;
}

/** Opens what clients and operators use. @throws PORT_TAKEN */
type OpenDoors = (
  ground: Ground,
  rooms: Rooms,
  facts: Facts,
  sharing: Sharing,
) => Promise<readonly Pick<Server, 'close'>[]>;

/** Starts a node on its ground, with the daemon's own doors unless others are given. @throws PORT_TAKEN, AUDIT_UNAVAILABLE */
export async function startNode(ground: Ground, open: OpenDoors = openDoors): Promise<RunningNode> {
  const { config, self, audit, log, life, world } = ground;
  await audit.record({
    event: 'node.started',
    peer: self.peer,
    node: self.name,
    version: VERSION(),
    start: self.start,
  });
  await ground.policy.recordIn(audit, log);
  let reason: string | undefined = 'the store was not reached yet';
  const { rooms, peers, sharing } = await joinRooms(ground);
  const facts: Facts = {
    rooms,
    config,
    node: self.name,
    peer: self.peer,
    cluster: self.cluster.id,
    roster: () => ground.members.roster,
    lives: () => livesOf(ground),
    byNewestIssuer: () => ground.members.byNewestIssuer(),
    holdings: () => sharing.told(),
    policyFrom: () => ground.policy.about(),
    notReady: () => reason ?? ground.policy.trouble(),
    counts: () => ground.members.node(self.peer) !== undefined,
  };
  recordChanges(ground);
  const doors = await open(ground, rooms, facts, sharing).catch(async (error: unknown) => {
    await peers.close();
    throw error;
  });
  ground.policy.onChange(() => {
    // A policy that admits nothing new for a while keeps its hash.
    rooms.verdicts.askAgain();
    sharing.changed();
  });
  void ground.policy.watch(world, life);
  void ground.attachments.watch(() => {
    rooms.verdicts.askAgain();
    sharing.changed();
  }, life);
  void watchIncoming(ground);
  void watchLives(ground);
  const shared = sharing.run(() => {
    const open = { mirror: config.mirror.listen, peer: self.peer };
    // Why not is told already.
    if (reason) log.info(open, ground.policy.trouble() === undefined ? 'ready' : 'open, but not ready');
    reason = undefined;
  });
  const stopped = (async () => {
    await new Promise<void>(resolve =>
      life.aborted ? resolve() : life.addEventListener('abort', () => resolve(), { once: true }),
    );
    log.info({}, 'stopping');
    await Promise.all([...doors.map(door => door.close()), shared]);
    await peers.close();
    await audit.record({ event: 'node.stopped', reason: String(life.reason) });
  })();
  return { rooms, stopped };
}

/** All doors, or none. @throws PORT_TAKEN */
async function openDoors(ground: Ground, rooms: Rooms, facts: Facts, sharing: Sharing): Promise<readonly Server[]> {
  const mirror = await openMirror(ground, rooms, facts);
  try {
    return [mirror, await openControls(ground, rooms, facts, () => sharing.changed())];
  } catch (error) {
    await mirror.close();
    throw error;
  }
}

async function joinRooms(ground: Ground): Promise<{ rooms: Rooms; peers: OpenPeers; sharing: Sharing }> {
  const { config, world, self, members, audit, store, spool, hashes, evidence, origins, policy, log, life, state } =
    ground;
  const { edges, attachments } = ground;
  const catalogue = new Catalogue();
  const fetches = new Fetches();
  const stories = {
    world,
    store,
    spool,
    hashes,
    attachments,
    verdicts: new Verdicts(),
    admitted: await state.opening(() => Admitted.open(state.keep('admitted.json'))),
    signers: signersOf(() => policy.now()),
    evidence,
    origins,
    audit,
    catalogue,
    fetches,
    log,
    life,
    busy: () => ground.traffic.busy(),
    policy: () => policy.now(),
    pulls: new Pulls(),
    stated: await state.opening(() => StatedTags.open(state.keep('stated-tags.json'), self.peer)),
  };
  let withdraw: Parameters<typeof serving>[1] = () => undefined;
  const giver = counted(serving(stories, digest => withdraw(digest)));
  ground.traffic.busy = () => fetches.list().length > 0 || giver.underWay() > 0;
  const peers = await state.opening(() =>
    createPeers({
      world,
      self,
      members,
      giver,
      signal: life,
      verify: verifyPeer,
      record: event => audit.record(event),
      log: (level, message, fields) => log[level](fields ?? {}, message),
      keeps: { nodes: state.keep('nodes.json'), tags: state.keep('tags.json') },
      config: config.peers,
      ...(edges.wires ? { wires: edges.wires } : {}),
    }).catch((error: unknown) => {
      throw portTaken(error, `other nodes cannot be listened for on ${config.peers.listen}`);
    }),
  );
  const rooms: Rooms = { ...stories, peers };
  const sharing = new Sharing(rooms);
  withdraw = digest => sharing.withdraw(digest);
  return { rooms, peers, sharing };
}

/** The authorities of the policy in force, opened once for each policy. */
function signersOf(policy: () => Policy): () => Signers {
  let opened: { readonly hash: string; readonly signers: Signers } | undefined;
  return () => {
    const { hash, authorities, trustRoots } = policy();
    if (opened?.hash !== hash) opened = { hash, signers: openSigners(authorities, trustRoots) };
    return opened.signers;
  };
}

/** A giver that knows how many gifts are on their way. */
function counted(giver: Giver): Giver & { underWay(): number } {
  let now = 0;
  return {
    ...giver,
    underWay: () => now,
    async give(node, digest, offset, length) {
      const gift = await giver.give(node, digest, offset, length);
      now += 1;
      return {
        read: (into, position) => gift.read(into, position),
        done(bytes) {
          now -= 1;
          return gift.done(bytes);
        },
      };
    },
  };
}

async function openMirror({ config, edges }: Ground, rooms: Rooms, { notReady, lives }: Facts): Promise<Server> {
  const { listen, clientTokenFile } = config.mirror;
  const { host, port } = splitAddress(listen);
  const hosts = new Set([listen, `127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]);
  // Whoever reaches a loopback port may pull, where no token is asked for.
  const authorize = clientTokenFile ? await tokenDoor(edges.disk, clientTokenFile) : () => Promise.resolve();
  const warnings = (): string[] => noticesOf(lives(), rooms.world.now()).map(({ text }) => text);
  const server = registryServer(rooms, { hosts, authorize, notReady, warnings });
  try {
    await server.listen({ host, port });
  } catch (error) {
    throw portTaken(error, `the mirror cannot listen on ${listen}`);
  }
  return server;
}

/** What a library says when it cannot listen has many lines; one word of it counts. */
function portTaken(error: unknown, what: string): MirrorError {
  if (error instanceof MirrorError) return error;
  const [reason = 'unknown reason'] = /\bE[A-Z]{3,}\b/.exec(String(error)) ?? [];
  return new MirrorError('PORT_TAKEN', `${what}: ${reason}; end what listens there, or choose another port`, {
    cause: error,
  });
}
