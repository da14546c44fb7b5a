/** Configurations against hostile text: read or refused by one of two codes, naming the file; what is read can be used. */
import assert from 'node:assert/strict';
import { isAbsolute } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Config, parseConfig, splitAddress } from '../../src/cli/config.ts';
import { hasCode } from '../../src/errors.ts';
import { withinRanges } from '../../src/peers/address.ts';
import { fuzz, refusedOr, smallAtTheEnd, spoilt, twisted } from '../support/fuzz.ts';

const FILE = '/etc/pinnace/config.yaml';

/** The configuration in a text, which must be usable; undefined where it is refused. */
function read(text: string): Config | undefined {
  try {
    const config = parseConfig(text, FILE);
    for (const path of [config.stateDir, config.tokenFile, config.policyFile]) assert.ok(isAbsolute(path), path);
    const { listen, advertise, bootstrap, lanePort } = config.peers;
    const addresses = [config.mirror.listen, listen, ...advertise, ...bootstrap.map(one => one.replace(/^dns:/, ''))];
    for (const { host, port } of [...addresses.map(splitAddress), { host: 'lanes', port: lanePort }])
      assert.ok(host !== '' && Number.isInteger(port) && port >= 0 && port <= 65_535, `${host} ${port}`);
    assert.ok(Number.isSafeInteger(config.spool.maxBytes) && config.spool.maxBytes > 0);
    return config;
  } catch (error) {
    assert.ok(hasCode(error, 'YAML_INVALID', 'CONFIG_INVALID'), String(error));
    assert.ok(error.message.includes(FILE), error.message);
    return undefined;
  }
}

const GOOD = {
  node: 'n1',
  stateDir: './n1',
  policyFile: 'policy.yaml',
  store: { kind: 'containerd', socket: '/run/x.sock', namespaces: ['k8s.io'] },
  mirror: { listen: '127.0.0.1:5000' },
  peers: {
    listen: '[::1]:5001',
    lanes: 5002,
    advertise: ['10.0.0.1:5001'],
    bootstrap: ['dns:a.test:5001'],
    peerCidrs: ['10.0.0.0/8'],
  },
  spool: { maxBytes: '10GiB' },
  log: { level: 'info' },
};

void test('a good configuration is read', () => {
  assert.equal(read(JSON.stringify(GOOD))?.node, 'n1');
});

void test('any text is read or refused by code', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.string({ unit: fc.constantFrom(...'{}[]:,&*!|>-?\n \t"#%@node'.split('')) }),
  );
  fuzz(fc.property(texts, text => void read(text)));
});

void test('a good configuration that is cut short anywhere, or has a bit flipped, is read or refused by code', () => {
  const text = JSON.stringify(GOOD, undefined, 1);
  fuzz(
    fc.property(fc.nat(text.length), fc.nat(text.length - 1), fc.nat(7), (length, at, bit) => {
      read(text.slice(0, length));
      const bytes = Buffer.from(text);
      bytes[at]! ^= 1 << bit;
      read(bytes.toString('latin1'));
    }),
    500,
  );
});

void test('any value under any key is read or refused by code, and what is read can be used', () => {
  const strings = [
    '',
    'n1',
    '/s',
    'a:1',
    'a:99999',
    ':1',
    '[::1]:5',
    'dns:a:70000',
    '0MiB',
    '999999TiB',
    'layout',
    'debug',
  ];
  const others = [
    0,
    -1,
    1.5,
    65_536,
    2 ** 60,
    true,
    null,
    [],
    {},
    ['a:99999'],
    ['dns:a:99999'],
    [1],
    { kind: 'containerd' },
  ];
  const leaf = fc.constantFrom<unknown>(...strings, ...others);
  const paths = Object.entries(GOOD).flatMap(([key, value]) =>
    typeof value === 'object' ? [[key], ...Object.keys(value).map(below => [key, below])] : [[key]],
  );
  fuzz(
    fc.property(fc.constantFrom(...paths), leaf, fc.boolean(), ([key = '', below], value, gone) => {
      const config = structuredClone(GOOD) as Record<string, unknown>;
      const place = (below === undefined ? config : config[key]) as Record<string, unknown>;
      if (gone) delete place[below ?? key];
      else place[below ?? key] = value;
      read(JSON.stringify(config));
    }),
  );
});

void test('a key that is not known is refused wherever it stands', () => {
  fuzz(
    fc.property(
      fc.constantFrom('', 'store', 'mirror', 'peers', 'spool', 'log'),
      fc.string({ minLength: 1, maxLength: 12 }).filter(key => !/^[a-zA-Z]+$/.test(key)),
      (where, key) => {
        const config = structuredClone(GOOD) as Record<string, unknown>;
        const place = (where ? config[where] : config) as Record<string, unknown>;
        Object.defineProperty(place, key, { value: 1, enumerable: true, configurable: true });
        assert.equal(read(JSON.stringify(config)), undefined);
      },
    ),
    500,
  );
});

smallAtTheEnd();

void test('a good configuration, spoilt anywhere, is read or refused by code', () => {
  const text = fc.oneof(
    twisted(GOOD).map(value => JSON.stringify(value)),
    spoilt(Buffer.from(JSON.stringify(GOOD))).map(bytes => bytes.toString('latin1')),
  );
  fuzz(
    fc.property(text, spelt => {
      const config = refusedOr(() => read(spelt));
      // What was read judges hosts without failing.
      if (config) assert.equal(typeof withinRanges(config.peers.peerCidrs)('10.0.0.1'), 'boolean');
    }),
  );
});
