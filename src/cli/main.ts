/**
 * From argv to work: finds the command, reads its options, runs it, and turns an error's kind into an exit code. Promises:
 * nothing is printed for machines but JSON on --json; an error says its code and what to do.
 */
import { parseArgs } from 'node:util';
import { asMirrorError, MirrorError } from '../errors.ts';
import { realWorld } from '../world.ts';
import { type Command, EXIT, type Io } from './command.ts';
import { commands } from './commands.ts';
import { furtherPress } from './interrupt.ts';

/** Names and summaries, of the commands that begin with `words` where there are any. */
const overview = (words = ''): string =>
  [
    'pinnace: a peer-to-peer registry mirror that passes on only what it can prove',
    '',
    ...(groupOf(words) ?? commands).map(({ name, summary }) => `  pinnace ${name.padEnd(18)} ${summary}`),
    '',
    'Every command takes --help, and --json where it prints results.',
    'Exit codes: 0 done, 1 a check found something, 64 wrong input, 3 denied, 4 absent, 5 hostile, 69 unavailable, 70 a defect.',
    '',
  ].join('\n');

const HELP = ['--help', '-h', 'help'];
/** What a defect exits with. */
const DEFECT = 70;

/** What a second Ctrl-C exits with: 128 and SIGINT's number. */
const INTERRUPTED = 130;

/** The commands that `words` is the first word of; undefined where there are none. */
function groupOf(words: string): readonly Command[] | undefined {
  const group = commands.filter(({ name }) => name.startsWith(`${words} `));
  return group.length ? group : undefined;
}

function find(argv: readonly string[]): { command: Command; rest: readonly string[] } | undefined {
  for (const words of [2, 1]) {
    const command = commands.find(({ name }) => name === argv.slice(0, words).join(' '));
    if (command) return { command, rest: argv.slice(words) };
  }
  return undefined;
}

/** Runs one command line in process; resolves to its exit code. */
export async function main(argv: readonly string[], io: Omit<Io, 'json'>): Promise<number> {
  let json = argv.includes('--json');
  try {
    const found = find(argv);
    if (!found) {
      io.out(helpFor(argv));
      return 0;
    }
    const { command, rest } = found;
    if (rest.includes('--help') || rest.includes('-h')) {
      io.out(`${command.summary}\n\n${command.usage.trimEnd()}\n`);
      return 0;
    }
    const { values, positionals } = parse(command, rest);
    json = values.json === true;
    return (await command.run({ values, positionals }, { ...io, json })) ?? 0;
  } catch (error) {
    if (isDefect(error)) {
      io.err(`pinnace: ${error.stack ?? error.message}\n`);
      return DEFECT;
    }
    const { code, kind, message } = asMirrorError(error, 'STORE_UNAVAILABLE', 'the command failed');
    if (json) io.out(`${JSON.stringify({ error: { code, kind, message } })}\n`);
    else io.err(`pinnace: ${message} (${code})\n`);
    return EXIT[kind];
  }
}

/** What is printed where no command is named. @throws USAGE where something else is */
function helpFor(argv: readonly string[]): string {
  const [first = '', second = '', ...more] = argv;
  if (!first || HELP.includes(first)) return overview();
  if (groupOf(first) && HELP.includes(second) && !more.length) return overview(first);
  const typed = argv.filter(word => !word.startsWith('-')).slice(0, 2);
  const where = groupOf(first) ? `pinnace ${first} --help` : 'pinnace --help';
  throw new MirrorError(
    'USAGE',
    `there is no command ${JSON.stringify((typed.length ? typed : argv).join(' '))}; see ${where}`,
  );
}

/** True for what no command throws on purpose: a broken assumption, or code that is wrong. */
const isDefect = (error: unknown): error is Error =>
  error instanceof TypeError ||
  error instanceof ReferenceError ||
  (error instanceof Error && !(error instanceof MirrorError) && error.message.startsWith('defect:'));

function parse(command: Command, rest: readonly string[]): ReturnType<typeof parseArgs> {
  try {
    const options = { ...command.options, json: { type: 'boolean' }, help: { type: 'boolean' } } as const;
    return parseArgs({ args: [...rest], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new MirrorError('USAGE', `${(error as Error).message}; see pinnace ${command.name} --help`);
  }
}

if (import.meta.main) {
  const stop = new AbortController();
  // What nobody catches is a defect wherever it happens; Node's own exit code for it is 1.
  process.on('uncaughtException', error => {
    process.stderr.write(`pinnace: ${error.stack ?? String(error)}\n`);
    process.exit(DEFECT);
  });
  const further = furtherPress(realWorld);
  process.on('SIGINT', () => (further() ? process.exit(INTERRUPTED) : stop.abort('SIGINT')));
  process.on('SIGTERM', () => stop.abort('SIGTERM'));
  process.exitCode = await main(process.argv.slice(2), {
    world: realWorld,
    out: text => void process.stdout.write(text),
    err: text => void process.stderr.write(text),
    terminal: process.stderr.isTTY === true,
    signal: stop.signal,
  });
}
