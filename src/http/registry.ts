/**
 * containerd's door: the OCI pull API on loopback. Promises: only GET and HEAD below /v2/, /healthz and /readyz; the Host
 * header is checked (DNS rebinding); statuses follow the kinds of errors; a body that cannot go on ends with FIN, never a
 * reset. Refuses to know peers and stores. Spec: OCI distribution-spec, "Pull"; containerd's hosts.toml (`?ns=`).
 */
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { asMirrorError, type Kind, MirrorError } from '../errors.ts';
import { type Answer, type Log, pull, type Rooms } from '../mirror/mirror.ts';
import { OCTETS, parseRequest } from '../oci/oci.ts';
import { pump } from './pump.ts';

/** Clients at once; containerd opens a handful. */
const CONNECTIONS_MAX = 512;
/** A client has so long to send its headers. */
const HEADERS_MS = 10_000;
/** How often it is looked who has not. */
const HEADERS_CHECK_MS = 1_000;
/** A connection on which nothing moves for so long is ended; a body may be silent for 240 s (mirror/body.ts). */
const STILL_MS = 300_000;
const PATH_MAX_CHARS = 2048;
const METHODS = ['GET', 'HEAD'];
/** What may stand in a header: a manifest may call a type by anything. */
const HEADER_VALUE = /^[ -~]+$/;

const STATUS: Readonly<Record<Kind, number>> = {
  invalid: 400,
  denied: 403,
  absent: 404,
  hostile: 404,
  unavailable: 503,
};
/** The distribution-spec's names of errors, where they differ from ours. */
const SPEC_CODE: Readonly<Record<number, string>> = { 403: 'DENIED', 503: 'UNAVAILABLE' };

/** A server that listens when told to. */
export type Server = FastifyInstance;

export interface Door {
  /** What clients must say in Host: `127.0.0.1:5000`, `localhost:5000` and the like. */
  readonly hosts: ReadonlySet<string>;
  /** The one seam for client authorization, asked before any content is looked for: throws to refuse. */
  authorize(request: { readonly headers: Readonly<Record<string, unknown>> }): Promise<void>;
  /** Undefined when ready, else why not. */
  notReady(): string | undefined;
  /** What will go wrong if nobody does anything; a node that is ready says it beside. */
  warnings?(): readonly string[];
}

/** Builds the mirror's server; it listens when told to. */
export function registryServer(rooms: Rooms, door: Door): Server {
  const server = fastify({
    logger: false,
    exposeHeadRoutes: false,
    routerOptions: { ignoreDuplicateSlashes: false, maxParamLength: PATH_MAX_CHARS },
    // A request without a Host header is refused below, on record; Node would refuse it by itself.
    // Slow ones are looked for often enough that HEADERS_MS is kept.
    http: { requireHostHeader: false, connectionsCheckingInterval: HEADERS_CHECK_MS },
    requestTimeout: HEADERS_MS,
    connectionTimeout: STILL_MS,
    forceCloseConnections: true,
    // A path that cannot be decoded meets no hook and no route.
    frameworkErrors: (error, request, reply) =>
      void judged(rooms, request, () => {
        throw new MirrorError('REQUEST_INVALID', error.message);
      }).catch((refusal: unknown) => sendError(rooms.log, refusal, reply)),
  });
  server.server.maxConnections = CONNECTIONS_MAX;
  server.server.headersTimeout = HEADERS_MS;
  server.addHook('onRequest', (request, reply) =>
    judged(rooms, request, async () => {
      if (!namesUs(request, door.hosts))
        throw new MirrorError('REQUEST_INVALID', 'the Host header is missing, stands twice, or names another server');
      if (!METHODS.includes(request.method)) {
        reply.header('allow', METHODS.join(', '));
        throw new MirrorError('METHOD_UNSUPPORTED', `${request.method}: this mirror only answers pulls`);
      }
    }),
  );
  server.get('/healthz', (_, reply) => reply.send({ status: 'ok' }));
  server.get('/readyz', (_, reply) => {
    const reason = door.notReady();
    const warnings = door.warnings?.() ?? [];
    const detail = warnings.length ? { warnings } : {};
    return reply
      .code(reason ? 503 : 200)
      .send({ ...(reason ? { status: 'not ready', reason } : { status: 'ok' }), ...detail });
  });
  for (const url of ['/v2', '/v2/']) server.route({ method: METHODS, url, handler: (_, reply) => reply.send({}) });
  server.route({ method: METHODS, url: '/v2/*', handler: (request, reply) => answer(rooms, door, request, reply) });
  server.setNotFoundHandler((_, reply) =>
    reply.code(404).send(body('NOT_FOUND', 'only /v2/, /healthz and /readyz are here')),
  );
  server.setErrorHandler((error, _, reply) => sendError(rooms.log, error, reply));
  return server;
}

/** True where the one Host header is among `hosts` and the request line names no host: of several, Node gives the first. */
function namesUs({ raw, url }: FastifyRequest, hosts: ReadonlySet<string>): boolean {
  const [host = '', ...more] = raw.headersDistinct.host ?? [];
  return more.length === 0 && hosts.has(host.toLowerCase()) && url.startsWith('/');
}

/** Runs what judges a request by itself; a refusal is recorded before it is answered, with the path as it came. */
async function judged<T>({ audit }: Rooms, { url }: FastifyRequest, judge: () => T | Promise<T>): Promise<T> {
  try {
    return await judge();
  } catch (error) {
    const { code } = asMirrorError(error, 'REQUEST_INVALID', 'a request');
    await audit.record({ event: 'pull.refused', reference: url, code });
    throw error;
  }
}

async function answer(rooms: Rooms, door: Door, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const parsed = await judged(rooms, request, async () => {
    await door.authorize(request);
    return parseRequest(request.method, request.url, request.headers.range);
  });
  const found = await pull(rooms, parsed);
  reply.headers({
    'content-type': HEADER_VALUE.test(found.descriptor.mediaType) ? found.descriptor.mediaType : OCTETS,
    'docker-content-digest': found.descriptor.digest,
    'accept-ranges': 'bytes',
    ...(parsed.kind === 'referrers' && parsed.artifactType !== undefined
      ? { 'oci-filters-applied': 'artifactType' }
      : {}),
    ...lengthHeaders(found),
  });
  if (!found.body) return reply.code(200).send();
  reply.hijack();
  reply.raw.writeHead(found.partial ? 206 : 200, reply.getHeaders() as Record<string, string>);
  try {
    await pump(found.body, reply.raw);
  } catch (error) {
    // The headers are out: the answer was cut, and all that is left is to say so.
    const { code, message } = asMirrorError(error, 'FILE_UNREADABLE', `sending ${found.descriptor.digest}`);
    rooms.log.warn({ digest: found.descriptor.digest, code }, message);
  }
  return reply;
}

function lengthHeaders({ body: content, descriptor, partial }: Answer): Record<string, string> {
  const { start, end } = content ?? { start: 0, end: descriptor.size };
  return {
    'content-length': String(end - start),
    ...(partial ? { 'content-range': `bytes ${start}-${end - 1}/${descriptor.size}` } : {}),
  };
}

const body = (code: string, message: string, detail?: object): object => ({
  errors: [{ code, message, ...(detail ? { detail } : {}) }],
});

function sendError(log: Log, error: unknown, reply: FastifyReply): FastifyReply {
  const status = (error as { statusCode?: number }).statusCode;
  // What fastify itself refuses (a bad URL, headers too large) is the client's mistake.
  const said =
    !(error instanceof MirrorError) && status && status < 500
      ? new MirrorError('REQUEST_INVALID', (error as Error).message)
      : asMirrorError(error, 'STORE_UNAVAILABLE', 'answering a request');
  if (said.kind !== 'absent') log.info({ code: said.code }, said.message);
  const number = said.code === 'METHOD_UNSUPPORTED' ? 405 : said.code === 'RANGE_INVALID' ? 416 : STATUS[said.kind];
  // Not found looks the same whatever the reason; the reason is in the log.
  const message = number === 404 ? 'not here' : said.message;
  const code = number === 404 ? 'NOT_FOUND' : (SPEC_CODE[number] ?? said.code);
  // What policy refuses is told with its reason: the code, and the rule.
  const detail = said.kind === 'denied' ? { code: said.code, ...said.detail } : undefined;
  return reply.code(number).send(body(code, message, detail));
}
