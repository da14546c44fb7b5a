/** Attacks on the mirror's door by a client: each malformed request has a code, a status and a record, and asks nobody. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Code, MirrorError } from '../../src/errors.ts';
import { type OpenDoor, openDoor, raw } from '../http/door.ts';
import { storyImage } from '../mirror/story-node.ts';

const HEX = 'a'.repeat(64);
const D = `sha256:${HEX}`;
const IMAGE = storyImage('r.test/team/app:1', { layers: [1000] });
const LAYER = IMAGE.layers[0]!.digest;

/** Path below the host, further header lines; what it is refused with. */
type Case = readonly [what: string, path: string, code: Code | undefined, status: number, headers?: string];

const blob = (digest: string): string => `/v2/team/app/blobs/${digest}?ns=r.test`;
const named = (name: string, ns = 'ns=r.test'): string => `/v2/${name}/manifests/1?${ns}`;
const tagged = (tag: string): string => `/v2/team/app/manifests/${tag}?ns=r.test`;

const CASES: readonly Case[] = [
  ['63 hex digits', blob(`sha256:${HEX.slice(1)}`), 'DIGEST_INVALID', 400],
  ['65 hex digits', blob(`sha256:${HEX}a`), 'DIGEST_INVALID', 400],
  ['upper case hex', blob(`sha256:${HEX.toUpperCase()}`), 'DIGEST_INVALID', 400],
  ['an upper case algorithm', blob(`SHA256:${HEX}`), 'DIGEST_INVALID', 400],
  ['sha1', blob(`sha1:${HEX.slice(24)}`), 'DIGEST_INVALID', 400],
  ['md5', blob(`md5:${HEX.slice(32)}`), 'DIGEST_INVALID', 400],
  ['a sha512 of 64 digits', blob(`sha512:${HEX}`), 'DIGEST_INVALID', 400],
  ['a digest without algorithm', blob(HEX), 'DIGEST_INVALID', 400],
  ['a digest that is a path', blob('sha256:..%2f..%2fetc%2fpasswd'), 'NAME_INVALID', 400],
  ['a digest with a newline', blob(`${D}%0a`), 'DIGEST_INVALID', 400],
  ['a digest with a null', blob(`${D}%00`), 'NAME_INVALID', 400],
  ['a digest in other digits', blob(`sha256:${'%D9%A1'.repeat(64)}`), 'DIGEST_INVALID', 400],
  ['a tag where a digest must stand', blob('latest'), 'DIGEST_INVALID', 400],
  ['a malformed digest of a manifest', tagged(`sha256:${HEX.slice(1)}`), 'DIGEST_INVALID', 400],
  ['an upper case name', named('Team/app'), 'NAME_INVALID', 400],
  ['an empty component', named('team//app'), 'NAME_INVALID', 400],
  ['a dot segment', named('team/../app'), 'NAME_INVALID', 400],
  ['an encoded dot segment', named('team/%2e%2e/app'), 'NAME_INVALID', 400],
  ['an encoded slash', named('team%2fapp'), 'NAME_INVALID', 400],
  ['an encoded backslash', named('team%5capp'), 'NAME_INVALID', 400],
  ['a null in a name', named('team%00/app'), 'NAME_INVALID', 400],
  ['a name that is encoded twice', named('team%252fapp'), 'NAME_INVALID', 400],
  ['a name of 300 characters', named('a'.repeat(300)), 'NAME_INVALID', 400],
  ['a name that ends in a dash', named('team/app-'), 'NAME_INVALID', 400],
  ['a newline in a name', named('team/app%0a'), 'REQUEST_INVALID', 400],
  ['broken percent-encoding', named('team/app%zz'), 'REQUEST_INVALID', 400],
  ['percent-encoding that is no UTF-8', named('team/app%ff'), 'REQUEST_INVALID', 400],
  ['dots for a reference', tagged('..'), 'TAG_INVALID', 400],
  ['a tag of 129 characters', tagged('a'.repeat(129)), 'TAG_INVALID', 400],
  ['a tag that begins with a dash', tagged('-x'), 'TAG_INVALID', 400],
  ['a tag with a space', tagged('a%20b'), 'TAG_INVALID', 400],
  ['a tag with a newline', tagged('a%0ab'), 'TAG_INVALID', 400],
  ['a registry that is not listed', named('team/app', 'ns=other.test'), 'NOT_MIRRORED', 404],
  ['a link-local address', named('team/app', 'ns=169.254.169.254'), 'NOT_MIRRORED', 404],
  ['a port of this machine', named('team/app', 'ns=localhost:22'), 'NOT_MIRRORED', 404],
  ['the registry under another port', named('team/app', 'ns=r.test:5000'), 'NOT_MIRRORED', 404],
  ['two ns', named('team/app', 'ns=r.test&ns=other.test'), 'REQUEST_INVALID', 400],
  ['one ns twice', named('team/app', 'ns=r.test&ns=r.test'), 'REQUEST_INVALID', 400],
  ['an empty ns', named('team/app', 'ns='), 'NAME_INVALID', 400],
  ['an ns with a user', named('team/app', 'ns=user@r.test'), 'NAME_INVALID', 400],
  ['an ns with a path', named('team/app', 'ns=r.test/..'), 'NAME_INVALID', 400],
  ['an ns with a scheme', named('team/app', 'ns=http://r.test'), 'NAME_INVALID', 400],
  ['an upper case ns', named('team/app', 'ns=R.TEST'), 'NAME_INVALID', 400],
  ['a newline in ns', named('team/app', 'ns=r.test%0a'), 'NAME_INVALID', 400],
  ['a repository that looks like a registry, without ns', '/v2/other.test/app/manifests/1', 'NOT_MIRRORED', 404],
  ['no registry at all', '/v2/app/manifests/1', 'NAME_INVALID', 400],
  ['a catalogue', '/v2/_catalog', 'REQUEST_INVALID', 400],
  ['a list of tags', '/v2/team/app/tags/list?ns=r.test', 'REQUEST_INVALID', 400],
  ['referrers of what is nowhere', `/v2/team/app/referrers/${D}?ns=r.test`, 'CONTENT_ABSENT', 404],
  ['referrers of a tag', '/v2/team/app/referrers/1?ns=r.test', 'DIGEST_INVALID', 400],
  ['two question marks', `${blob(D)}?ns=r.test`, 'REQUEST_INVALID', 400],
  ['a very long path', named(`team/${'a/'.repeat(2000)}app`), 'REQUEST_INVALID', 400],
  ['a range of letters', blob(LAYER), 'RANGE_INVALID', 416, 'Range: bytes=a-b\r\n'],
  ['two ranges', blob(LAYER), 'RANGE_INVALID', 416, 'Range: bytes=0-1,5-6\r\n'],
  ['a range from the end', blob(LAYER), 'RANGE_INVALID', 416, 'Range: bytes=-5\r\n'],
  ['a range that ends before it starts', blob(LAYER), 'RANGE_INVALID', 416, 'Range: bytes=9-5\r\n'],
  ['a range of another unit', blob(LAYER), 'RANGE_INVALID', 416, 'Range: items=0-5\r\n'],
  ['a negative range', blob(LAYER), 'RANGE_INVALID', 416, 'Range: bytes=-5-9\r\n'],
  ['a range too large for a number', blob(LAYER), 'RANGE_INVALID', 416, `Range: bytes=${'9'.repeat(30)}-\r\n`],
  ['a range that starts at the end', blob(LAYER), 'RANGE_INVALID', 416, 'Range: bytes=1000-\r\n'],
  ['a content under a name that does not reach it', `/v2/team/other/blobs/${LAYER}?ns=r.test`, 'CONTENT_ABSENT', 404],
  ['a sha512 of what is there as sha256', blob(`sha512:${HEX}${HEX}`), 'CONTENT_ABSENT', 404],
  ['a tag that looks like a signature', tagged(`sha256-${HEX}.sig`), 'CONTENT_ABSENT', 404],
];

void describe('a request to the mirror with', () => {
  let door: OpenDoor;
  before(async () => {
    door = await openDoor();
    door.node.keep(IMAGE);
    await door.story.node('other');
    await door.story.world.sleep(400);
  });
  after(() => door.close());

  for (const [what, path, code, status, headers = ''] of CASES)
    void it(`${what} is refused as ${code}`, async () => {
      const records = door.node.audit.of('pull.refused').length;
      const answer = await raw(
        door.port,
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${door.port}\r\nConnection: close\r\n${headers}\r\n`,
      );
      assert.deepEqual([answer.status, answer.ended], [status, 'FIN']);
      const said = JSON.parse(answer.bytes.subarray(answer.bytes.indexOf('\r\n\r\n') + 4).toString()) as {
        errors: { code: string }[];
      };
      assert.equal(said.errors[0]!.code, status === 404 ? 'NOT_FOUND' : code);
      const refused = door.node.audit.of('pull.refused').slice(records);
      assert.deepEqual(
        refused.map(one => one.code),
        [code],
      );
      assert.deepEqual(door.node.asked, []);
    });

  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
    void it(`${method} is refused as METHOD_UNSUPPORTED, with a body and without, and nothing is written`, async () => {
      const records = door.node.audit.of('pull.refused').length;
      const images = await door.node.store.images();
      for (const path of [blob('uploads/'), tagged('1')])
        for (const body of ['', 'x=1'])
          assert.equal(
            (
              await raw(
                door.port,
                `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${door.port}\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
              )
            ).status,
            405,
          );
      const refused = door.node.audit.of('pull.refused').slice(records);
      assert.deepEqual(
        refused.map(({ code }) => code),
        Array.from({ length: 4 }, () => 'METHOD_UNSUPPORTED'),
      );
      assert.deepEqual(await door.node.store.images(), images);
    });

  void it('headers larger than any containerd sends is refused, and the door goes on', async () => {
    const large = `GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1:${door.port}\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`;
    assert.ok([400, 431].includes((await raw(door.port, large)).status));
    assert.equal((await raw(door.port, 'nonsense\r\n\r\n')).status, 400);
    const smuggled = `GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1:${door.port}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
    assert.equal((await raw(door.port, smuggled)).status, 400);
    assert.equal((await door.get('/healthz')).status, 200);
  });

  void it('a registry that no policy lists is refused before anything is looked up', async () => {
    const { peers } = door.node.rooms;
    let looked = 0;
    Object.assign(door.node.rooms, {
      peers: { ...peers, holders: () => ((looked += 1), []), tagStatements: () => ((looked += 1), []) },
    });
    await door.get(named('team/app', 'ns=other.test'));
    Object.assign(door.node.rooms, { peers });
    assert.equal(looked, 0);
  });

  void it('nothing wrong, while refusals cannot be recorded, is not answered either', async () => {
    door.node.audit.broken = true;
    const wrong = await door.get(blob('latest'));
    const right = await door.get(`/v2/team/app/manifests/${IMAGE.target.digest}?ns=r.test`);
    door.node.audit.broken = false;
    assert.deepEqual([wrong.status, right.status], [503, 503]);
    assert.ok(!right.body.includes(IMAGE.config.digest));
    assert.ok(new MirrorError('AUDIT_UNAVAILABLE', '').kind === 'unavailable');
  });
});
