import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../../src/errors.ts';
import { parseNodeName, parsePeerId } from '../../src/oci/node.ts';

const refuses = (work: () => unknown): void => assert.throws(work, error => hasCode(error, 'NAME_INVALID'));

void test('the name of a node is a DNS label', () => {
  for (const name of ['a', 'n1', 'a-b', 'x'.repeat(63)]) assert.equal(parseNodeName(name), name);
  for (const name of ['', '-a', 'a-', 'A', 'a.b', 'a_b', 'x'.repeat(64), 'a\n', '../a', 'ä'])
    refuses(() => parseNodeName(name));
});

void test('a peer id is one of an Ed25519 key', () => {
  const peer = `12D3KooW${'z'.repeat(44)}`;
  assert.equal(parsePeerId(peer), peer);
  for (const text of ['', 'Qm', peer.slice(1), `${peer}z`, peer.replace('z', '0'), peer.replace('z', 'l'), `${peer}\n`])
    refuses(() => parsePeerId(text));
});
