/** The yardsticks alone: what this machine does without Pinnace. */
import type { Bench } from './ground.ts';
import { figureOf } from './report.ts';
import { race } from './rounds.ts';
import { startYardsticks } from './yardsticks.ts';

export const yardsticksBench: Bench = {
  name: 'yardsticks',
  summary: 'nginx and curl alone: what this machine can do',
  async run(ground) {
    const image = await ground.image(ground.layerBytes);
    const yardsticks = await startYardsticks(ground, image);
    const contenders = [yardsticks.proxied, yardsticks.proxiedHashed, yardsticks.local];
    const samples = await race(contenders, { ...ground, warm: 1 });
    const figures = contenders.map(({ name, bytes }) => figureOf(name, bytes, samples.get(name)!));
    return { figures, goals: [], notes: yardsticks.notes, files: yardsticks.files };
  },
};
