/** `pinnace pins prune FILE`: takes out pins of images that nobody names any more. */
import { MirrorError } from '../errors.ts';
import { type Command } from './command.ts';
import { SOURCE_OPTIONS, SOURCE_USAGE, sourcedImages } from './image-sources.ts';
import { readLock, writeNext } from './lock-file.ts';
import { unnamed } from './pin-changes.ts';
import { tellSkipped } from './pins-generate.ts';

export const pinsPrune: Command = {
  name: 'pins prune',
  summary: 'take pins out of a lock file whose images nobody names',
  usage: `pinnace pins prune FILE (REF… | --manifests F… | --from-node) [--dry-run] [--json]
  FILE           a lock file; its serial goes up by one where it changes
  REF            an image whose pin stays: pins of all that the sources do not name go
${SOURCE_USAGE}  --dry-run      write nothing
`,
  options: { ...SOURCE_OPTIONS, 'dry-run': { type: 'boolean' } },
  async run({ values, positionals }, io) {
    const [file, ...references] = positionals;
    if (!file) throw new MirrorError('USAGE', 'pinnace pins prune takes a lock FILE');
    const lock = await readLock(file);
    const images = await sourcedImages(references, values, io);
    // Sources that name nothing are a mistake rather than a wish to have no pin left.
    if (!images.some(({ reference }) => reference))
      throw new MirrorError('CONTENT_ABSENT', 'the sources name no image: nothing is pruned');
    const pruned = unnamed(lock.pins, images);
    const dry = values['dry-run'] === true;
    const gone = new Set(pruned);
    const left = lock.pins.list.filter(pin => !gone.has(pin));
    if (pruned.length && !left.length)
      throw new MirrorError('CONTENT_ABSENT', `the sources name none of the pins of ${file}: nothing is pruned`);
    const serial = pruned.length && !dry ? await writeNext(file, lock, left) : lock.serial;
    const unread = images.filter(({ reference }) => !reference);
    tellSkipped(
      unread.map(({ text, from, why }) => ({ image: text, from, why: why ?? 'no reference' })),
      io,
    );
    if (io.json) return io.out(`${JSON.stringify({ file, serial, changed: pruned.length > 0 && !dry, pruned })}\n`);
    for (const { reference, digest, note } of pruned)
      io.out(`${dry ? 'would prune' : 'pruned'} ${reference} ${digest}${note && ` # ${note}`}\n`);
    io.out(`${file}: serial ${serial}, ${left.length} pins stay, ${pruned.length} ${dry ? 'would go' : 'went'}\n`);
  },
};
