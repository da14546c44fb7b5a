/**
 * What a process holds of the machine, read from /proc: memory, open handles, sockets. Promises: a process that is gone,
 * or goes while it is looked at, gives no sample. Refuses to know what the process does.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';

const KIB = 1024;

export interface Sample {
  readonly node: string;
  readonly pid: number;
  /** Milliseconds since the churn began; below zero before it. */
  readonly at: number;
  /** Bytes of memory that are resident. */
  readonly memory: number;
  /** Open files and sockets of every kind. */
  readonly handles: number;
  readonly sockets: number;
}

/** One look at the process `pid`. */
export async function sampleOf(node: string, pid: number, at: number): Promise<Sample | undefined> {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
    if (kib === undefined) return undefined;
    const names = await readdir(`/proc/${pid}/fd`);
    const links = await Promise.all(names.map(name => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
    const open = links.filter(link => link !== '');
    const sockets = open.filter(link => link.startsWith('socket:')).length;
    return { node, pid, at, memory: Number(kib) * KIB, handles: open.length, sockets };
  } catch {
    return undefined;
  }
}
