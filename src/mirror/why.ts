/** What would happen to a pull of a reference now, step by step, without doing it. For `pinnace why`. */
import { asMirrorError } from '../errors.ts';
import { type Digest, formatReference, type Reference, type TagReference } from '../oci/oci.ts';
import { decideTag } from '../trust/trust.ts';
import { type AdmitRooms, type Named, rulingOn } from './admit.ts';
import { ownerOf } from './catalogue.ts';
import { vouchingFor } from './lies.ts';
import { isHere } from './read-ahead.ts';
import { claimsAbout } from './resolve.ts';
import type { Rooms } from './rooms.ts';
import type { Ruling } from '../policy/policy.ts';

export interface Step {
  readonly step:
    | 'registry'
    | 'share'
    | 'policy'
    | 'tag'
    | 'admit'
    | 'store'
    | 'spool'
    | 'holders'
    | 'vouchers'
    | 'outcome';
  readonly ok: boolean;
  readonly detail: string;
}

type WhyRooms = AdmitRooms & Pick<Rooms, 'stated' | 'store' | 'spool' | 'evidence' | 'hashes' | 'catalogue'>;

/** The steps up to the first that ends the pull; the last one is the outcome. */
export async function why(rooms: WhyRooms, asked: Reference): Promise<readonly Step[]> {
  const steps: Step[] = [];
  const add = (step: Step['step'], ok: boolean, detail: string): boolean => {
    steps.push({ step, ok, detail });
    return ok;
  };
  const end = (ok: boolean, detail: string): readonly Step[] => {
    add('outcome', ok, detail);
    return steps;
  };
  const registry = rooms.policy().registry(asked.registry);
  if (
    !add('registry', registry !== undefined, registry ? `${registry} is mirrored` : `${asked.registry} is not mirrored`)
  )
    return end(false, 'not here (404 NOT_MIRRORED): the client goes on to the registry');
  const reference = { ...asked, registry: registry! };
  await whetherShared(rooms, reference, add);
  const pull = rooms.policy().pull(reference, rooms.world.now());
  if (!add('policy', pull.allowed, saying(pull))) return end(false, refused(pull));
  const digest = reference.digest ?? (await digestOfTag(rooms, reference as TagReference, add));
  if (!digest) return end(false, 'not here (404): the tag is not decided, the client goes on to the registry');
  const ruling = await rulingUnder(rooms, { ...reference, digest });
  if (!add('admit', ruling.allowed, saying(ruling))) return end(false, refused(ruling));
  if (await whereHere(rooms, reference, digest, add)) return end(true, `answered from this node's disk, as ${digest}`);
  const { vouchers } = rooms.policy().rule(reference.registry, reference.repository);
  return whoHasIt(rooms, digest, vouchers, add)
    ? end(true, `fetched from a peer, as ${digest}`)
    : end(false, 'not here (404): no reachable node holds it');
}

const saying = ({ rule, detail, code, allowed }: Ruling): string =>
  `rule ${rule}: ${code && !allowed ? `${code}: ` : ''}${detail}${allowed && code ? ` (${code}, let through: mode audit)` : ''}`;
const refused = ({ code, rule }: Ruling): string =>
  `refused (403 DENIED${code && code !== 'DENIED' ? `, ${code}` : ''}) by rule ${rule}`;

/** What an admitted index or image lists needs no ruling of its own. */
const rulingUnder = async (rooms: WhyRooms, named: Named): Promise<Ruling> =>
  rooms.catalogue.describe(ownerOf(named), named.digest) && !rooms.verdicts.last(named)
    ? {
        allowed: true,
        rule: rooms.policy().rule(named.registry, named.repository).name,
        detail: 'an admitted image has it',
      }
    : rulingOn(rooms, named);

/** What the store has under that name, and whether others are told; nothing where it has none. */
async function whetherShared(rooms: WhyRooms, { registry, repository, tag }: Reference, add: Add): Promise<void> {
  const images = await rooms.store.images().catch(() => []);
  const same = images.filter(
    ({ reference: r }) => r.registry === registry && r.repository === repository && r.tag === tag,
  );
  for (const { reference, target } of same) {
    const shared = rooms.catalogue
      .sharers(target.digest)
      .find(image => ownerOf(image.reference) === ownerOf(reference));
    const ruling = rooms.verdicts.last({ ...reference, digest: target.digest });
    const why = ruling && !ruling.allowed ? saying(ruling) : 'policy shares nothing under this name';
    const detail = `the store has ${target.digest}: ${shared ? `shared by rule ${shared.rule}` : `not shared: ${why}`}`;
    add('share', shared !== undefined, detail);
  }
}

type Add = (step: Step['step'], ok: boolean, detail: string) => boolean;

async function digestOfTag(rooms: WhyRooms, reference: TagReference, add: Add): Promise<Digest | undefined> {
  const pin = rooms.policy().pin(reference);
  if (pin) {
    add('tag', true, `pinned to ${pin}`);
    return pin;
  }
  const { tags: rule } = rooms.policy().rule(reference.registry, reference.repository);
  if (rule.by === 'pins') {
    add('tag', false, `${formatReference(reference)} has no pin, and policy lets nothing else decide it`);
    return undefined;
  }
  const claims = claimsAbout(rooms, reference);
  // Existence is asked of this node and of holdings here; a pull fetches and proves the manifest.
  const held = async (digest: Digest): Promise<boolean> =>
    rooms.peers.holders(digest).length > 0 ||
    (rooms.catalogue.describe(ownerOf(reference), digest) !== undefined && (await isHere(rooms, digest)));
  const digest = await decideTag(claims, rule.min, rule.keepMs, rooms.world.now(), held);
  const names = new Map(rooms.peers.tagStatements(reference).map(({ node }) => [node.peer, node.name]));
  const said = claims.map(
    ({ peer, digest: stated, observedAt }) =>
      `${names.get(peer) ?? 'this node'} saw ${stated} at ${new Date(observedAt).toISOString()}`,
  );
  add(
    'tag',
    digest !== undefined,
    `${rule.min} distinct nodes must state it; ${said.length ? said.join('; ') : 'nobody states it'}`,
  );
  return digest;
}

async function whereHere(rooms: WhyRooms, reference: Reference, digest: Digest, add: Add): Promise<boolean> {
  const reached = rooms.catalogue.describe(ownerOf(reference), digest) !== undefined;
  for (const room of ['store', 'spool'] as const) {
    try {
      const content = reached ? await rooms[room].open(digest) : undefined;
      await content?.close();
      if (add(room, content !== undefined, content ? `${content.size} bytes` : `not in the ${room} under this name`))
        return true;
    } catch (error) {
      add(room, false, asMirrorError(error, 'STORE_UNAVAILABLE', room).message);
    }
  }
  return false;
}

function whoHasIt(rooms: WhyRooms, digest: Digest, vouchers: number, add: Add): boolean {
  const holders = rooms.peers.holders(digest);
  const names = holders.map(({ node }) => node.name).join(', ');
  if (
    !add(
      'holders',
      holders.length > 0,
      holders.length ? `${names} say that they hold it` : 'no node says that it holds it',
    )
  )
    return false;
  const { root, conflict } = vouchingFor(rooms, digest, vouchers);
  const detail = root
    ? `enough nodes vouch for proof ${root}: handed on chunk by chunk`
    : `${conflict ? 'signed proofs differ' : 'too few nodes vouch for one proof'}: handed on when the whole is proved`;
  add('vouchers', root !== undefined, detail);
  return true;
}
