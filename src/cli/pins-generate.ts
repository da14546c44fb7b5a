/** `pinnace pins generate`: a lock file of images whose digests are known. */
import { MirrorError } from '../errors.ts';
import { checkNote, formatPins } from '../policy/pins.ts';
import type { Command, Io } from './command.ts';
import { SOURCE_OPTIONS, SOURCE_USAGE, sourcedImages } from './image-sources.ts';
import { writeFirst } from './lock-file.ts';
import { lockable, pinsOf, type Unpinned } from './pin-changes.ts';

export const NOTE_OPTION = { note: { type: 'string' } } as const;
export const NOTE_USAGE = `  --note TEXT    who, when and why: stands behind each pin that is new or moved
`;

/** The note that a command line gives; empty where it gives none. @throws PINS_INVALID */
export const noteOf = ({ note }: Readonly<Record<string, unknown>>): string =>
  typeof note === 'string' ? checkNote(note) : '';

/** Tells a person which images were left out. */
export function tellSkipped(skipped: readonly Unpinned[], io: Io): void {
  if (!io.json) for (const { image, from, why } of skipped) io.err(`not pinned: ${image} (${from}): ${why}\n`);
}

export const pinsGenerate: Command = {
  name: 'pins generate',
  summary: 'write a lock file: which digest each tag is',
  usage: `pinnace pins generate (REF@DIGEST… | --manifests F… | --from-node) [--out FILE] [--note TEXT] [--json]
  REF@DIGEST     registry/repository:tag@sha256:…; without a digest an image is told and left out: no registry is asked
${SOURCE_USAGE}  --out FILE     a new file (default: the lock file is printed)
${NOTE_USAGE}
`,
  options: { ...SOURCE_OPTIONS, ...NOTE_OPTION, out: { type: 'string' } },
  async run({ values, positionals }, io) {
    const { locked, skipped } = lockable(await sourcedImages(positionals, values, io));
    if (!locked.length)
      throw new MirrorError('CONTENT_ABSENT', 'no image has registry, tag and digest: nothing can be pinned');
    const pins = pinsOf(locked, noteOf(values));
    const text = formatPins(1, pins);
    const out = typeof values.out === 'string' ? values.out : undefined;
    if (out !== undefined) await writeFirst(out, pins);
    tellSkipped(skipped, io);
    const list = pins.map(({ reference, digest }) => ({ reference, digest }));
    if (io.json)
      io.out(`${JSON.stringify({ ...(out === undefined ? {} : { file: out }), serial: 1, pins: list, skipped })}\n`);
    else io.out(out === undefined ? text : `${out}: ${pins.length} pins, serial 1\n`);
  },
};
