/** What the demo shows: lines, progress on a terminal, a table. Silent where the result is JSON. */
import { bytesText, shortDigest } from '../../../src/cli/table.ts';
import { progress } from '../../../src/cli/progress.ts';
import { realWorld } from '../../../src/world.ts';
import type { ProcessCluster } from '../nodes.ts';
import type { Job, LieResult } from './story.ts';

export class Screen {
  readonly #quiet: boolean;
  readonly bar: ReturnType<typeof progress>;

  constructor(quiet: boolean) {
    this.#quiet = quiet;
    this.bar = progress(realWorld, !quiet && process.stderr.isTTY === true, text => void process.stderr.write(text));
  }

  say(text: string): void {
    this.bar.end();
    if (!this.#quiet) console.log(text);
  }

  table(job: Job, lies: readonly LieResult[], seconds: number): void {
    const yes = (value: boolean): string => (value ? 'yes' : 'no');
    this.say(
      `\n${job.image}  ${shortDigest(job.digest)}  ${bytesText(job.bytes)}, ${job.nodes} nodes, no registry, ${seconds} s in all\n`,
    );
    this.say(row('PULL', 'AT', 'FROM', 'SECONDS', 'FIRST LAYER BYTE', 'HOW'));
    for (const pull of job.pulls)
      this.say(
        row(pull.by, pull.node, pull.from, pull.seconds.toFixed(2), `${pull.firstByteMs.toFixed(0)} ms`, pull.how),
      );
    this.say('');
    this.say(row('LIE', 'TOLD', 'DELIVERED', 'LIAR NAMED', 'PULL COMPLETED', 'WHAT HAPPENED'));
    for (const lie of lies)
      this.say(row(lie.kind, yes(lie.told), yes(lie.delivered), yes(lie.named), yes(lie.completed), lie.detail));
    this.say('');
  }

  /** Leaves the honest nodes up and says how to use them. */
  keep(cluster: ProcessCluster): void {
    this.say('Three nodes are up. Try:');
    for (const node of cluster.nodes.slice(0, 3))
      this.say(`  npx pinnace status --config ${node.config}     # ${node.name}, mirror at ${node.mirror}`);
    const [, second] = cluster.nodes;
    if (second) this.say(`  npx pinnace why demo.test/pinnace/demo:1 --config ${second.config}`);
    this.say('Ctrl-C ends them and removes their state.');
  }
}

const WIDTHS = [10, 10, 12, 12, 18];
const row = (...cells: string[]): string =>
  cells
    .map((cell, at) => cell.padEnd(WIDTHS[at] ?? 0))
    .join('')
    .trimEnd();
