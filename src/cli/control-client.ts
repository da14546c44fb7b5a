/** The operator's side of the control socket of a running node. */
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { resolve } from 'node:path';
import { type Code, kindOf, MirrorError } from '../errors.ts';
import type { Command } from './command.ts';
import { loadConfig } from './config.ts';

/** Where a command finds the node: these options, in this order. */
export const NODE_OPTIONS: Command['options'] = { config: { type: 'string' }, socket: { type: 'string' } };
export const NODE_USAGE = `  --config FILE   the node's configuration (default /etc/pinnace/config.yaml)
  --socket PATH   its control socket instead
`;
export const CONFIG_DEFAULT = '/etc/pinnace/config.yaml';
/** The name of the control socket in a state folder. */
export const CONTROL_SOCKET = 'control.sock';

/** The control socket that a command line means. @throws CONFIG_INVALID, FILE_UNREADABLE */
export async function socketOf(values: Readonly<Record<string, unknown>>): Promise<string> {
  if (typeof values.socket === 'string') return resolve(values.socket);
  const file = typeof values.config === 'string' ? values.config : CONFIG_DEFAULT;
  const { stateDir } = await loadConfig(file, path => readFile(path, 'utf8'));
  return resolve(stateDir, CONTROL_SOCKET);
}

interface Asked {
  readonly socket: string;
  readonly path: string;
  /** A POST where it is there. */
  readonly body?: object;
  /** Called with each line but the last. */
  readonly line?: (step: unknown) => void;
  readonly signal?: AbortSignal;
}

/** One question to the node. @throws STORE_UNAVAILABLE where it does not run, or the error that it answered */
export function ask<T>({ socket, path, body, line, signal }: Asked): Promise<T> {
  return new Promise((done, failed) => {
    const client = request(
      {
        socketPath: socket,
        path,
        method: body ? 'POST' : 'GET',
        headers: body ? { 'content-type': 'application/json' } : {},
        ...(signal ? { signal } : {}),
      },
      response => {
        let rest = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          rest += part;
          if (!line) return;
          const lines = rest.split('\n');
          rest = lines.pop() ?? '';
          for (const one of lines)
            if (one.startsWith('{"result"') || one.startsWith('{"error"')) rest = one;
            else line(JSON.parse(one));
        });
        response.on('error', failed);
        response.on('end', () => {
          try {
            done(answerOf(JSON.parse(rest), line !== undefined) as T);
          } catch (error) {
            failed(error as Error);
          }
        });
      },
    );
    client.on('error', (error: NodeJS.ErrnoException) => {
      const away = error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
      const what = away ? `no node listens on ${socket}; start it with pinnace run` : `${socket}: ${error.message}`;
      failed(new MirrorError('STORE_UNAVAILABLE', what, { cause: error }));
    });
    client.end(body ? JSON.stringify(body) : undefined);
  });
}

function answerOf(answer: unknown, wrapped: boolean): unknown {
  const { error, result } = answer as { error?: { code: Code; message: string }; result?: unknown };
  if (error && kindOf(error.code)) throw new MirrorError(error.code, error.message);
  return wrapped ? result : answer;
}
