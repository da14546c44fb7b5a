/**
 * A process that makes handshakes which must be refused, one after the other and several at once, against both ports of
 * nodes: `node attacker.ts --seconds N --control HOST:PORT … --lanes HOST:PORT …`. At the end, or at SIGTERM, it prints how
 * many it made, as JSON.
 */
import { parseArgs } from 'node:util';
import { tryControl, tryLane } from './refused-handshakes.ts';

/** Handshakes under way at once with one port. */
const AT_ONCE = 8;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string' },
    control: { type: 'string', multiple: true, default: [] },
    lanes: { type: 'string', multiple: true, default: [] },
  },
});
let over = false;
const stop = (): void => {
  over = true;
};
process.on('SIGTERM', stop);
setTimeout(stop, Number(values.seconds) * 1000).unref();

type Attempt = (host: string, port: number) => Promise<boolean>;

async function attack(address: string, attempt: Attempt, count: { tried: number; answered: number }): Promise<void> {
  const { hostname, port } = new URL(`tcp://${address}`);
  while (!over) {
    count.tried += 1;
    if (await attempt(hostname, Number(port))) count.answered += 1;
  }
}

const counts = { control: { tried: 0, answered: 0 }, lanes: { tried: 0, answered: 0 } };
const several = (addresses: readonly string[], attempt: Attempt, count: { tried: number; answered: number }) =>
  addresses.flatMap(address => Array.from({ length: AT_ONCE }, () => attack(address, attempt, count)));
await Promise.all([
  ...several(values.control, tryControl, counts.control),
  ...several(values.lanes, tryLane, counts.lanes),
]);
process.stdout.write(`${JSON.stringify(counts)}\n`);
