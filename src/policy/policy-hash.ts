/**
 * One hash for a policy and all that it names. Promises: anyone can make it with `sha256sum`. Refuses to know what they
 * say. Spec: POLICY.md, "Hash".
 */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** SHA-256, hex, of what `sha256sum` prints for the policy under its base name, and then for `names`, whose bytes are in `files`. */
export function policyHash(
  text: string,
  file: string,
  files: ReadonlyMap<string, Uint8Array>,
  names: readonly string[],
): string {
  const lines = [`${sha256(text)}  ${basename(file)}\n`];
  for (const name of names) lines.push(`${sha256(files.get(name) ?? new Uint8Array())}  ${name}\n`);
  return sha256(lines.join(''));
}
