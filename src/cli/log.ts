/** What the daemon tells a person while it runs. Refuses to know where that goes. */

/** The daemon's log for a person. */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
}
