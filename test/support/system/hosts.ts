/**
 * containerd's certs.d: which endpoints it asks for a registry. Promises: the files say plainly what a test means; they
 * are read by containerd at each pull, so no restart is needed.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Who is asked for a registry's content. */
export interface Endpoints {
  /** `host:port` of the mirror (plain http); left out: none. */
  readonly mirror?: string;
  /** `host:port` of the registry itself (plain http); left out: containerd looks the registry's name up, in vain. */
  readonly upstream?: string;
  /** What the mirror is asked for; both where left out. */
  readonly capabilities?: readonly ('pull' | 'resolve')[];
  /** A header that containerd sends to the mirror. */
  readonly header?: readonly [name: string, value: string];
}

const table = (endpoint: string, capabilities: readonly string[]): string =>
  `[host."http://${endpoint}"]\n  capabilities = ${JSON.stringify(capabilities)}\n`;

/** The text of hosts.toml. */
export function hostsToml({ mirror, upstream, capabilities = ['pull', 'resolve'], header }: Endpoints): string {
  const lines = upstream ? [`server = "http://${upstream}"\n`] : [];
  if (mirror) {
    lines.push(table(mirror, capabilities));
    if (header) lines.push(`  [host."http://${mirror}".header]\n    ${header[0]} = ${JSON.stringify(header[1])}\n`);
  }
  // A `server` alone is ignored by containerd before 2.0: the registry stands in a table of its own as well.
  if (upstream) lines.push(table(upstream, ['pull', 'resolve']));
  return lines.join('\n');
}

/** Writes what `registry` is asked of into the certs.d folder. */
export async function writeHosts(certs: string, registry: string, endpoints: Endpoints): Promise<void> {
  await mkdir(join(certs, registry), { recursive: true });
  await writeFile(join(certs, registry, 'hosts.toml'), hostsToml(endpoints));
}

/** Removes what was written for `registry`. */
export const removeHosts = (certs: string, registry: string): Promise<void> =>
  rm(join(certs, registry), { recursive: true, force: true });
