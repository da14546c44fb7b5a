/** `pinnace version`: what is running, on what. */
import { readFileSync } from 'node:fs';
import type { Command } from './command.ts';

/** The version in package.json. */
export const VERSION = (): string =>
  (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;

export const version: Command = {
  name: 'version',
  summary: 'print the version',
  usage: 'pinnace version [--json]',
  options: {},
  run(_, io) {
    const text = {
      pinnace: VERSION(),
      node: process.version,
      openssl: process.versions.openssl,
      platform: `${process.platform}-${process.arch}`,
    };
    io.out(
      io.json
        ? `${JSON.stringify(text)}\n`
        : `pinnace ${text.pinnace} (Node ${text.node}, OpenSSL ${text.openssl}, ${text.platform})\n`,
    );
    return Promise.resolve();
  },
};
