/** How what one host sends reaches another, for the wires in memory: at once, unless a simulation says otherwise. */
export interface Transit {
  /**
   * Calls `arrive` when what `from` sent is at `to`; what has one `way` arrives in the order in which it was sent. It is
   * never called where it does not arrive.
   */
  carry(from: string, to: string, way: object, arrive: () => void): void;
}

/** Everything arrives in the moment in which it is sent. */
export const atOnce: Transit = { carry: (_from, _to, _way, arrive) => arrive() };

/** Resolves when something small, sent now, has arrived. */
export const arrival = (transit: Transit, from: string, to: string, way: object = {}): Promise<void> =>
  new Promise(resolve => transit.carry(from, to, way, resolve));

/** Waits for `work`, but no longer than `signal` lives. @throws what `late` makes */
export function unless<T>(signal: AbortSignal, work: Promise<T>, late: () => Error): Promise<T> {
  return new Promise((done, failed) => {
    const stop = (): void => failed(late());
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(done, failed).finally(() => signal.removeEventListener('abort', stop));
  });
}
