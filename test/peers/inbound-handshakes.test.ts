/** Connections on their way to a link: whose place is whose. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InboundHandshakes, PENDING_MAX } from '../../src/peers/inbound-handshakes.ts';

class Raw extends EventTarget {
  aborted = false;

  abort(): void {
    this.aborted = true;
    this.close();
  }

  close(): void {
    this.dispatchEvent(new Event('close'));
  }
}

function door() {
  const refusals: string[] = [];
  const handshakes = new InboundHandshakes((address, { code }) => void refusals.push(`${address} ${code}`));
  const begin = (address: string): Raw => {
    const raw = new Raw();
    handshakes.begin(raw, address);
    return raw;
  };
  return { handshakes, refusals, begin };
}

void test('a connection that ends late takes nothing from the next one of the same port', () => {
  const { handshakes, refusals, begin } = door();
  const address = '10.0.0.1:4000';
  const before = begin(address);
  handshakes.began(address);
  const link = begin(address);
  before.close();
  handshakes.began(address);
  handshakes.linked(address);
  for (let i = 0; i < PENDING_MAX + 1; i++) begin(`10.0.0.2:${5000 + i}`);
  assert.equal(link.aborted, false, 'a link makes no room');
  assert.deepEqual(refusals, ['10.0.0.2:5000 LIMIT_EXCEEDED']);
});

void test('who begins no handshake is told, once, and who began one is left to whoever leads it', () => {
  const { handshakes, refusals, begin } = door();
  const [silent, other] = [begin('10.0.0.1:4000'), begin('10.0.0.1:4001')];
  handshakes.began('10.0.0.1:4001');
  for (const raw of [silent, other, silent]) raw.close();
  assert.deepEqual(refusals, ['10.0.0.1:4000 HANDSHAKE_TIMEOUT']);
});
