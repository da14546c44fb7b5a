/**
 * The roster to begin with: the one that was kept, or the token's. Promises: the higher that follows from the other is in
 * force and on disk; a kept one that cannot be proved stops the start, as falling back to an older one would undo what it
 * revoked. Refuses to know members. Spec: IDENTITY.md, "Which issuer counts".
 */
import { hasCode, MirrorError } from '../errors.ts';
import type { Keep } from '../world.ts';
import type { Cluster } from './identity.ts';
import { type Roster, readRoster, under } from './roster.ts';

/** What a node's token says of the cluster. */
export interface Pinned {
  readonly cluster: Cluster;
  /** The token's roster, proved. */
  readonly roster: Roster;
}

/** The roster in force at the start. @throws STATE_INVALID where the kept one is not of this cluster, FILE_UNREADABLE */
export async function newestRoster({ cluster, roster }: Pinned, keep: Keep): Promise<Roster> {
  const bytes = await keep.read();
  const kept = bytes && (await readKept(Buffer.from(bytes).toString(), { cluster, roster }));
  if (kept && !(roster.seq > kept.seq && (await isProved(roster.jwt, under(cluster, kept))))) return kept;
  // The token's may be newer; another token, with an older one, may come after it.
  await keep.write(Buffer.from(roster.jwt));
  return roster;
}

/** The kept roster; undefined where an issuer signed it that the token's roster has replaced. @throws STATE_INVALID */
async function readKept(jwt: string, { cluster, roster }: Pinned): Promise<Roster | undefined> {
  try {
    return await readRoster(jwt, cluster);
  } catch (error) {
    for (const issuer of roster.former)
      for (let epoch = cluster.epoch ?? 0; epoch >= 0; epoch -= 1)
        if (await isProved(jwt, { ...cluster, issuer, epoch })) return undefined;
    const text = 'the kept roster is damaged or of another cluster: put the newest roster.jwt in its place';
    throw new MirrorError('STATE_INVALID', text, { cause: error });
  }
}

/** True where a roster can be proved from the issuer that `cluster` names. */
export async function isProved(jwt: string, cluster: Cluster): Promise<boolean> {
  try {
    await readRoster(jwt, cluster);
    return true;
  } catch (error) {
    if (hasCode(error, 'ROSTER_INVALID')) return false;
    throw error;
  }
}
