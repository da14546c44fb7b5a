/**
 * Signatures of JWTs are checked on other threads. Promises: their answers come in the order of the questions, so that a
 * storm replays; and it can be seen how many are open.
 */
const METHODS = ['sign', 'verify', 'importKey', 'exportKey', 'digest', 'deriveBits', 'deriveKey', 'encrypt', 'decrypt'];

let open = 0;
let last: Promise<unknown> = Promise.resolve();

type Method = (...args: unknown[]) => Promise<unknown>;

/** Answers of `work`, after all earlier ones. */
function inOrder(work: Promise<unknown>): Promise<unknown> {
  open += 1;
  const before = last;
  const answer = (async () => {
    const [, settled] = await Promise.all([
      before,
      work.then(
        value => ({ value }),
        (error: unknown) => ({ error }),
      ),
    ]);
    open -= 1;
    if ('error' in settled) throw settled.error;
    return settled.value;
  })();
  last = answer.catch(() => undefined);
  return answer;
}

const subtle = Object.getPrototypeOf(globalThis.crypto.subtle) as Record<string, Method>;
for (const name of METHODS) {
  const method = subtle[name];
  if (!method) continue;
  Object.defineProperty(subtle, name, {
    configurable: true,
    writable: true,
    value(this: unknown, ...args: unknown[]) {
      return inOrder(method.apply(this, args));
    },
  });
}

/** How many questions have no answer yet. */
export const restOfCrypto = (): number => open;
