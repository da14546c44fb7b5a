/** `pinnace import FILE|oci:DIR`: puts an image into the embedded store, with the daemon running or not. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { MirrorError } from '../errors.ts';
import { formatReference, parseTagReference } from '../oci/oci.ts';
import { realDisk } from '../store/disk.ts';
import { openLayout } from '../store/layout.ts';
import { importImage } from '../store/layout-import.ts';
import type { Command } from './command.ts';
import { LAYOUT_DIR, loadConfig } from './config.ts';
import { CONFIG_DEFAULT } from './control-client.ts';
import { progress } from './progress.ts';
import { bytesText } from './table.ts';

export const importCommand: Command = {
  name: 'import',
  summary: 'import an image into the embedded store',
  usage: `pinnace import FILE|oci:DIR [--name REFERENCE] [--config FILE] [--json]
  FILE              a tar of docker save, or of an OCI image layout
  oci:DIR           an OCI image layout
  --name REFERENCE  registry/repository:tag, where the image does not carry a full one
  --config FILE     the node's configuration (default ${CONFIG_DEFAULT})
`,
  options: { config: { type: 'string' }, name: { type: 'string' } },
  async run({ values, positionals }, io) {
    const [source, ...more] = positionals;
    if (!source || more.length) throw new MirrorError('USAGE', 'pinnace import takes one FILE or oci:DIR');
    const file = typeof values.config === 'string' ? values.config : CONFIG_DEFAULT;
    const config = await loadConfig(file, path => readFile(path, 'utf8'));
    if (config.store.kind !== 'layout')
      throw new MirrorError(
        'USAGE',
        `${file} uses containerd’s store: import with ctr or nerdctl, and it is shared from there`,
      );
    const layout = await openLayout(realDisk, resolve(config.stateDir, LAYOUT_DIR), io.world);
    const bar = progress(io.world, io.terminal && !io.json, text => io.err(text));
    const options = typeof values.name === 'string' ? { reference: parseTagReference(values.name) } : {};
    const images = await importImage(realDisk, layout, source, options, bar.step, io.signal).finally(bar.end);
    const rows = images.map(image => ({ ...image, reference: formatReference(image.reference) }));
    if (io.json) return io.out(`${JSON.stringify({ images: rows })}\n`);
    for (const row of rows) io.out(`${row.reference}  ${row.digest}  ${bytesText(row.bytes)}\n`);
  },
};
