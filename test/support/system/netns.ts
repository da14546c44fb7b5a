/**
 * Machines for system tests: network namespaces joined by a bridge. Promises: names are this process's own, the bridge
 * lives in a namespace too (so the machine's own network is untouched and nothing leaves it), and `remove` takes away what
 * was made and nothing else. Refuses to know what runs inside.
 */
import { run } from './processes.ts';

/** One machine of the network. */
export interface Host {
  /** The name of its network namespace. */
  readonly netns: string;
  /** Its IPv4 address. */
  readonly address: string;
  /** Limits what it sends and what it receives, each to `mbit` Mbit/s (token bucket). */
  shape(mbit: number): Promise<void>;
  /** Takes its link away: nobody answers, nothing is refused. */
  cut(): Promise<void>;
  /** Gives its link back. */
  join(): Promise<void>;
}

/** A bridge and the machines on it. */
export interface Network {
  /** The subnet, for example `10.77.12.0/24`. */
  readonly subnet: string;
  /** Adds a machine; `label` is a short word, for the name. */
  add(label: string): Promise<Host>;
  /** Removes all namespaces of this network. */
  remove(): Promise<void>;
}

/** Milliseconds that a packet may wait in a shaped link's queue. */
const SHAPED_LATENCY_MS = 50;
/** Bursts are a hundredth of a second of the rate, and at least this. */
const SHAPED_BURST_BYTES = 64 * 1024;
let made = 0;

const ip = (netns: string, ...args: string[]): Promise<string> => run(['ip', '-n', netns, ...args]);

async function shape(netns: string, device: string, mbit: number): Promise<void> {
  const burst = Math.max(SHAPED_BURST_BYTES, Math.ceil((mbit * 1e6) / 8 / 100));
  const bucket = ['tbf', 'rate', `${mbit}mbit`, 'burst', `${burst}`, 'latency', `${SHAPED_LATENCY_MS}ms`];
  await run(['tc', '-n', netns, 'qdisc', 'replace', 'dev', device, 'root', ...bucket]);
}

async function addHost(bridge: string, prefix: string, label: string, index: number, subnet: string): Promise<Host> {
  const netns = `${prefix}-${label}`;
  const [port, device] = [`p${index}`, 'eth0'];
  const address = subnet.replace('.0/24', `.${10 + index}`);
  await run(['ip', 'netns', 'add', netns]);
  await ip(bridge, 'link', 'add', port, 'type', 'veth', 'peer', 'name', device, 'netns', netns);
  await ip(bridge, 'link', 'set', port, 'master', 'br0', 'up');
  await ip(netns, 'addr', 'add', `${address}/24`, 'dev', device);
  await ip(netns, 'link', 'set', device, 'up');
  await ip(netns, 'link', 'set', 'lo', 'up');
  return {
    netns,
    address,
    shape: async mbit => {
      await shape(netns, device, mbit);
      await shape(bridge, port, mbit);
    },
    // The port on the bridge goes down, not the machine's own device, which would lose its routes.
    cut: async () => void (await ip(bridge, 'link', 'set', port, 'down')),
    join: async () => void (await ip(bridge, 'link', 'set', port, 'up')),
  };
}

/** Makes a network without machines. Needs root. */
export async function makeNetwork(): Promise<Network> {
  const prefix = `pn${process.pid}x${made}`;
  const subnet = `10.77.${(process.pid + made++) % 256}.0/24`;
  const bridge = `${prefix}-br`;
  const names: string[] = [];
  const remove = async (): Promise<void> => {
    for (const name of names.splice(0).reverse()) await run(['ip', 'netns', 'del', name]);
  };
  try {
    names.push(bridge);
    await run(['ip', 'netns', 'add', bridge]);
    await ip(bridge, 'link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0');
    await ip(bridge, 'link', 'set', 'br0', 'up');
  } catch (error) {
    await remove().catch(() => undefined);
    throw error;
  }
  return {
    subnet,
    async add(label) {
      const index = names.length;
      names.push(`${prefix}-${label}`);
      return addHost(bridge, prefix, label, index, subnet);
    },
    remove,
  };
}
