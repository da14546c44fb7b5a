/**
 * What a process and the machine have used, read from /proc. Promises: CPU seconds of a whole family of processes, resident
 * memory and its peak, and what the machine did beside us. Refuses to know what is being measured. Spec: proc(5).
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';

/** Ticks of /proc's CPU counters in a second (USER_HZ; the same on every Linux that Node runs on). */
const TICKS_PER_SECOND = 100;
const KIB_PER_MIB = 1024;

/** The middle value; the mean of the middle two where their number is even. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The smallest value that at least `share` (0–1) of all values do not exceed. NaN for none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** The fields of /proc/PID/stat after the command's name, which may itself hold blanks and brackets. */
export const statFields = (stat: string): string[] => stat.slice(stat.lastIndexOf(')') + 2).split(' ');

function statOf(pid: number | 'self'): string[] | undefined {
  try {
    return statFields(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return undefined;
  }
}

/** `pid` and all that descends from it, as of now; empty where it has ended. */
export function familyOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) ? Number(statOf(Number(name))?.[1]) : Number.NaN;
    if (!Number.isNaN(parent)) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const family = statOf(pid) ? [pid] : [];
  for (const member of family) family.push(...(children.get(member) ?? []));
  return family;
}

/** CPU seconds that these live processes have used themselves, all threads; an ended one counts 0. */
export function cpuOf(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const fields = statOf(pid);
    if (fields) ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

/** CPU seconds of the children of this process that have ended, with theirs. */
export function endedChildrenCpu(): number {
  const fields = statOf('self')!;
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
}

/** CPU seconds that the whole machine has worked, stolen time included: from the first line of /proc/stat. */
export function machineCpuFrom(stat: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = stat
    .slice(0, stat.indexOf('\n'))
    .split(/ +/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

/** CPU seconds that the whole machine has worked since it started. */
export const machineCpu = (): number => machineCpuFrom(readFileSync('/proc/stat', 'latin1'));

/** The value in MiB of a line in KiB of /proc/PID/status; undefined where there is no such line. */
export function statusLine(status: string, name: 'VmRSS' | 'VmHWM'): number | undefined {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status);
  return found ? Number(found[1]) / KIB_PER_MIB : undefined;
}

function memoryOf(pids: readonly number[], name: 'VmRSS' | 'VmHWM'): number {
  let sum = 0;
  for (const pid of pids) {
    try {
      sum += statusLine(readFileSync(`/proc/${pid}/status`, 'latin1'), name) ?? 0;
    } catch {} // it has ended
  }
  return sum;
}

/** Resident MiB of these processes now, pages that they share counted in each. */
export const residentOf = (pids: readonly number[]): number => memoryOf(pids, 'VmRSS');

/** The sum of the peaks of resident MiB since each began or `resetPeak`. */
export const peakOf = (pids: readonly number[]): number => memoryOf(pids, 'VmHWM');

/** Makes the present resident size the peak. */
export function resetPeak(pids: readonly number[]): void {
  const PEAK_OF_RESIDENT = '5'; // proc(5), clear_refs
  for (const pid of pids) writeFileSync(`/proc/${pid}/clear_refs`, PEAK_OF_RESIDENT);
}
