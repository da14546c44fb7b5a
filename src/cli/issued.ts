/**
 * The operator's record of what was issued and taken back: `issued.jsonl`, only ever appended to. Promises: what is on
 * record was recorded before it existed; a line of an earlier version is read, one that is half-written is nothing. Refuses
 * to know keys. Spec: identity/IDENTITY.md, "The operator's folder".
 */
import { type PeerId, parseNodeName, parsePeerId, ROLES, type Role } from '../oci/oci.ts';
import { journalAt, keepAt, realDisk } from '../store/disk.ts';

/** One token or renewal. */
export interface Issued {
  readonly node: string;
  readonly peer: PeerId;
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
  /** Left out by versions that did not record them. */
  readonly roles?: readonly Role[];
  readonly zone?: string;
  /** The format of the token; a renewal has none. */
  readonly token?: number;
}

/** What was taken back: of a node name or peer id, all that was issued up to `before`, in milliseconds since 1970. */
export interface TakenBack {
  readonly revoked: string;
  readonly before: number;
}

export interface Book {
  /** The oldest first. */
  readonly issued: readonly Issued[];
  readonly takenBack: readonly TakenBack[];
}

/** Reads the record; empty where there is none. @throws FILE_UNREADABLE */
export async function readBook(path: string): Promise<Book> {
  const bytes = await keepAt(realDisk, path).read();
  const lines = Buffer.from(bytes ?? [])
    .toString()
    .split('\n');
  return { issued: lines.flatMap(readIssued), takenBack: lines.flatMap(readTakenBack) };
}

/** Appends to the record; call it before what it says is there for anybody. @throws FILE_UNREADABLE */
export async function recordIn(path: string, ...lines: readonly (Issued | TakenBack)[]): Promise<void> {
  // The first line end cuts off what an earlier record left half-written.
  const text = lines.map(line => `${JSON.stringify(line)}\n`).join('');
  await journalAt(realDisk, path).append(Buffer.from(`\n${text}`));
}

/** The newest key of each node name. */
export function newestOf(issued: readonly Issued[]): ReadonlyMap<string, Issued> {
  const newest = new Map<string, Issued>();
  for (const one of issued) {
    const before = newest.get(one.node);
    if (before && before.issuedAt > one.issuedAt) continue;
    newest.set(one.node, one);
  }
  return newest;
}

function readIssued(line: string): Issued[] {
  try {
    const { node, peer, issuedAt, roles, zone, token } = JSON.parse(line) as Record<string, unknown>;
    if (!Number.isSafeInteger(issuedAt)) return [];
    return [
      {
        node: parseNodeName(String(node)),
        peer: parsePeerId(String(peer)),
        issuedAt: issuedAt as number,
        ...(Array.isArray(roles) ? { roles: ROLES.filter(role => roles.includes(role)) } : {}),
        ...(typeof zone === 'string' ? { zone: parseNodeName(zone) } : {}),
        ...(typeof token === 'number' ? { token } : {}),
      },
    ];
  } catch {
    return [];
  }
}

function readTakenBack(line: string): TakenBack[] {
  try {
    const { revoked, before } = JSON.parse(line) as Record<string, unknown>;
    return typeof revoked === 'string' && Number.isSafeInteger(before) ? [{ revoked, before: before as number }] : [];
  } catch {
    return [];
  }
}
