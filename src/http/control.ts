/**
 * The operator's door: HTTP on a unix socket, 0600, in the state folder. Promises: JSON in and out, one object a line
 * where work takes long. Refuses to know what the words mean: it is given one function for each.
 */
import fastify, { type FastifyInstance } from 'fastify';
import { asMirrorError, type Kind, MirrorError } from '../errors.ts';
import { parseReference, parseTagReference, type Reference, type TagReference } from '../oci/oci.ts';

const BODY_MAX_BYTES = 64 << 10;
const STATUS: Readonly<Record<Kind, number>> = {
  invalid: 400,
  denied: 403,
  absent: 404,
  hostile: 502,
  unavailable: 503,
};

/** What an operator may ask of a running node; the daemon gives the functions. */
export interface Controls {
  status(): Promise<object>;
  why(reference: Reference): Promise<object>;
  tags(): Promise<object>;
  adopt(reference: TagReference): Promise<object>;
  forget(reference: TagReference): Promise<object>;
  remove(reference: Reference): Promise<object>;
  evidence(): Promise<readonly { readonly id: string }[]>;
  clearEvidence(idOrPeer: string): Promise<boolean>;
  /** Calls `line` with each step of the work. */
  pull(reference: Reference, everything: boolean, line: (step: object) => void): Promise<object>;
  debug(): Promise<object>;
}

const text = (value: unknown, what: string): string => {
  if (typeof value !== 'string' || value.length > 1024) throw new MirrorError('USAGE', `${what} is missing`);
  return value;
};

/** A reference that names one image. @throws REFERENCE_INVALID */
function whole(spelt: string): Reference {
  const reference = parseReference(spelt);
  if (reference.tag || reference.digest) return reference;
  throw new MirrorError('REFERENCE_INVALID', `${spelt} has no tag: write ${spelt}:TAG or ${spelt}@DIGEST`);
}

/** Builds the control server; it listens, on a socket for its owner alone, when told to. */
export function controlServer(controls: Controls): FastifyInstance {
  const server = fastify({ logger: false, bodyLimit: BODY_MAX_BYTES, forceCloseConnections: true });
  server.setErrorHandler((error, _, reply) => {
    const { code, kind, message } = asMirrorError(error, 'STORE_UNAVAILABLE', 'the node could not do this');
    return reply.code(STATUS[kind]).send({ error: { code, kind, message } });
  });
  const field = (body: unknown, key: string): string => text((body as Record<string, unknown> | null)?.[key], key);
  server.get('/status', () => controls.status());
  server.get('/debug', () => controls.debug());
  server.get('/why', request => controls.why(whole(field(request.query, 'reference'))));
  server.get('/tags', () => controls.tags());
  server.post('/tags/adopt', request => controls.adopt(parseTagReference(field(request.body, 'reference'))));
  server.post('/tags/forget', request => controls.forget(parseTagReference(field(request.body, 'reference'))));
  server.post('/remove', request => controls.remove(parseReference(field(request.body, 'reference'))));
  server.get('/evidence', () => controls.evidence());
  server.post('/evidence/clear', async request => ({
    cleared: await controls.clearEvidence(field(request.body, 'id')),
  }));
  server.post('/pull', async (request, reply) => {
    const reference = whole(field(request.body, 'reference'));
    const everything = (request.body as { everything?: unknown }).everything === true;
    reply.hijack();
    reply.raw.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const line = (step: object): void => void reply.raw.write(`${JSON.stringify(step)}\n`);
    try {
      line({ result: await controls.pull(reference, everything, line) });
    } catch (error) {
      const { code, kind, message } = asMirrorError(error, 'STORE_UNAVAILABLE', 'the pull failed');
      line({ error: { code, kind, message } });
    }
    reply.raw.end();
  });
  return server;
}
