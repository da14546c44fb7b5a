import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parseConfig } from '../../src/cli/config.ts';
import { hasCode } from '../../src/errors.ts';

const EXAMPLE = new URL('../../deploy/config.example.yaml', import.meta.url);
const MINIMAL =
  'node: n1\nstateDir: /s\npolicyFile: /p.yaml\nmirror: {listen: "127.0.0.1:5000"}\npeers: {listen: "127.0.0.1:5001"}\n';

void test('the example configuration is valid, and its paths are relative to it', async () => {
  const config = parseConfig(await readFile(EXAMPLE, 'utf8'), '/etc/pinnace/config.yaml');
  assert.equal(config.stateDir, '/etc/pinnace/n1');
  assert.equal(config.tokenFile, '/etc/pinnace/n1/token');
  assert.equal(config.policyFile, '/etc/policies/permissive.yaml');
  assert.deepEqual(config.store, { kind: 'layout' });
  assert.equal(config.spool.maxBytes, 10 * 2 ** 30);
});

void test('every optional setting has a default', () => {
  const config = parseConfig(MINIMAL, '/c.yaml');
  assert.deepEqual(config.peers, {
    listen: '127.0.0.1:5001',
    lanePort: 5002,
    advertise: [],
    bootstrap: [],
    peerCidrs: [],
  });
  assert.equal(config.log.level, 'info');
});

void test('the mirror listens on loopback of either family', () => {
  for (const listen of ['127.0.0.1:5000', '127.0.0.2:5000', '[::1]:5000', 'localhost:5000'])
    assert.equal(parseConfig(MINIMAL.replace('127.0.0.1:5000', listen), '/c.yaml').mirror.listen, listen);
});

void test('a client token is asked for where a file of it is named, and never where none is', () => {
  assert.deepEqual(parseConfig(MINIMAL, '/etc/c.yaml').mirror, { listen: '127.0.0.1:5000' });
  const named = MINIMAL.replace('5000"}', '5000", clientTokenFile: ./client-token}');
  assert.equal(parseConfig(named, '/etc/c.yaml').mirror.clientTokenFile, '/etc/client-token');
});

void test('containerd has its usual socket and the namespace of Kubernetes', () => {
  const { store } = parseConfig(`${MINIMAL}store: {kind: containerd}\n`, '/c.yaml');
  assert.deepEqual(store, { kind: 'containerd', socket: '/run/containerd/containerd.sock', namespaces: ['k8s.io'] });
});

const refused: readonly (readonly [string, string])[] = [
  ['an unknown key', `${MINIMAL}extra: 1\n`],
  ['an unknown key below', MINIMAL.replace('"}', '", tls: true}')],
  ['a port that is none', MINIMAL.replace('5000', '99999')],
  ['a mirror that others reach', MINIMAL.replace('127.0.0.1:5000', '0.0.0.0:5000')],
  ['a mirror on a name that is not localhost', MINIMAL.replace('127.0.0.1:5000', '127.0.0.1.example:5000')],
  ['an empty client token file', MINIMAL.replace('5000"}', '5000", clientTokenFile: ""}')],
  ['a client token file that is null', MINIMAL.replace('5000"}', '5000", clientTokenFile: ~}')],
  ['a client token itself', MINIMAL.replace('5000"}', '5000", clientToken: abcdefabcdefabcdef}')],
  ['a listen address without a port', MINIMAL.replace('127.0.0.1:5000', '127.0.0.1')],
  ['a node name that is no DNS label', MINIMAL.replace('n1', 'N_1')],
  ['no mirror', MINIMAL.replace(/mirror.*\n/, '')],
  ['a store that is not known', `${MINIMAL}store: {kind: docker}\n`],
  ['a size without a unit', `${MINIMAL}spool: {maxBytes: "10"}\n`],
  ['a bootstrap that is no address', MINIMAL.replace('5001"}', '5001", bootstrap: ["nobody"]}')],
  ['a range of peers that is none', MINIMAL.replace('5001"}', '5001", peerCidrs: ["10.0.0.0/33"]}')],
  ['a log level that is not known', `${MINIMAL}log: {level: loud}\n`],
];
for (const [what, text] of refused)
  void test(`a configuration with ${what} is refused and names the file`, () => {
    assert.throws(
      () => parseConfig(text, '/c.yaml'),
      error => hasCode(error, 'CONFIG_INVALID') && error.message.includes('/c.yaml'),
    );
  });

void test('a configuration that is no YAML is refused', () => {
  assert.throws(
    () => parseConfig('node: [', '/c.yaml'),
    error => hasCode(error, 'YAML_INVALID'),
  );
  assert.throws(
    () => parseConfig('node: a\nnode: b\n', '/c.yaml'),
    error => hasCode(error, 'YAML_INVALID'),
  );
});
