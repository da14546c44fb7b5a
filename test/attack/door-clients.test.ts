/**
 * Who may ask at the mirror's door: another web page by DNS rebinding, and whoever reaches loopback without the client
 * token. What is refused looks as if it were not here, is on record, and says nothing of the token.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pino from 'pino';
import { tokenDoor } from '../../src/cli/client-token.ts';
import { loadConfig } from '../../src/cli/config.ts';
import { layGround, startNode } from '../../src/cli/daemon.ts';
import { hasCode } from '../../src/errors.ts';
import { realDisk } from '../../src/store/disk.ts';
import { realWorld } from '../../src/world.ts';
import { type OpenDoor, openDoor, type RawAnswer, raw } from '../http/door.ts';
import { storyImage } from '../mirror/story-node.ts';
import { pullImage } from '../support/pull-client.ts';
import { type NodeFolder, nodeFolder } from './state-ground.ts';

const TOKEN = 'a-client-token-of-a-test';
const IMAGE = storyImage('r.test/team/app:1', { layers: [1000] });
const ABSENT = `sha256:${'a'.repeat(64)}`;
const at = (kind: 'manifests' | 'blobs', what: string): string => `/v2/team/app/${kind}/${what}?ns=r.test`;

/** What came, without the line that says when. */
const textOf = ({ bytes }: RawAnswer): string => bytes.toString('latin1').replace(/\r\ndate: [^\r]*/i, '');

void describe('a door that asks for a client token', () => {
  let dir: string;
  let door: OpenDoor;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pinnace-door-'));
    await writeFile(join(dir, 'token'), TOKEN, { mode: 0o600 });
    door = await openDoor();
    door.authorize = await tokenDoor(realDisk, join(dir, 'token'));
    door.node.keep(IMAGE);
    await door.story.world.sleep(400);
  });
  after(async () => {
    await door.close();
    await rm(dir, { recursive: true });
  });
  const ask = (path: string, { method = 'GET', token = '', more = '' } = {}): Promise<RawAnswer> => {
    const shown = token && `Authorization: Bearer ${token}\r\n`;
    const lines = `Host: 127.0.0.1:${door.port}\r\nConnection: close\r\n${shown}${more}`;
    return raw(door.port, `${method} ${path} HTTP/1.1\r\n${lines}\r\n`);
  };
  /** Codes recorded while `work` ran, and whether anything was begun for it. */
  const recorded = async (work: () => Promise<unknown>): Promise<unknown[]> => {
    const { length } = door.node.audit.events;
    await work();
    return door.node.audit.events.slice(length).map(event => ('code' in event ? event.code : event.event));
  };

  const CONTENT: readonly (readonly [what: string, path: string, method?: string, more?: string])[] = [
    ['a manifest by its tag', at('manifests', '1')],
    ['HEAD of a tag', at('manifests', '1'), 'HEAD'],
    ['a manifest by its digest', at('manifests', IMAGE.target.digest)],
    ['a blob', at('blobs', IMAGE.layers[0]!.digest)],
    ['HEAD of a blob', at('blobs', IMAGE.layers[0]!.digest), 'HEAD'],
    ['a part of a blob', at('blobs', IMAGE.layers[0]!.digest), 'GET', 'Range: bytes=1-5\r\n'],
    ['a part that is none', at('blobs', IMAGE.layers[0]!.digest), 'GET', 'Range: bytes=9-1\r\n'],
    ['a malformed digest', at('blobs', 'sha256:1')],
    ['a registry that is not mirrored', '/v2/team/app/manifests/1?ns=other.test'],
    ['a list of tags', '/v2/team/app/tags/list?ns=r.test'],
  ];
  for (const [what, path, method = 'GET', more = ''] of CONTENT)
    for (const [whose, token] of [
      ['no token', ''],
      ['another token', TOKEN.toUpperCase()],
    ] as const)
      void it(`answers ${what} with ${whose} as what is not here, byte by byte, on record, and looks nothing up`, async () => {
        const absent = await ask(at('blobs', ABSENT), { method, token: TOKEN });
        assert.equal(absent.status, 404);
        let refused: RawAnswer | undefined;
        const codes = await recorded(async () => (refused = await ask(path, { method, token, more })));
        assert.equal(textOf(refused!), textOf(absent));
        assert.equal(refused!.ended, absent.ended);
        assert.deepEqual(codes, ['CLIENT_UNAUTHORIZED']);
        assert.deepEqual(door.node.asked, []);
      });

  void it('answers who shows the token as ever, mistakes included', async () => {
    for (const [what, path, method = 'GET', more = ''] of CONTENT.slice(0, 6))
      assert.ok([200, 206].includes((await ask(path, { method, token: TOKEN, more })).status), what);
    assert.equal((await ask(at('blobs', 'sha256:1'), { token: TOKEN })).status, 400);
    const { digest } = await pullImage(door.base, 'r.test/team/app:1').catch((error: unknown) => ({ digest: error }));
    assert.notEqual(digest, IMAGE.target.digest, 'a pull without the token went through');
  });

  void it('takes the first of two tokens alone, and no token elsewhere', async () => {
    const lines = (...tokens: string[]): string => tokens.map(one => `Authorization: Bearer ${one}\r\n`).join('');
    const path = at('manifests', '1');
    assert.equal((await ask(path, { more: lines('x'.repeat(20), TOKEN) })).status, 404);
    assert.equal((await ask(path, { more: `Proxy-Authorization: Bearer ${TOKEN}\r\n` })).status, 404);
    assert.equal((await ask(path, { more: `Cookie: authorization=Bearer ${TOKEN}\r\n` })).status, 404);
    assert.equal((await ask(`${path}&token=${TOKEN.length}`)).status, 404);
  });

  void it('leaves /v2/, /healthz and /readyz open, which say nothing of content', async () => {
    for (const path of ['/v2/', '/v2', '/healthz', '/readyz']) assert.equal((await ask(path)).status, 200, path);
  });

  void it('that cannot record a refusal does not say "not here" either', async () => {
    door.node.audit.broken = true;
    const { status } = await ask(at('manifests', '1'));
    door.node.audit.broken = false;
    assert.equal(status, 503);
  });
});

void describe('the door of a daemon', () => {
  let folder: NodeFolder;
  let port: number;
  const life = new AbortController();
  let stopped: Promise<void>;
  let log = '';
  before(async () => {
    folder = await nodeFolder();
    port = folder.ports.mirror;
    await writeFile(join(folder.dir, 'client-token'), `${TOKEN}\n`, { mode: 0o600 });
    const text = await readFile(folder.config, 'utf8');
    await writeFile(folder.config, text.replace(`${port}"}`, `${port}", clientTokenFile: ./client-token}`));
    const config = await loadConfig(folder.config, file => readFile(file, 'utf8'));
    const logger = pino({ level: 'debug' }, { write: line => void (log += line) });
    ({ stopped } = await startNode(await layGround(config, realWorld, logger, life.signal)));
  });
  after(async () => {
    life.abort('the test ends');
    await stopped;
    await folder.remove();
  });
  const ask = (lines: string, target = '/v2/', version = '1.1'): Promise<RawAnswer> =>
    raw(port, `GET ${target} HTTP/${version}\r\n${lines}Connection: close\r\n\r\n`);
  const records = async (): Promise<Record<string, unknown>[]> => {
    const lines = (await readFile(join(folder.stateDir, 'audit.jsonl'), 'utf8')).split('\n').filter(Boolean);
    return lines.map(line => JSON.parse(line) as Record<string, unknown>);
  };
  const refusals = async (code: string): Promise<Record<string, unknown>[]> =>
    (await records()).filter(record => record.event === 'pull.refused' && record.code === code);

  void it('answers to each of its own names, in any case', async () => {
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LocalHost:${port}`, `[::1]:${port}`])
      assert.equal((await ask(`Host: ${host}\r\n`)).status, 200, host);
  });

  const FOREIGN: readonly (readonly [what: string, lines: (port: number) => string, version?: string])[] = [
    ['another name', own => `Host: evil.test:${own}\r\n`],
    ['another name without a port', () => 'Host: evil.test\r\n'],
    ['its address without the port', () => 'Host: 127.0.0.1\r\n'],
    ['its address under another port', own => `Host: 127.0.0.1:${own + 1}\r\n`],
    ['its name with a dot at the end', own => `Host: localhost.:${own}\r\n`],
    ['its name as the start of another', own => `Host: 127.0.0.1:${own}.evil.test\r\n`],
    ['its name with a user', own => `Host: evil@127.0.0.1:${own}\r\n`],
    ['its name in a list', own => `Host: 127.0.0.1:${own}, evil.test\r\n`],
    ['its address in other digits', own => `Host: 2130706433:${own}\r\n`],
    ['its address shortened', own => `Host: 127.1:${own}\r\n`],
    ['another address of loopback', own => `Host: 127.0.0.2:${own}\r\n`],
    ['IPv6 without brackets', own => `Host: ::1:${own}\r\n`],
    ['IPv6 written out', own => `Host: [0:0:0:0:0:0:0:1]:${own}\r\n`],
    ['its address inside an IPv6 one', own => `Host: [::ffff:127.0.0.1]:${own}\r\n`],
    ['nothing', () => 'Host:\r\n'],
    ['no Host at all', () => ''],
    ['no Host at all, in HTTP/1.0', () => '', '1.0'],
    ['its own and another', own => `Host: 127.0.0.1:${own}\r\nHost: evil.test\r\n`],
    ['another and its own', own => `Host: evil.test\r\nHost: 127.0.0.1:${own}\r\n`],
    ['its own twice', own => `Host: 127.0.0.1:${own}\r\nHost: 127.0.0.1:${own}\r\n`],
    ['a forwarded name', own => `Host: evil.test\r\nX-Forwarded-Host: 127.0.0.1:${own}\r\n`],
  ];
  void it('refuses every other Host with 400, on record, the token notwithstanding', async () => {
    for (const [what, lines, version] of FOREIGN) {
      const answer = await ask(`${lines(port)}Authorization: Bearer ${TOKEN}\r\n`, '/v2/', version);
      assert.equal(answer.status, 400, what);
      assert.match(answer.bytes.toString(), /"REQUEST_INVALID"/, what);
    }
    const own = await ask(`Host: 127.0.0.1:${port}\r\n`, `http://evil.test:${port}/v2/`);
    assert.equal(own.status, 400, 'a request line that names another host');
    const [first] = await refusals('REQUEST_INVALID');
    assert.equal(first?.reference, '/v2/');
  });

  void it('refuses who shows no token of its file as often as they ask, and folds the records', async () => {
    const path = '/v2/team/app/manifests/1?ns=r.test';
    for (let times = 0; times < 25; times++)
      assert.equal(
        (await ask(`Host: 127.0.0.1:${port}\r\nAuthorization: Bearer ${TOKEN}${times}\r\n`, path)).status,
        404,
      );
    const with404 = await ask(`Host: 127.0.0.1:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n`, path);
    assert.equal(with404.status, 404);
    life.abort('the test looks at its records');
    await stopped;
    assert.equal((await refusals('TAG_UNDECIDED')).length, 1);
    const counts = (await refusals('CLIENT_UNAUTHORIZED')).map(({ count }) => (count as number | undefined) ?? 1);
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      25,
    );
    assert.ok(counts.length <= 13, `${counts.length} records`);
    // Of REQUEST_INVALID, one for each request above.
    const foreign = (await refusals('REQUEST_INVALID')).map(({ count }) => (count as number | undefined) ?? 1);
    assert.equal(
      foreign.reduce((sum, count) => sum + count, 0),
      FOREIGN.length + 1,
    );
    const kept = JSON.stringify(await records());
    assert.ok(!kept.includes(TOKEN) && !log.includes(TOKEN), 'the token is in a log');
    assert.ok(kept.includes('CLIENT_UNAUTHORIZED') && log.includes('ready'));
  });
});

void describe('a daemon whose client token cannot be used', () => {
  void it('does not open its door', async () => {
    const folder = await nodeFolder();
    const text = await readFile(folder.config, 'utf8');
    await writeFile(folder.config, text.replace('"}\npeers', '", clientTokenFile: ./client-token}\npeers'));
    const config = await loadConfig(folder.config, file => readFile(file, 'utf8'));
    const start = async (): Promise<void> => {
      const life = new AbortController();
      const logger = pino({ level: 'silent' });
      try {
        const { stopped } = await startNode(await layGround(config, realWorld, logger, life.signal));
        life.abort('the test ends');
        await stopped;
      } finally {
        life.abort('the start failed');
      }
    };
    await assert.rejects(start(), error => hasCode(error, 'FILE_UNREADABLE'));
    await writeFile(join(folder.dir, 'client-token'), 'short', { mode: 0o600 });
    await assert.rejects(start(), error => hasCode(error, 'TOKEN_INVALID'));
    await writeFile(join(folder.dir, 'client-token'), TOKEN, { mode: 0o600 });
    await start();
    await folder.remove();
  });
});
