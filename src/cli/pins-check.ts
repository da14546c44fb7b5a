/** `pinnace pins check FILE`: is every image pinned, and is each the digest that it is pinned to. */
import { MirrorError } from '../errors.ts';
import { type Command, FOUND } from './command.ts';
import { SOURCE_OPTIONS, SOURCE_USAGE, sourcedImages } from './image-sources.ts';
import { readLock } from './lock-file.ts';
import { checkImages } from './pin-changes.ts';

export const pinsCheck: Command = {
  name: 'pins check',
  summary: 'find images without a pin, and pins whose image is another by now',
  usage: `pinnace pins check FILE (REF… | --manifests F… | --from-node) [--json]
  FILE           a lock file
  REF            an image, with a tag or a digest
${SOURCE_USAGE}                 Exit code 1 where an image has no pin, or another digest than its pin.
`,
  options: SOURCE_OPTIONS,
  async run({ values, positionals }, io) {
    const [file, ...references] = positionals;
    if (!file) throw new MirrorError('USAGE', 'pinnace pins check takes a lock FILE');
    const { serial, pins } = await readLock(file);
    const images = await sourcedImages(references, values, io);
    const { unpinned, moved } = checkImages(pins, images);
    if (io.json) io.out(`${JSON.stringify({ file, serial, images: images.length, unpinned, moved })}\n`);
    else {
      for (const { image, from, why } of unpinned) io.out(`UNPINNED ${image} (${from}): ${why}\n`);
      for (const { reference, pinned, found, from } of moved)
        io.out(`MOVED ${reference} (${from})\n  pinned ${pinned}\n  found  ${found}\n`);
      io.out(`${file}: ${images.length} images, ${unpinned.length} without a pin, ${moved.length} moved\n`);
    }
    return unpinned.length + moved.length ? FOUND : undefined;
  },
};
