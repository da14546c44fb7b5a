/**
 * The report of a soak: the samples as JSON lines, a table and what was done as text, and three charts over time as PNG,
 * drawn by gnuplot. Promises: the folder has the report although the chart could not be drawn, and says why.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LeftOut, needPrograms } from '../bench/packages.ts';
import type { Processes } from '../bench/processes.ts';
import type { Done } from './churn.ts';
import type { Sample } from './samples.ts';
import type { Verdict } from './verdict.ts';

const MIB = 1024 * 1024;
const MINUTE_MS = 60_000;

export interface Soaked {
  readonly seed: string;
  readonly minutes: number;
  readonly machine: string;
  readonly samples: readonly Sample[];
  readonly verdicts: readonly Verdict[];
  readonly done: Done;
}

/** Writes `samples.jsonl`, `report.json` and `summary.txt` into `folder`; answers with the summary. */
export async function writeReport(folder: string, soaked: Soaked): Promise<string> {
  const { samples, ...rest } = soaked;
  const text = summary(soaked);
  await writeFile(join(folder, 'samples.jsonl'), samples.map(sample => `${JSON.stringify(sample)}\n`).join(''));
  await writeFile(join(folder, 'report.json'), `${JSON.stringify(rest, undefined, 2)}\n`);
  await writeFile(join(folder, 'summary.txt'), text);
  return text;
}

function summary({ seed, minutes, machine, verdicts, done }: Soaked): string {
  const rows = [
    [
      'node',
      'ran',
      'memory MiB: middle',
      'last third',
      'most',
      'handles: before',
      'after',
      'most',
      'sockets: before',
      'after',
      'most',
    ],
    ...verdicts.map(({ node, steady, memory, handles, sockets }) => [
      node,
      steady ? 'through' : 'with breaks',
      ...[memory.middle, memory.last, memory.most].map(bytes => (bytes / MIB).toFixed(0)),
      ...[handles.before, handles.after, handles.most, sockets.before, sockets.after, sockets.most].map(String),
    ]),
  ];
  const widths = rows[0]!.map((_, at) => Math.max(...rows.map(row => row[at]!.length)));
  const table = rows.map(row => row.map((cell, at) => cell.padStart(widths[at]!)).join('  '));
  const wrong = [...verdicts.flatMap(({ node, wrong: all }) => all.map(one => `${node}: ${one}`)), ...done.failed];
  return `${[
    `${minutes} minutes of churn, seed ${seed}, on ${machine}`,
    `${done.images} images imported, ${done.removed} removed; ${done.pulls} pulls, every content hashed, ` +
      `${(done.bytes / MIB).toFixed(0)} MiB; ${done.brokenOff} broken off as their node went, ${done.failed.length} failed`,
    `nodes: ${done.stops} stopped, ${done.kills} killed, all started again`,
    '',
    ...table,
    '',
    ...(wrong.length ? ['NOT FLAT:', ...wrong] : ['flat']),
  ].join('\n')}\n`;
}

/** Draws `soak.png` into `folder`. Answers why not, where it cannot. */
export async function drawChart(
  folder: string,
  { samples }: Soaked,
  processes: Processes,
): Promise<string | undefined> {
  const nodes = [...new Set(samples.map(({ node }) => node))];
  const data = nodes.map(name => lines(samples.filter(({ node }) => node === name))).join('\n\n\n');
  await writeFile(join(folder, 'soak.dat'), `${data}\n`);
  await writeFile(join(folder, 'soak.gnuplot'), script(nodes));
  try {
    const { gnuplot } = await needPrograms(processes, { gnuplot: 'gnuplot-nox' }, text => console.log(text));
    await processes.run('env', ['-C', folder, gnuplot, 'soak.gnuplot']);
    return undefined;
  } catch (error) {
    if (error instanceof LeftOut) return error.message;
    throw error;
  }
}

/** One block of data; an empty line, which breaks the curve, where the process is another one. */
function lines(samples: readonly Sample[]): string {
  return samples
    .map(({ at, pid, memory, handles, sockets }, index) => {
      const gap = index > 0 && samples[index - 1]!.pid !== pid ? '\n' : '';
      return `${gap}${(at / MINUTE_MS).toFixed(3)} ${(memory / MIB).toFixed(1)} ${handles} ${sockets}`;
    })
    .join('\n');
}

function script(nodes: readonly string[]): string {
  const panels = ['memory, MiB', 'open handles', 'sockets'].map((title, at) => {
    const curves = nodes.map(
      (name, index) => `'soak.dat' index ${index} using 1:${at + 2} with lines lw 2 title '${name}'`,
    );
    return `set title '${title}'\nplot ${curves.join(', \\\n     ')}`;
  });
  return `${[
    "set terminal pngcairo size 1200,1500 font 'sans,11'",
    "set output 'soak.png'",
    'set multiplot layout 3,1',
    "set xlabel 'minutes of churn'",
    'set yrange [0:*]',
    'set grid',
    'set key outside right',
    ...panels,
    'unset multiplot',
  ].join('\n')}\n`;
}
