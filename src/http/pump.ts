/**
 * Moves a body to a client. Promises: bytes go out only as far as the body lets them; a few buffers, used again and
 * again; what cannot go on ends with FIN.
 */
import type { ServerResponse } from 'node:http';
import type { Body } from '../mirror/mirror.ts';

const BUFFER_BYTES = 1 << 20;
/** Buffers of one answer: one being sent, one being read, one ready. */
const BUFFERS = 3;

/** Sends `body` after the headers; answers when the last byte was taken or the client is gone. */
export async function pump(body: Body, response: ServerResponse): Promise<void> {
  let at = body.start;
  let sent = body.start;
  let gone = response.destroyed;
  const free = Array.from({ length: Math.min(BUFFERS, Math.ceil((body.end - body.start) / BUFFER_BYTES)) }, () =>
    Buffer.allocUnsafeSlow(Math.min(BUFFER_BYTES, body.end - body.start)),
  );
  let wake = (): void => undefined;
  const left = Promise.withResolvers<undefined>();
  const closed = (): void => {
    gone = true;
    left.resolve(undefined);
    wake();
  };
  response.once('close', closed);
  response.on('error', closed);
  const buffer = async (): Promise<Buffer<ArrayBuffer> | undefined> => {
    while (!free.length && !gone) await new Promise<void>(resolve => (wake = resolve));
    return gone ? undefined : free.pop();
  };
  try {
    response.flushHeaders();
    while (at < body.end && !gone) {
      const limit = await Promise.race([body.upTo(at), left.promise]);
      const into = limit === undefined ? undefined : await buffer();
      if (limit === undefined || !into) break;
      const read = await body.read(into.subarray(0, Math.min(into.length, limit - at)), at);
      if (read === 0) break;
      at += read;
      response.write(into.subarray(0, read), error => {
        if (!error) sent += read;
        free.push(into);
        wake();
      });
    }
  } finally {
    await finish(response, at === body.end, () => gone);
    await body.close(sent);
  }
}

/** Ends a whole answer properly, and a cut one with FIN: a reset would fail the client's pull. */
async function finish(response: ServerResponse, whole: boolean, gone: () => boolean): Promise<void> {
  if (gone()) return;
  await new Promise<void>(resolve => {
    response.once('close', resolve);
    if (whole) response.end(resolve);
    else {
      // Less than Content-Length was promised: the socket itself is ended, after what was written.
      const { socket } = response;
      if (!socket) return resolve();
      socket.end(resolve);
    }
  });
}
