/** What alone writes to disk: the port, the machine's own disk, state files on it, contents read from it. */
export * from './disk-content.ts';
export * from './disk-port.ts';
export * from './disk-real.ts';
export * from './disk-state.ts';
