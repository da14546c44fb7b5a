/** `pinnace import FILE|oci:DIR`: puts images and attachments into this node's stores, with the daemon running or not. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { hasCode, MirrorError } from '../errors.ts';
import { formatReference, parseTagReference } from '../oci/oci.ts';
import { openAttachments } from '../store/attachments.ts';
import { realDisk } from '../store/disk.ts';
import { openLayout } from '../store/layout.ts';
import { importAll, type ImportedAll } from '../store/layout-import.ts';
import type { Command, Io } from './command.ts';
import { ATTACHMENTS_DIR, LAYOUT_DIR, loadConfig } from './config.ts';
import { CONFIG_DEFAULT } from './control-client.ts';
import { progress } from './progress.ts';
import { bytesText } from './table.ts';

export const importCommand: Command = {
  name: 'import',
  summary: 'import images and their signatures',
  usage: `pinnace import FILE|oci:DIR [--name REFERENCE] [--config FILE] [--json]
  FILE              a tar of docker save, or of an OCI image layout
  oci:DIR           an OCI image layout, of cosign save too
  --name REFERENCE  registry/repository:tag, where the image does not carry a full one
  --config FILE     the node's configuration (default ${CONFIG_DEFAULT})
Signatures, attestations and other artifacts about an image are kept as its attachments. Where
containerd holds the images, only attachments are taken: import images with ctr or nerdctl.
`,
  options: { config: { type: 'string' }, name: { type: 'string' } },
  async run({ values, positionals }, io) {
    const [source, ...more] = positionals;
    if (!source || more.length) throw new MirrorError('USAGE', 'pinnace import takes one FILE or oci:DIR');
    const file = typeof values.config === 'string' ? values.config : CONFIG_DEFAULT;
    const config = await loadConfig(file, path => readFile(path, 'utf8'));
    const options = typeof values.name === 'string' ? { reference: parseTagReference(values.name) } : {};
    const at = (folder: string): string => resolve(config.stateDir, folder);
    const attachments = await openAttachments(realDisk, at(ATTACHMENTS_DIR), io.world);
    const layout = config.store.kind === 'layout' ? await openLayout(realDisk, at(LAYOUT_DIR), io.world) : undefined;
    const into = layout ? { layout, attachments } : { attachments };
    const bar = progress(io.world, io.terminal && !io.json, text => io.err(text));
    const imported = await importAll(realDisk, into, source, options, bar.step, io.signal)
      .catch((error: unknown) => {
        if (layout || !hasCode(error, 'USAGE')) throw error;
        throw new MirrorError(
          'USAGE',
          `${file} uses containerd’s store, so attachments alone are imported, and ${source} has none: import images with ctr or nerdctl, and they are shared from there`,
          { cause: error },
        );
      })
      .finally(bar.end);
    tell(imported, io);
  },
};

function tell({ images, attachments, leftOut, notTaken }: ImportedAll, io: Io): void {
  const rows = images.map(image => ({ ...image, reference: formatReference(image.reference) }));
  if (io.json) {
    const kept = attachments.map(({ subject, bond, manifest: { digest }, artifactType }) => ({
      subject,
      bond,
      digest,
      artifactType,
    }));
    return io.out(`${JSON.stringify({ images: rows, attachments: kept, leftOut, notTaken })}\n`);
  }
  for (const row of rows) io.out(`${row.reference}  ${row.digest}  ${bytesText(row.bytes)}\n`);
  for (const name of notTaken)
    io.out(`${name}  not taken: containerd holds the images, import it with ctr or nerdctl\n`);
  if (attachments.length > 0)
    io.out(`${attachments.length} ${attachments.length === 1 ? 'attachment' : 'attachments'} kept\n`);
  if (leftOut.length > 0)
    io.out(`${leftOut.length} left out: listed as attachments, and absent or about something else\n`);
}
