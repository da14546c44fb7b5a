/**
 * One HTTP request from a machine of the test's network, by curl. Promises: the answer as it came, cut bodies included,
 * within a deadline. Refuses to know what is asked.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './processes.ts';

export interface Answer {
  /** 0 where no answer came at all. */
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** True where the body ended before its Content-Length, or the connection was reset. */
  readonly cut: boolean;
  /** Seconds, from the start to the end of the answer. */
  readonly seconds: number;
}

export interface Asking {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  /** The path of a file that is sent as the request's body. */
  readonly upload?: string;
  /** Seconds; the answer is cut after that. */
  readonly timeout?: number;
}

const TIMEOUT_S = 60;

/** Asks `url` from inside `netns` (the machine's own network where undefined). Never throws for what the server does. */
export async function request(netns: string | undefined, url: string, asking: Asking = {}): Promise<Answer> {
  const folder = await mkdtemp(join(tmpdir(), 'pinnace-http-'));
  const [head, body] = [join(folder, 'head'), join(folder, 'body')];
  const { method = 'GET', headers = {}, upload, timeout = TIMEOUT_S } = asking;
  const verb = method === 'HEAD' ? ['--head'] : ['--request', method];
  const sent = upload === undefined ? [] : ['--data-binary', `@${upload}`];
  const fields = Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`]);
  const files = ['--dump-header', head, '--output', body, '--write-out', '%{http_code} %{exitcode} %{time_total}'];
  const common = ['--silent', '--path-as-is', '--noproxy', '*', '--max-time', `${timeout}`];
  const argv = ['curl', ...common, ...verb, ...fields, ...sent, ...files, url];
  try {
    // curl's own exit code is in what it writes out; `|| true` by sh, so that a cut body is an answer as well.
    const around = netns === undefined ? {} : { netns };
    const told = await run(['sh', '-c', '"$@" || true', 'sh', ...argv], around);
    const [status = '0', exit = '0', seconds = '0'] = told.trim().split(' ');
    const lines = (await readFile(head, 'latin1').catch(() => '')).split('\r\n').filter(line => line.includes(':'));
    const pairs = lines.map(line => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trim(),
    ]);
    return {
      status: Number(status),
      headers: Object.fromEntries(pairs) as Record<string, string>,
      body: method === 'HEAD' ? Buffer.alloc(0) : await readFile(body).catch(() => Buffer.alloc(0)),
      cut: exit !== '0',
      seconds: Number(seconds),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
