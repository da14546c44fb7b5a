/**
 * What befalls a cluster in one storm: who is in it, who lies, which images there are, and what happens when. Promises: it
 * follows from the seed alone; any of its actions can be left out, so that a failing one shrinks.
 */
import type { Lie } from './liars.ts';
import { LIES } from './liars.ts';
import { Chance } from './chance.ts';

/** Before this nobody is asked for images, in simulated milliseconds: the cluster finds itself. */
const SETTLED_MS = 33_000;
const MINUTE_MS = 60_000;
const MIB = 1 << 20;
/** So many storms have as many hostile nodes as may be: a third; and so many of those give false bytes. */
const MOST_HOSTILE = 0.7;
const FALSE_BYTES = 0.4;
/** So many images are at first with the hostile nodes alone. */
const LATE = 0.4;
/** So many pulls are cut off by a loss of power. */
const LOST_POWER = 0.15;

export interface Cast {
  readonly name: string;
  readonly zone: string;
  readonly lie?: Lie;
  /** Milliseconds that its clock is off at first. */
  readonly clockMs: number;
}

export interface Picture {
  /** registry/repository:tag. */
  readonly name: string;
  /** Bytes of each layer. */
  readonly layers: readonly number[];
}

export type Action = { readonly at: number } & (
  | { readonly kind: 'import' | 'remove'; readonly node: string; readonly image: string }
  | { readonly kind: 'pull'; readonly node: string; readonly image: string; readonly by: 'tag' | 'digest' }
  | { readonly kind: 'pry'; readonly node: string; readonly from: string }
  | { readonly kind: 'kill'; readonly node: string; readonly power: boolean; readonly ms: number }
  | { readonly kind: 'cut'; readonly node: string; readonly other: string }
  | { readonly kind: 'part'; readonly group: readonly string[]; readonly ms: number }
  | { readonly kind: 'full'; readonly node: string; readonly ms: number }
  | { readonly kind: 'clock'; readonly node: string; readonly ms: number }
  | { readonly kind: 'revoke'; readonly node: string; readonly at: number; readonly through: string }
);

export interface Scenario {
  readonly seed: number;
  readonly seconds: number;
  readonly vouchers: number;
  readonly cast: readonly Cast[];
  readonly pictures: readonly Picture[];
  readonly actions: readonly Action[];
}

/** The storm of a seed. */
export function scenarioOf(seed: number, { seconds = 60 }: { readonly seconds?: number } = {}): Scenario {
  const chance = new Chance(`storm ${seed}`);
  const cast = castOf(chance);
  const vouchers = 1 + cast.filter(({ lie }) => lie).length;
  const pictures = Array.from({ length: chance.whole(1, 3) }, (_, at) => ({
    name: `r.test/shared/app${at}:1`,
    layers: Array.from({ length: chance.happens(0.3) ? 2 : 1 }, () => layerBytes(chance)),
  }));
  const actions = [
    ...imports(chance, cast, pictures, vouchers, seconds * 1000),
    ...pulls(chance, cast, pictures, seconds * 1000),
    ...troubles(chance, cast, pictures, seconds * 1000),
  ].sort((a, b) => a.at - b.at);
  return { seed, seconds, vouchers, cast, pictures, actions };
}

/** Most have three chunks, as liars lie about what has several; some are small. */
const layerBytes = (chance: Chance): number =>
  chance.happens(0.7) ? chance.whole(2 * MIB + 1, 2.3 * MIB) : chance.whole(10_000, MIB);

/** The scenario without some of its actions. */
export const without = (scenario: Scenario, left: ReadonlySet<number>): Scenario => ({
  ...scenario,
  actions: scenario.actions.filter((_, at) => !left.has(at)),
});

function castOf(chance: Chance): readonly Cast[] {
  const count = chance.whole(3, chance.happens(0.7) ? 6 : 12);
  const most = Math.floor(count / 3);
  const hostile = chance.happens(MOST_HOSTILE) ? most : chance.whole(0, most);
  return Array.from({ length: count }, (_, at) => ({
    name: `n${at + 1}`,
    zone: chance.pick(['a', 'b']),
    clockMs: chance.whole(-20_000, 20_000),
    ...(at >= count - hostile
      ? { lie: chance.happens(FALSE_BYTES) ? chance.pick(['chunk', 'proof', 'proof']) : chance.pick(LIES) }
      : {}),
  }));
}

const honestOf = (cast: readonly Cast[]): readonly string[] => cast.filter(({ lie }) => !lie).map(({ name }) => name);

/** Each image is on at least one honest node early on, often on enough of them to vouch for it, and on all hostile ones. */
function imports(
  chance: Chance,
  cast: readonly Cast[],
  pictures: readonly Picture[],
  vouchers: number,
  ms: number,
): Action[] {
  const actions: Action[] = [];
  const honest = honestOf(cast);
  for (const { name: image } of pictures) {
    const first = chance.whole(0, honest.length - 1);
    const holders = new Set(
      Array.from({ length: chance.whole(1, vouchers + 1) }, (_, at) => honest[(first + at) % honest.length] ?? ''),
    );
    // Somebody has to ask for it.
    if (holders.size === honest.length) holders.delete(chance.pick([...holders]));
    const late = chance.happens(LATE) ? chance.whole(ms / 2, ms - 1_000) : 0;
    for (const node of holders) actions.push({ at: late + chance.whole(500, 2_500), kind: 'import', node, image });
    for (const { name: node, lie } of cast)
      if (lie) actions.push({ at: chance.whole(500, 2_500), kind: 'import', node, image });
  }
  return actions;
}

function pulls(chance: Chance, cast: readonly Cast[], pictures: readonly Picture[], ms: number): Action[] {
  const first = Math.min(SETTLED_MS, ms / 2);
  const honest = honestOf(cast);
  const count = Math.ceil((chance.whole(3, 6) * ms) / MINUTE_MS);
  const pull = (): Action & { readonly kind: 'pull' } => ({
    at: chance.whole(chance.happens(0.8) ? first : 1_000, ms - 1_000),
    kind: 'pull',
    node: chance.pick(honest),
    image: chance.pick(pictures).name,
    by: chance.pick(['tag', 'digest', 'digest']),
  });
  return Array.from({ length: count }, pull).flatMap(one =>
    chance.happens(LOST_POWER) ? losingPower(chance, one) : [one],
  );
}

/** A pull in which the node loses its power, and the same one once it is back. */
function losingPower(chance: Chance, pull: Action & { readonly kind: 'pull' }): Action[] {
  const at = pull.at + chance.whole(100, 2_000);
  const down = chance.whole(200, 2_000);
  const again = at + down + chance.whole(500, 8_000);
  return [pull, { at, kind: 'kill', node: pull.node, power: true, ms: down }, { ...pull, at: again }];
}

function troubles(chance: Chance, cast: readonly Cast[], pictures: readonly Picture[], ms: number): Action[] {
  const names = cast.map(({ name }) => name);
  const honest = honestOf(cast);
  const liars = names.filter(name => !honest.includes(name));
  const actions: Action[] = [];
  const times = (perMinute: number): number => Math.round((chance.fraction() * 2 * perMinute * ms) / MINUTE_MS);
  const add = (perMinute: number, make: (at: number) => Action): void => {
    for (let left = times(perMinute); left > 0; left--) actions.push(make(chance.whole(1_000, ms)));
  };
  add(0.7, at => ({
    at,
    kind: 'kill',
    node: chance.pick(names),
    power: chance.happens(0.5),
    ms: chance.whole(200, 20_000),
  }));
  add(1, at => ({ at, kind: 'cut', node: chance.pick(names), other: chance.pick(names) }));
  add(0.5, at => ({
    at,
    kind: 'part',
    group: names.filter(() => chance.happens(0.4)),
    ms: chance.whole(500, 25_000),
  }));
  add(0.4, at => ({ at, kind: 'full', node: chance.pick(names), ms: chance.whole(500, 20_000) }));
  add(0.5, at => ({ at, kind: 'clock', node: chance.pick(names), ms: chance.whole(-25_000, 25_000) }));
  add(0.3, at => ({ at, kind: 'remove', node: chance.pick(honest), image: chance.pick(pictures).name }));
  add(2, at => ({ at, kind: 'pry', node: chance.pick(names), from: chance.pick(honest) }));
  if (liars.length > 0) {
    add(0.5, at => ({ at, kind: 'revoke', node: chance.pick(liars), through: chance.pick(honest) }));
  }
  return actions;
}
