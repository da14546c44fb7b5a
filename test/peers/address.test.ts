/** Addresses as people write them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { formatAddress, isLoopback, parseAddress, parseBootstrap, withinRanges } from '../../src/peers/address.ts';

const refused = (work: () => unknown): void => assert.throws(work, error => hasCode(error, 'CONFIG_INVALID'));

void test('host and port come apart and together again', () => {
  for (const text of ['10.0.0.1:5001', '[fd00::1]:5001', 'node-1.example:1', 'localhost:65535']) {
    const { host, port } = parseAddress(text);
    assert.equal(formatAddress(host, port), text);
  }
  assert.equal(parseAddress('0.0.0.0:0', true).port, 0);
});

void test('what is no address is refused', () => {
  for (const text of [
    '',
    ':1',
    'a',
    'a:',
    'a:0',
    'a:65536',
    'a:1x',
    'a b:1',
    'fd00::1:5001',
    '[10.0.0.1]:1',
    '[fe80::1%eth0]:1',
    '-a:1',
    `${'a'.repeat(300)}:1`,
    'a/b:1',
    'a@b:1',
  ])
    refused(() => parseAddress(text));
});

void test('bootstrap entries are addresses, or names for all of their addresses', () => {
  assert.deepEqual(parseBootstrap('10.0.0.1:5001'), { kind: 'address', host: '10.0.0.1', port: 5001 });
  assert.deepEqual(parseBootstrap('dns:peers.svc:5001'), { kind: 'dns', host: 'peers.svc', port: 5001 });
  refused(() => parseBootstrap('dns:peers'));
});

void test('ranges admit what lies in them, and none at all admits everybody', () => {
  const inside = withinRanges(['10.0.0.0/8', 'fd00::/8']);
  assert.deepEqual(['10.1.2.3', 'fd00::1', '11.0.0.1', '::1', 'name'].map(inside), [true, true, false, false, false]);
  assert.ok(withinRanges([])('11.0.0.1'));
  for (const range of ['10.0.0.0', '10.0.0.0/33', 'a/8', '10.0.0.0/x', '10.0.0.0/8/9', 'fd00::/129', 'fe80::1%eth0/64'])
    refused(() => withinRanges([range]));
});

void test('loopback is known in both families', () => {
  assert.deepEqual(['127.0.0.1', '127.9.9.9', '::1', '10.0.0.1', '127.example'].map(isLoopback), [
    true,
    true,
    true,
    false,
    false,
  ]);
});
