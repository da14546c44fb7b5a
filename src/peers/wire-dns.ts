/** Names to addresses, by the machine's own name servers. Promises: IPv4 first, and what one family lacks does not fail the other. */
import { resolve4, resolve6 } from 'node:dns/promises';

/** All addresses of `host`. Rejects where there is none of either family. */
export async function resolveHost(host: string): Promise<readonly string[]> {
  const found = await Promise.allSettled([resolve4(host), resolve6(host)]);
  const hosts = found.flatMap(one => (one.status === 'fulfilled' ? one.value : []));
  if (hosts.length === 0 && found[0]?.status === 'rejected') throw found[0].reason;
  return hosts;
}
