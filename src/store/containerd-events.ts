/**
 * Following containerd's changes. Promises: whatever happens to containerd, `changed` is called after every change that
 * this node can learn of, those of the time without a connection included; never rejects. Refuses to know what changed.
 */
import { asMirrorError } from '../errors.ts';
import type { World } from '../world.ts';
import type { ContainerdClient } from './containerd-client.ts';

/** Between attempts to follow: the first pause, doubled up to the last. */
const PAUSE_MIN_MS = 200;
const PAUSE_MAX_MS = 5_000;
/** A stream that held so long was good: the next pause is the first again. */
const GOOD_MS = 10_000;
/** containerd does not say when a subscription has begun: a change just before it shows at this second look. */
const SETTLE_MS = 1_000;
/** containerd before 2.0 tells no changes of content, and collects garbage in its own time. */
const LOOK_AGAIN_MS = 300_000;

/** Lines for a person; nothing depends on them. */
export interface StoreLog {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
}

/** Follows until `signal` aborts. */
export async function followContainerd(
  client: ContainerdClient,
  namespaces: readonly string[],
  changed: () => void,
  { world, log, signal }: { readonly world: World; readonly log?: StoreLog; readonly signal: AbortSignal },
): Promise<void> {
  let pause = PAUSE_MIN_MS;
  let told = false;
  while (!signal.aborted) {
    const began = world.monotonic();
    const broken = new AbortController();
    const alive = AbortSignal.any([signal, broken.signal]);
    try {
      const stream = client.events(namespaces, changed, alive);
      const looks = lookAgain(client, changed, world, alive, () => {
        if (told) log?.info({}, 'containerd answers again');
        told = false;
      });
      await Promise.all([stream, looks]);
    } catch (error) {
      const { code, message } = asMirrorError(error, 'STORE_UNAVAILABLE', 'following containerd');
      // Once for each time that it goes away, not for each attempt.
      if (!told && !signal.aborted) log?.warn({ code }, `${message}; trying again`);
      told = true;
    } finally {
      broken.abort();
    }
    if (world.monotonic() - began > GOOD_MS) pause = PAUSE_MIN_MS;
    await world.sleep(pause, signal);
    pause = Math.min(pause * 2, PAUSE_MAX_MS);
  }
}

/** Calls `up` and `changed` once containerd answers, `changed` a little later again, and then now and then. */
async function lookAgain(
  client: ContainerdClient,
  changed: () => void,
  world: World,
  alive: AbortSignal,
  up: () => void,
): Promise<void> {
  await client.contentRoot();
  if (alive.aborted) return;
  up();
  changed();
  for (let ms = SETTLE_MS; !alive.aborted; ms = LOOK_AGAIN_MS) {
    await world.sleep(ms, alive);
    if (!alive.aborted) changed();
  }
}
