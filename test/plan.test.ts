/**
 * The plan of the house as a test: who may import whom, which library stands where, and that nobody but `world.ts` and the
 * wires touches clock, timers and randomness. Change the plan and the house's picture in one commit.
 */
import assert from 'node:assert/strict';
import { posix } from 'node:path';
import { describe, it } from 'node:test';
import { codeOf, type Import, importsOf, type Source, sources } from './support/source-text.ts';

const ROOMS = ['store', 'peers', 'upstream', 'policy', 'trust', 'identity', 'audit'] as const;
const GROUND = ['errors', 'world', 'yaml', 'oci', 'proof'] as const;

/** Which part may import which others; a part is a folder of `src`, or a file at its top. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  world: ['errors'],
  yaml: ['errors'],
  oci: ['errors'],
  proof: ['errors', 'oci'],
  ...Object.fromEntries(ROOMS.map(room => [room, GROUND])),
  audit: ['errors', 'world', 'oci'],
  mirror: ['errors', 'world', 'oci', 'proof', ...ROOMS],
  http: ['errors', 'world', 'oci', 'mirror', 'audit', 'policy'],
  cli: [...GROUND, ...ROOMS, 'mirror', 'http'],
};

const ANYWHERE = /^/;
/** Where a library may be imported; what matches no line may be imported nowhere. The first match counts. */
const LIBRARIES: readonly (readonly [library: RegExp, where: RegExp])[] = [
  [/^@grpc\//, /^store\/containerd/],
  [/^(?:libp2p|multiformats|@libp2p|@multiformats|@chainsafe)(?:\/|$)/, /^peers\/(?:wire-libp2p|encrypter)\.ts$/],
  [/^jose$/, /^identity\//],
  [/^fastify$/, /^http\//],
  [/^@sigstore\//, /^trust\//],
  [/^undici$/, /^upstream\//],
  [/^yaml$/, /^yaml\.ts$/],
  [/^tar-stream$/, /^store\/archive/],
  [/^pino$/, /^cli\//],
  [/^node:(?:path|util|url|buffer)$/, ANYWHERE],
  [/^node:crypto$/, /^(?!errors|yaml|http|mirror)/],
  [/^node:fs(?:\/promises)?$/, /^(?:store\/disk|cli\/)/],
  [/^node:tls$/, /^peers\/wire-lane\.ts$/],
  [/^node:(?:net|dns)(?:\/promises)?$/, /^(?:peers\/(?:wire-|lane-socket\.ts)|cli\/)/],
  [/^node:zlib$/, /^trust\/policy-packing\.ts$/],
  [/^node:https?$/, /^(?:http|cli)\//],
  [/^node:stream(?:\/promises)?$/, /^(?:http|cli|store|peers\/wire-)/],
  [/^node:(?:os|process|readline(?:\/promises)?)$/, /^cli\//],
];
/** Names of node:net that only look at text. */
const PURE_NET = /^\s*\{(?:\s*(?:isIP|isIPv4|isIPv6|BlockList)\s*,?)+\}\s*$/;

/** What only `world.ts` and the wires may call. `new Date(ms)` only formats, and is fine. */
const WORLD_ONLY =
  /\bDate\.now\b|\bDate\(\s*\)|\bnew Date\b(?!\()|\bset(?:Timeout|Interval|Immediate)\b|\bperformance\b|\bMath\.random\b|\bAbortSignal\.timeout\b|\brandom(?:Bytes|UUID|Int|Fill|FillSync)\b|\bgetRandomValues\b|\bhrtime\b|\bgenerateKey(?:Pair|PairSync|Sync)?\b/;
const MAY_TOUCH_WORLD = /^(?:world\.ts|peers\/wire-[a-z0-9-]+\.ts)$/;

const partOf = (path: string): string => path.split('/')[0]?.replace(/\.ts$/, '') ?? '';

function relativeProblem(path: string, from: string): string | undefined {
  const target = posix.join(posix.dirname(path), from);
  if (target.startsWith('../')) return 'leaves src';
  if (!target.endsWith('.ts')) return 'does not end in .ts';
  const [own, other] = [partOf(path), partOf(target)];
  if (own === other) return undefined;
  if (!MAY_IMPORT[own]?.includes(other)) return `${own} may not know ${other}`;
  const port = target.includes('/') ? `${other}/${other}.ts` : target;
  return own === 'cli' || target === port ? undefined : `${other} is entered by ${port} only`;
}

function importProblem(path: string, { from, names }: Import): string | undefined {
  if (from === undefined) return 'a computed import';
  if (from.startsWith('.')) return relativeProblem(path, from);
  if (from === 'node:net' && PURE_NET.test(names)) return undefined;
  const where = LIBRARIES.find(([library]) => library.test(from))?.[1];
  if (!where) return 'no place is planned for it';
  return where.test(path) ? undefined : `its place is ${where.source}`;
}

/** What is wrong with a file of `src`, each with its line. */
function problemsOf({ path, text }: Source): string[] {
  const own = path.replace(/^src\//, '');
  const imports = importsOf(text).map(one => {
    const problem = importProblem(own, one);
    return problem && `${path}:${one.line}: import of ${one.from ?? '?'}: ${problem}`;
  });
  const calls = codeOf(text)
    .split('\n')
    .map((line, at) => {
      const [name] = MAY_TOUCH_WORLD.test(own) ? [] : (WORLD_ONLY.exec(line) ?? []);
      return name && `${path}:${at + 1}: ${name} is the world's`;
    });
  const part = MAY_IMPORT[partOf(own)] ? [] : [`${path}: ${partOf(own)} is not in the plan`];
  return [...part, ...imports, ...calls].filter(problem => problem !== undefined && problem !== '') as string[];
}

void describe('the plan of the house', () => {
  void it('holds for every file of src', () => {
    const files = sources('src/**/*.ts');
    assert.ok(files.length > 20, 'the files of src were not found');
    const problems = files.flatMap(problemsOf);
    assert.equal(problems.length, 0, `\n${problems.join('\n')}`);
  });

  const BAD: readonly (readonly [what: string, path: string, text: string])[] = [
    ['a room that knows another', 'store/layout.ts', "import { a } from '../peers/peers.ts';"],
    ['a type import sideways', 'trust/tags.ts', "import type { Policy } from '../policy/policy.ts';"],
    ['an import upwards', 'oci/digest.ts', "export * from '../proof/proof.ts';"],
    ['a room entered past its port', 'mirror/pull.ts', "import {\n  a,\n} from '../store/spool.ts';"],
    ['a door that knows the store', 'http/registry.ts', "import type { Store } from '../store/store.ts';"],
    ['an import out of src', 'cli/main.ts', "import '../../test/support/hostile.ts';"],
    ['an import without its ending', 'mirror/pull.ts', "import { a } from './fetch';"],
    ['a library in a foreign room', 'peers/sync.ts', "import { jwtVerify } from 'jose';"],
    ['libp2p past the wire', 'peers/sync.ts', "import { peerIdFromString } from '@libp2p/peer-id';"],
    ['a library without a place', 'cli/main.ts', "import lodash from 'lodash';"],
    ['the file system in a room', 'identity/self.ts', "import { readFile } from 'node:fs/promises';"],
    ['a network call hidden among pure names', 'peers/address.ts', "import { isIP, connect } from 'node:net';"],
    ['a dynamic import sideways', 'store/layout.ts', "const x = await import('../peers/peers.ts');"],
    ['a computed import', 'cli/main.ts', 'const x = await import(name);'],
    ['a clock', 'mirror/pull.ts', 'const now = Date.now();'],
    ['a clock by its constructor', 'mirror/pull.ts', 'const now = new Date().getTime();'],
    ['a timer', 'peers/sync.ts', 'setTimeout(() => {}, 10);'],
    ['a timer in a template', 'peers/sync.ts', 'const a = `x ${setInterval(f, 10)}`;'],
    ['a deadline of its own', 'peers/lane.ts', 'const s = AbortSignal.timeout(5);'],
    ['randomness', 'peers/lane-keys.ts', "import { randomBytes } from 'node:crypto';\nrandomBytes(16);"],
    ['a key of its own making', 'identity/key.ts', "generateKeyPairSync('ed25519');"],
    ['a folder that is not planned', 'utils/a.ts', ''],
  ];
  for (const [what, path, text] of BAD)
    void it(`fails on ${what}`, () => {
      assert.notEqual(problemsOf({ path: `src/${path}`, text }).length, 0);
    });

  const GOOD: readonly (readonly [what: string, path: string, text: string])[] = [
    [
      'what comments and strings say',
      'mirror/pull.ts',
      "// import '../http/x.ts'\nconst a = \"from 'jose'\"; /* Date.now() */",
    ],
    ['a date that is only formatted', 'mirror/why.ts', 'const a = `${new Date(at).toISOString()}`;'],
    ['the command line past a port', 'cli/daemon.ts', "import { openSpool } from '../store/spool.ts';"],
    ['pure names of node:net', 'peers/address.ts', "import { isIP } from 'node:net';"],
    ['a sleep of the world', 'peers/sync.ts', 'await world.sleep(10, signal); const d: Date = x; world.random(16);'],
    ['the wire with its library', 'peers/wire-libp2p.ts', "import { createLibp2p } from 'libp2p';\nsetTimeout(f, 1);"],
  ];
  for (const [what, path, text] of GOOD)
    void it(`lets pass ${what}`, () => {
      assert.deepEqual(problemsOf({ path: `src/${path}`, text }), []);
    });
});
