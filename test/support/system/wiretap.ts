/**
 * What goes over a wire between an HTTP client and a server: a port that passes everything on and notes each request, its
 * answer, and how that ended. Promises: bytes and FINs pass as they come, in both directions; times are those of the wire.
 * It runs as a process, `node wiretap.ts --listen HOST:PORT --to HOST:PORT`, inside a machine's namespace, and writes a line
 * of JSON for each answer. Both ports have as many digits, since the Host header is rewritten in place.
 */
import { createServer, connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Host } from './netns.ts';
import { start, until } from './processes.ts';

/** One request and what came of it. */
export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  /** 0 where no answer came. */
  readonly status: number;
  /** Bytes of the body that came, and that were announced. */
  readonly bytes: number;
  readonly length: number;
  /** `whole`; cut short by the server with `fin` or `reset`; or left by the `client`. */
  readonly end: 'whole' | 'fin' | 'reset' | 'client';
  /** Milliseconds from the request to the headers, and to the end of the answer. */
  readonly headersMs: number;
  readonly endMs: number;
}

export interface Wiretap {
  /** Where clients ask. */
  readonly endpoint: string;
  /** What was exchanged so far, in the order of the ends. */
  exchanges(): readonly Exchange[];
}

const HEAD_END = '\r\n\r\n';
const LISTENS_MS = 10_000;

/** Listens at `endpoint` on `host` for the server at `to`; ends with the test through `atEnd`. */
export async function startWiretap(
  host: Host,
  endpoint: string,
  to: string,
  atEnd: (work: () => Promise<void>) => void,
): Promise<Wiretap> {
  const argv = [process.execPath, fileURLToPath(import.meta.url), '--listen', endpoint, '--to', to];
  const started = await start(argv, { netns: host.netns });
  atEnd(() => started.stop());
  await until(
    'the wiretap listens',
    LISTENS_MS,
    async () => started.log().includes('listening'),
    () => started.log(),
  );
  return {
    endpoint,
    exchanges: () =>
      started
        .log()
        .split('\n')
        .flatMap(line => (line.startsWith('{') && line.endsWith('}') ? [JSON.parse(line) as Exchange] : [])),
  };
}

/** Reads the two directions of one connection. */
class Listener {
  #begun: { line: readonly string[]; range: string | undefined; at: number } | undefined;
  #head = '';
  #answer: { status: number; length: number; headersMs: number; bytes: number } | undefined;

  asked(bytes: Buffer): void {
    const text = bytes.toString('latin1');
    if (!text.includes(HEAD_END)) return;
    const range = /^range: (.*)$/im.exec(text)?.[1]?.trim();
    this.#begun = { line: text.slice(0, text.indexOf('\r\n')).split(' '), range, at: performance.now() };
  }

  answered(bytes: Buffer): void {
    let body = bytes.length;
    if (!this.#answer) {
      this.#head += bytes.toString('latin1');
      const end = this.#head.indexOf(HEAD_END);
      if (end < 0) return;
      body = this.#head.length - end - HEAD_END.length;
      const status = Number(this.#head.split(' ')[1]);
      const length = Number(/^content-length: (\d+)/im.exec(this.#head)?.[1] ?? 0);
      this.#answer = { status, length, headersMs: this.#elapsed(), bytes: 0 };
      this.#head = '';
    }
    this.#answer.bytes += body;
    if (this.#answer.bytes >= this.#answer.length || this.#begun?.line[0] === 'HEAD') this.ended('whole');
  }

  ended(end: Exchange['end']): void {
    if (!this.#begun) return;
    const [method = '', path = ''] = this.#begun.line;
    const endMs = this.#elapsed();
    const answer = this.#answer ?? { status: 0, length: 0, headersMs: endMs, bytes: 0 };
    console.log(JSON.stringify({ method, path, range: this.#begun.range, ...answer, end, endMs } satisfies Exchange));
    this.#begun = undefined;
    this.#answer = undefined;
  }

  #elapsed(): number {
    return Math.round(performance.now() - (this.#begun?.at ?? 0));
  }
}

/** Passes bytes on at the pace of the slower side, and the end as an end. */
function pass(from: Socket, into: Socket, note: (bytes: Buffer) => Buffer, ended: () => void): void {
  from.on('data', (bytes: Buffer) => {
    if (!into.write(note(bytes))) from.pause();
  });
  into.on('drain', () => from.resume());
  from.on('end', () => {
    ended();
    into.end();
  });
}

function listen(at: string, to: string): void {
  const [host = '', port = ''] = at.split(':');
  const [toHost = '', toPort = ''] = to.split(':');
  const server = createServer({ allowHalfOpen: true }, client => {
    const upstream = connect({ host: toHost, port: Number(toPort), allowHalfOpen: true });
    const listener = new Listener();
    const asked = (bytes: Buffer): Buffer => {
      listener.asked(bytes);
      return Buffer.from(bytes.toString('latin1').replaceAll(`Host: ${at}`, `Host: ${to}`), 'latin1');
    };
    const answered = (bytes: Buffer): Buffer => {
      listener.answered(bytes);
      return bytes;
    };
    pass(client, upstream, asked, () => listener.ended('client'));
    pass(upstream, client, answered, () => listener.ended('fin'));
    upstream.on('error', () => {
      listener.ended('reset');
      client.resetAndDestroy();
    });
    client.on('error', () => {
      listener.ended('client');
      upstream.destroy();
    });
  });
  server.listen(Number(port), host, () => console.log('listening'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { listen: { type: 'string' }, to: { type: 'string' } } });
  if (values.listen?.length !== values.to?.length || !values.listen || !values.to)
    throw new Error('--listen HOST:PORT --to HOST:PORT, of one length');
  listen(values.listen, values.to);
}
