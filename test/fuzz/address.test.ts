/** Addresses, bootstrap entries and ranges of any shape: refused by one code, or of use. */
import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, parseAddress, parseBootstrap, withinRanges } from '../../src/peers/address.ts';
import { cost, fuzz, refusedOr } from '../support/fuzz.ts';

const piece = fc.oneof(
  fc.constantFrom(
    ':',
    '[',
    ']',
    '.',
    '/',
    '%',
    '-',
    'dns:',
    '::',
    '10.0.0.1',
    'fd00::1',
    'a',
    'A',
    '0',
    '65535',
    '99999',
  ),
  fc.constantFrom('\n', ' ', '\u0000', 'ｅ', '1'.repeat(60), 'name.example', '/8', '/129', '::ffff:1.2.3.4'),
  fc.string({ unit: 'binary', maxLength: 3 }),
);
const text = fc.array(piece, { maxLength: 8 }).map(pieces => pieces.join(''));
const ip = fc.oneof(fc.ipV4(), fc.ipV6());

void test('what is read as an address has a host and a port, and is read again as it is written', () => {
  fuzz(
    fc.property(text, spelt => {
      const address = refusedOr(() => parseAddress(spelt, true));
      if (!address) return;
      assert.ok(address.host !== '' && address.host.length <= 254 && !/[\s/[\]%]/.test(address.host));
      assert.ok(Number.isInteger(address.port) && address.port >= 0 && address.port <= 65_535);
      assert.deepEqual(parseAddress(formatAddress(address.host, address.port), true), address);
      assert.equal(address.host.includes(':'), isIP(address.host) === 6);
    }),
  );
});

void test('every address of a machine is read as it was written', () => {
  fuzz(
    fc.property(ip, fc.integer({ min: 1, max: 65_535 }), (host, port) =>
      assert.deepEqual(parseAddress(formatAddress(host, port)), { host, port }),
    ),
    500,
  );
});

void test('a bootstrap entry is one address or one name', () => {
  fuzz(
    fc.property(text, spelt => {
      const entry = refusedOr(() => parseBootstrap(spelt));
      if (entry) assert.equal(entry.kind, spelt.startsWith('dns:') ? 'dns' : 'address');
    }),
  );
});

void test('a range is refused, or judges every host as the machine itself would', () => {
  const range = fc.oneof(
    text,
    fc
      .tuple(ip, fc.nat(140), fc.constantFrom('', '/8', '/', ' ', '%1'))
      .map(([host, bits, end]) => `${host}/${bits}${end}`),
  );
  fuzz(
    fc.property(range, fc.oneof(ip, text), (spelt, host) => {
      const inside = refusedOr(() => withinRanges([spelt]));
      if (!inside) return;
      const [network = '', bits, ...more] = spelt.split('/');
      assert.deepEqual(more, []);
      const list = new BlockList();
      list.addSubnet(network, Number(bits), isIP(network) === 4 ? 'ipv4' : 'ipv6');
      assert.equal(inside(host), isIP(host) !== 0 && list.check(host, isIP(host) === 4 ? 'ipv4' : 'ipv6'));
    }),
  );
});

void test('the longest names are judged in time', () => {
  const unit = fc.constantFrom('a', 'a-', 'a.', '-', '.', '1.', ':', '0:');
  fuzz(
    fc.property(unit, fc.integer({ min: 1, max: 5000 }), (part, times) => {
      assert.ok(cost(() => refusedOr(() => parseAddress(`${part.repeat(times)}x:1`))) < 300);
    }),
    300,
  );
});
