/** `pinnace policy migrate FILE`: a policy of the older, short form in the language of today, deciding the same. */
import { basename, join } from 'node:path';
import { MirrorError } from '../errors.ts';
import { lockFileOf, migrate } from '../policy/migrate.ts';
import { loadPolicy } from '../policy/parse.ts';
import { YAML_MAX_BYTES } from '../yaml.ts';
import { readText } from './bounded-file.ts';
import { mustBeNew, writeNew } from './cluster-folder.ts';
import type { Command } from './command.ts';

export const policyMigrate: Command = {
  name: 'policy migrate',
  summary: 'rewrite a policy of the older short form; it decides the same',
  usage: `pinnace policy migrate FILE [--out DIR] [--json]
  FILE          a policy with registries, share, tags, pins and vouchers at its top
  --out DIR     where the new policy goes, and its lock file where there are pins; nothing is overwritten
                (default: both are printed)
`,
  options: { out: { type: 'string' } },
  async run({ values, positionals }, io) {
    const [file, ...more] = positionals;
    if (!file || more.length) throw new MirrorError('USAGE', 'pinnace policy migrate takes one FILE');
    const migrated = migrate(await readText(file, YAML_MAX_BYTES), file, io.world.now());
    const lock = lockFileOf(file);
    // What would not load is not written.
    loadPolicy(migrated.policy, file, new Map(migrated.pins === undefined ? [] : [[lock, Buffer.from(migrated.pins)]]));
    const texts: [string, string][] = [
      [basename(file), migrated.policy],
      ...(migrated.pins === undefined ? [] : [[lock, migrated.pins] as [string, string]]),
    ];
    const dir = typeof values.out === 'string' ? values.out : undefined;
    if (dir !== undefined) {
      for (const [name] of texts) await mustBeNew(join(dir, name));
      for (const [name, text] of texts) await writeNew(join(dir, name), text);
    }
    const files = texts.map(([name, text]) => (dir === undefined ? { name, text } : { file: join(dir, name) }));
    if (io.json) return io.out(`${JSON.stringify({ files })}\n`);
    if (dir !== undefined) return io.out(texts.map(([name]) => `${join(dir, name)}\n`).join(''));
    for (const [name, text] of texts) io.out(texts.length > 1 ? `# ${name}\n${text}` : text);
  },
};
