/** `pinnace pins update FILE`: what the pins of a lock file are by now. Promises: no pin moves that nobody named. */
import { MirrorError } from '../errors.ts';
import type { Pin } from '../policy/pins.ts';
import { type Command, FOUND } from './command.ts';
import { SOURCE_OPTIONS, SOURCE_USAGE, sourcedImages } from './image-sources.ts';
import { readLock, writeNext } from './lock-file.ts';
import { compare, lockable, type Move, pinsOf } from './pin-changes.ts';
import { NOTE_OPTION, NOTE_USAGE, noteOf, tellSkipped } from './pins-generate.ts';

type Values = Readonly<Record<string, unknown>>;

/** The moves that the command line lets happen. @throws USAGE where it names a pin that does not move */
function accepted(moves: readonly Move[], { move, all, 'dry-run': dry }: Values): readonly Move[] {
  const named = (move ?? []) as readonly string[];
  const wrong = named.find(name => !moves.some(({ reference }) => reference === name));
  if (wrong !== undefined) throw new MirrorError('USAGE', `the pin of ${wrong} does not move`);
  if (dry === true) return [];
  return moves.filter(({ reference }) => all === true || named.includes(reference));
}

/** The pins after `moves`; a pin that moves keeps its note where there is no new one. */
function moved(pins: readonly Pin[], moves: readonly Move[], note: string): readonly Pin[] {
  const found = new Map(moves.map(move => [move.reference, move.found]));
  return pins.map(pin => {
    const digest = found.get(pin.reference);
    return digest === undefined ? pin : { ...pin, digest, note: note || pin.note };
  });
}

const text = ({ reference, pinned, found, from }: Move, done: boolean): string =>
  `${done ? 'moved' : 'would move'} ${reference} (${from})\n  ${pinned}\n  ${found}\n`;

export const pinsUpdate: Command = {
  name: 'pins update',
  summary: 'show which pins of a lock file would move, and move those that are named',
  usage: `pinnace pins update FILE (REF@DIGEST… | --manifests F… | --from-node) [--dry-run | --move REF… | --all] [--add] [--json]
  FILE           a lock file; its serial goes up by one where it changes
  REF@DIGEST     registry/repository:tag@sha256:…, as it is now
${SOURCE_USAGE}  --dry-run      write nothing
  --move REF     move the pin of this tag; may stand several times
  --all          move all that differ
  --add          pin what has no pin yet, too
${NOTE_USAGE}                 Exit code 1 where pins differ and were left as they are.
`,
  options: {
    ...SOURCE_OPTIONS,
    ...NOTE_OPTION,
    'dry-run': { type: 'boolean' },
    move: { type: 'string', multiple: true },
    all: { type: 'boolean' },
    add: { type: 'boolean' },
  },
  async run({ values, positionals }, io) {
    const [file, ...references] = positionals;
    if (!file) throw new MirrorError('USAGE', 'pinnace pins update takes a lock FILE');
    const lock = await readLock(file);
    const { locked, skipped } = lockable(await sourcedImages(references, values, io));
    const { moves, added } = compare(lock.pins, locked);
    const done = accepted(moves, values);
    const note = noteOf(values);
    const extra = values.add === true && values['dry-run'] !== true ? pinsOf(added, note) : [];
    const changed = done.length + extra.length > 0;
    const pins = [...moved(lock.pins.list, done, note), ...extra];
    const serial = changed ? await writeNext(file, lock, pins) : lock.serial;
    const left = moves.filter(move => !done.includes(move));
    tellSkipped(skipped, io);
    const names = added.map(({ name, digest }) => ({ reference: name, digest }));
    if (io.json) {
      const without = extra.length ? { added: names, unpinned: [] } : { added: [], unpinned: names };
      io.out(`${JSON.stringify({ file, serial, changed, moved: done, left, ...without, skipped })}\n`);
    } else {
      for (const move of moves) io.out(text(move, done.includes(move)));
      for (const { reference, digest } of values.add === true ? names : [])
        io.out(`${extra.length ? 'added' : 'would add'} ${reference}\n  ${digest}\n`);
      io.out(`${file}: serial ${serial}, ${done.length} pins moved, ${left.length} left, ${extra.length} added\n`);
    }
    return left.length ? FOUND : undefined;
  },
};
