/** What an operator may ask of this node, joined to the stories. */
import { chmod, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { MirrorError } from '../errors.ts';
import { controlServer } from '../http/control.ts';
import type { Server } from '../http/registry.ts';
import { pullImage, type Rooms, tellableTags, why } from '../mirror/mirror.ts';
import { formatReference, type PeerId, type Reference } from '../oci/oci.ts';
import { CONTROL_SOCKET } from './control-client.ts';
import type { Ground } from './ground.ts';
import { type Facts, statusOf, tagsOf } from './node-status.ts';
import { VERSION } from './version.ts';

/** The architectures of images, by Node's names of them. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** Opens the control socket; `changed` makes the node look at its store again. @throws PORT_TAKEN */
export async function openControls(ground: Ground, rooms: Rooms, facts: Facts, changed: () => void): Promise<Server> {
  const { audit, evidence, origins, config } = ground;
  const named = (peer: PeerId): object => {
    const node = ground.members.node(peer);
    return node ? { node: node.name } : {};
  };
  const server = controlServer({
    status: () => Promise.resolve(statusOf(facts)),
    why: reference => whyHere(ground, rooms, reference),
    tags: () => Promise.resolve(tagsOf(facts)),
    async adopt(reference) {
      const name = formatReference(reference);
      const image = (await rooms.store.images()).find(one => formatReference(one.reference) === name);
      if (!image) throw new MirrorError('CONTENT_ABSENT', `this node holds no image ${name}: pull or import it first`);
      await audit.record({ event: 'tag.adopted', reference: name, digest: image.target.digest });
      await origins.adopt(reference, image.target.digest);
      changed();
      return { reference: name, digest: image.target.digest };
    },
    async forget(reference) {
      const name = formatReference(reference);
      const known = rooms.stated.claims(reference).length > 0;
      await audit.record({ event: 'tag.forgotten', reference: name });
      const forgotten = (await origins.forget(reference)) || known;
      rooms.stated.forget(reference);
      await rooms.stated.save();
      await rooms.peers.stateTags(await tellableTags(rooms));
      return { reference: name, forgotten };
    },
    async remove(reference) {
      const name = formatReference(reference);
      if (!rooms.store.keeping)
        throw new MirrorError(
          'STORE_UNAVAILABLE',
          'the store is containerd’s: remove the image with your container runtime',
        );
      if (!(await rooms.store.images()).some(image => formatReference(image.reference) === name))
        throw new MirrorError('CONTENT_ABSENT', `this node holds no image ${name}; see its layout's index.json`);
      await audit.record({ event: 'image.removed', reference: name });
      await rooms.store.keeping.remove(reference);
      changed();
      return { reference: name };
    },
    evidence: () => Promise.resolve(evidence.list().map(one => ({ ...one, ...named(one.peer) }))),
    async clearEvidence(id) {
      await audit.record({ event: 'evidence.cleared', id });
      return evidence.clear(id);
    },
    pull: async (reference, everything, line) => {
      const architecture = ARCHITECTURES[process.arch] ?? process.arch;
      const pulled = await pullImage(rooms, reference, everything ? undefined : { os: 'linux', architecture }, line);
      return { reference: formatReference(reference), ...pulled };
    },
    debug: () =>
      Promise.resolve({
        version: { pinnace: VERSION(), node: process.version, openssl: process.versions.openssl },
        config,
        status: statusOf(facts),
        ...tagsOf(facts),
        evidence: evidence.list(),
        memory: process.memoryUsage(),
        uptimeSeconds: process.uptime(),
      }),
  });
  await listen(server, join(config.stateDir, CONTROL_SOCKET));
  return server;
}

/** What would happen to a pull; ahead of it what is wrong with the policy, without which the rest misleads. */
async function whyHere({ policy }: Ground, rooms: Rooms, reference: Reference): Promise<object> {
  const trouble = policy.trouble();
  const first = trouble === undefined ? [] : [{ step: 'node', ok: false, detail: `not ready: ${trouble}` }];
  return { reference: formatReference(reference), steps: [...first, ...(await why(rooms, reference))] };
}

async function listen(server: Server, path: string): Promise<void> {
  // A socket that a killed process left would refuse everybody.
  await rm(path, { force: true });
  const mask = process.umask(0o177);
  try {
    await server.listen({ path });
    await chmod(path, 0o600);
  } catch (error) {
    throw new MirrorError('PORT_TAKEN', `cannot listen on ${path}: ${(error as Error).message}`, { cause: error });
  } finally {
    process.umask(mask);
  }
}
