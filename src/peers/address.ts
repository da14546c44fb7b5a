/**
 * Addresses as an operator or a node record writes them: `host:port`, `[ipv6]:port`, `dns:NAME:PORT`, and CIDR ranges.
 * Promises: what comes out is well formed and bounded. Refuses to know whether anybody is there.
 */
import { BlockList, isIP } from 'node:net';
import { MirrorError } from '../errors.ts';

/** Characters of one address; the longest DNS name, brackets and a port. */
export const ADDRESS_MAX_CHARACTERS = 264;

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Where to begin: one address, or all addresses of a name. */
export type Bootstrap = { readonly kind: 'address' | 'dns'; readonly host: string; readonly port: number };

const NAME =
  /^(?=.{1,253}$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*\.?$/;

/** Reads `host:port`; IPv6 stands in brackets. Port 0 only where `listening`. @throws CONFIG_INVALID */
export function parseAddress(text: string, listening = false): Address {
  const colon = text.length <= ADDRESS_MAX_CHARACTERS ? text.lastIndexOf(':') : -1;
  const host = text.slice(0, Math.max(colon, 0));
  const port = text.slice(colon + 1);
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  const fine = bare === host ? isIP(bare) === 4 || NAME.test(bare) : isIP(bare) === 6 && !bare.includes('%');
  if (!fine || !/^\d{1,5}$/.test(port) || Number(port) > 65_535 || (Number(port) === 0 && !listening))
    throw new MirrorError('CONFIG_INVALID', `not an address host:port: ${JSON.stringify(text.slice(0, 80))}`);
  return { host: bare, port: Number(port) };
}

/** `host:port`, with brackets around IPv6. */
export const formatAddress = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/** True for an address of this machine alone. */
export const isLoopback = (host: string): boolean => host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));

/** Reads a bootstrap entry. @throws CONFIG_INVALID */
export function parseBootstrap(text: string): Bootstrap {
  return text.startsWith('dns:')
    ? { kind: 'dns', ...parseAddress(text.slice(4)) }
    : { kind: 'address', ...parseAddress(text) };
}

/** A judge of remote hosts for `ranges` such as 10.0.0.0/8; none at all admits every address. @throws CONFIG_INVALID */
export function withinRanges(ranges: readonly string[]): (host: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [host = '', bits = '', ...more] = range.split('/');
    const family = host.includes('%') ? 0 : isIP(host);
    if (family === 0 || more.length > 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128))
      throw new MirrorError('CONFIG_INVALID', `not a range such as 10.0.0.0/8: ${JSON.stringify(range.slice(0, 80))}`);
    list.addSubnet(host, Number(bits), family === 4 ? 'ipv4' : 'ipv6');
  }
  return host => {
    const family = isIP(host);
    return ranges.length === 0 || (family !== 0 && list.check(host, family === 4 ? 'ipv4' : 'ipv6'));
  };
}
