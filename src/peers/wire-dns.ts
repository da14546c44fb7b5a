/** Names to addresses, as the machine itself resolves them: its hosts file and its name servers; no cluster DNS is needed. */
import { lookup } from 'node:dns/promises';

/** All addresses of `host`, of both families. Rejects where there is none. */
export async function resolveHost(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true, order: 'ipv4first' });
  return found.map(({ address }) => address);
}
