/** Plain tables and sizes for people. */

/** Rows under headings, columns padded; an empty table is a line that says so. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[], empty: string): string {
  if (!rows.length) return `${empty}\n`;
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map(row => (row[column] ?? '').length)));
  return all
    .map(
      row =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** Bytes in powers of 1000, as registries and networks count. */
export function bytesText(bytes: number): string {
  for (const [unit, size] of [
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ] as const)
    if (bytes >= size) return `${(bytes / size).toFixed(1)} ${unit}`;
  return `${bytes} B`;
}

/** The first characters of a digest, enough for a person to tell it from others. */
export const shortDigest = (digest: string): string => digest.slice(0, digest.indexOf(':') + 13);
