/**
 * `npm start`: the main job, on this machine alone. Three nodes, a real image, no registry anywhere; then two lies told by
 * hostile peers. Every value of the result was measured here; the exit code is 0 only if all of it came out.
 */
import { parseArgs } from 'node:util';
import { ProcessCluster } from '../nodes.ts';
import { Screen } from './screen.ts';
import { chunkLie, mainJob, proofLie } from './story.ts';

const { values } = parseArgs({ options: { json: { type: 'boolean' }, keep: { type: 'boolean' } } });
const screen = new Screen(values.json === true);
const began = performance.now();
const cluster = await ProcessCluster.make(7);
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
const interrupted = new Promise<never>((_, failed) =>
  stop.signal.addEventListener('abort', () => failed(new Error('interrupted'))),
);
interrupted.catch(() => undefined);

async function story(): Promise<boolean> {
  screen.say(`State: ${cluster.dir} (0700)`);
  const job = await mainJob(cluster, screen);
  const lies = [await chunkLie(cluster, screen), await proofLie(cluster, screen)];
  const seconds = Math.round((performance.now() - began) / 100) / 10;
  const { nodes, image, digest, bytes, source, byTag, byDigest } = job;
  const said = lies.map(({ kind, told, delivered, named, completed }) => ({ kind, told, delivered, named, completed }));
  const result = { nodes, image, digest, bytes, seconds, source, byTag, byDigest, lies: said };
  screen.table(job, lies, seconds);
  if (values.json) console.log(JSON.stringify(result));
  const [first, second] = lies;
  const lied =
    lies.every(lie => lie.told && !lie.delivered && lie.named) &&
    first?.completed === true &&
    second?.completed === false;
  return source === 'peer' && byTag && byDigest && nodes === 3 && lied;
}

try {
  const good = await Promise.race([story(), interrupted]);
  if (!good) console.error('The demo did not come out as it should; see above.');
  process.exitCode = good ? 0 : 1;
  if (values.keep && good) {
    await Promise.all(cluster.nodes.slice(3).map(node => node.stop()));
    screen.keep(cluster);
    await interrupted.catch(() => undefined);
  }
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  await cluster.remove();
  screen.say('State folder removed, all nodes ended.');
}
