/**
 * The daemon's configuration: one strict YAML file. Promises: an unknown key is an error with its path; paths come out
 * absolute. Refuses to know what the settings do. deploy/config.example.yaml shows every key.
 */
import { dirname, resolve } from 'node:path';
import { hasCode, MirrorError } from '../errors.ts';
import { parseNodeName } from '../oci/oci.ts';
import { withinRanges } from '../peers/address.ts';
import { Fields, parseYaml } from '../yaml.ts';

export interface Config {
  readonly node: string;
  readonly stateDir: string;
  readonly tokenFile: string;
  readonly policyFile: string;
  readonly store:
    | { readonly kind: 'layout' }
    | { readonly kind: 'containerd'; readonly socket: string; readonly namespaces: string[] };
  /** `listen` is `host:port`; who asks must show the token in `clientTokenFile`, where there is one. */
  readonly mirror: { readonly listen: string; readonly clientTokenFile?: string };
  readonly peers: {
    readonly listen: string;
    readonly lanePort: number;
    readonly advertise: string[];
    readonly bootstrap: string[];
    readonly peerCidrs: string[];
  };
  readonly spool: { readonly maxBytes: number };
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' };
}

/** The folder of the embedded store in a state folder. */
export const LAYOUT_DIR = 'layout';
/** The folder of attachments in stateDir. */
export const ATTACHMENTS_DIR = 'attachments';

const UNITS: Readonly<Record<string, number>> = { MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
const SPOOL_DEFAULT = '10GiB';
const SPOOL_MAX_BYTES = 2 ** 50;
const ADDRESS = /^(?:[a-z0-9.-]+|\[[0-9a-f:.]+\]):([0-9]{1,5})$/;
const PORT_MAX = 65_535;
/** Hosts that only this machine reaches. */
const LOOPBACK = /^(?:localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1)$/;
const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** Splits `host:port`; IPv6 hosts stand in brackets. */
export function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}

/** Parses the text of a configuration file. @throws YAML_INVALID, CONFIG_INVALID */
export function parseConfig(text: string, file: string): Config {
  const at = (path: string): string => resolve(dirname(file), path);
  const top = new Fields(parseYaml(text, file), `${file}: `, 'CONFIG_INVALID');
  const stateDir = at(top.string('stateDir'));
  const config: Config = {
    node: name(top),
    stateDir,
    tokenFile: at(top.string('tokenFile', resolve(stateDir, 'token'))),
    policyFile: at(top.string('policyFile')),
    store: store(top),
    mirror: mirror(top, at),
    peers: peers(top),
    spool: { maxBytes: spool(top) },
    log: { level: level(top) },
  };
  top.end();
  return config;
}

function name(top: Fields): string {
  try {
    return parseNodeName(top.string('node'));
  } catch (error) {
    if (hasCode(error, 'NAME_INVALID')) return top.fail('node', error.message);
    throw error;
  }
}

const isAddress = (text: string): boolean => Number(ADDRESS.exec(text)?.[1] ?? Infinity) <= PORT_MAX;

function address(fields: Fields, key: string): string {
  const value = fields.string(key);
  if (!isAddress(value)) fields.fail(key, 'must be host:port');
  return value;
}

function store(top: Fields): Config['store'] {
  const fields = top.fields('store');
  const kind = fields?.string('kind') ?? 'layout';
  if (kind === 'layout') {
    fields?.end();
    return { kind };
  }
  if (kind !== 'containerd') return fields!.fail('kind', 'must be layout or containerd');
  const socket = fields!.string('socket', '/run/containerd/containerd.sock');
  const namespaces = fields!.strings('namespaces', ['k8s.io']);
  fields!.end();
  return { kind, socket, namespaces };
}

function mirror(top: Fields, at: (path: string) => string): Config['mirror'] {
  const fields = top.fields('mirror') ?? top.fail('mirror', 'is missing');
  const listen = address(fields, 'listen');
  // Whoever reaches it may pull whatever this node has, shared or not, and is asked for no name.
  if (!LOOPBACK.test(splitAddress(listen).host))
    fields.fail(
      'listen',
      'must be on loopback (127.0.0.1, [::1] or localhost): who reaches it pulls as this node does',
    );
  const tokenFile = fields.string('clientTokenFile', '');
  fields.end();
  return { listen, ...(tokenFile ? { clientTokenFile: at(tokenFile) } : {}) };
}

function peers(top: Fields): Config['peers'] {
  const fields = top.fields('peers') ?? top.fail('peers', 'is missing');
  const listen = address(fields, 'listen');
  const lanePort = fields.integer('lanes', { min: 0, max: PORT_MAX }, 5002);
  const advertise = fields.strings('advertise', []);
  const bootstrap = fields.strings('bootstrap', []);
  for (const entry of advertise)
    if (!isAddress(entry)) fields.fail('advertise', `must be a list of host:port, not ${entry}`);
  for (const entry of bootstrap)
    if (!isAddress(entry.replace(/^dns:/, '')))
      fields.fail('bootstrap', `must be a list of host:port or dns:NAME:PORT, not ${entry}`);
  const peerCidrs = ranges(fields);
  fields.end();
  return { listen, lanePort, advertise, bootstrap, peerCidrs };
}

function ranges(fields: Fields): string[] {
  const value = fields.strings('peerCidrs', []);
  try {
    withinRanges(value);
    return value;
  } catch (error) {
    if (hasCode(error, 'CONFIG_INVALID')) return fields.fail('peerCidrs', error.message);
    throw error;
  }
}

function spool(top: Fields): number {
  const fields = top.fields('spool');
  const text = fields?.string('maxBytes', SPOOL_DEFAULT) ?? SPOOL_DEFAULT;
  const [, number, unit] = /^([0-9]{1,6})(MiB|GiB|TiB)$/.exec(text) ?? [];
  const bytes = Number(number) * (UNITS[unit ?? ''] ?? 0);
  if (!(bytes > 0 && bytes <= SPOOL_MAX_BYTES))
    throw fields!.fail('maxBytes', 'must be a size such as 512MiB or 10GiB');
  fields?.end();
  return bytes;
}

function level(top: Fields): Config['log']['level'] {
  const fields = top.fields('log');
  const value = fields?.string('level', 'info') ?? 'info';
  fields?.end();
  const known = LEVELS.find(one => one === value);
  return known ?? fields!.fail('level', `must be one of ${LEVELS.join(', ')}`);
}

/** @throws FILE_UNREADABLE, YAML_INVALID, CONFIG_INVALID */
export async function loadConfig(file: string, read: (file: string) => Promise<string>): Promise<Config> {
  try {
    return parseConfig(await read(file), file);
  } catch (error) {
    if (error instanceof MirrorError) throw error;
    throw new MirrorError('FILE_UNREADABLE', `cannot read the configuration ${file}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
