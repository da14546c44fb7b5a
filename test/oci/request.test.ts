import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Code, hasCode } from '../../src/errors.ts';
import { parseRange, parseRequest } from '../../src/oci/request.ts';

const DIGEST = `sha256:${'0'.repeat(64)}`;
const refuses = (code: Code, work: () => unknown): void => assert.throws(work, error => hasCode(error, code));

void test('what containerd sends is read: the registry in ns, a tag, a digest, a range', () => {
  const where = { registry: 'registry.example', repository: 'team/app' };
  assert.deepEqual(parseRequest('HEAD', '/v2/team/app/manifests/1?ns=registry.example'), {
    ...where,
    method: 'HEAD',
    kind: 'manifest',
    reference: { tag: '1' },
  });
  assert.deepEqual(parseRequest('GET', `/v2/team/app/blobs/${DIGEST}?ns=registry.example%3A5000`, 'bytes=10-'), {
    ...where,
    registry: 'registry.example:5000',
    method: 'GET',
    kind: 'blob',
    reference: { digest: DIGEST },
    range: { start: 10 },
  });
});

void test('without ns the path names the registry', () => {
  const { registry, repository } = parseRequest('GET', '/v2/registry.example/a/b/manifests/1');
  assert.deepEqual([registry, repository], ['registry.example', 'a/b']);
  refuses('NAME_INVALID', () => parseRequest('GET', '/v2/a/manifests/1'));
});

void test('a repository may have a component that is called manifests or blobs', () => {
  const { repository, kind } = parseRequest('GET', `/v2/a/manifests/b/blobs/${DIGEST}?ns=registry.example`);
  assert.deepEqual([repository, kind], ['a/manifests/b', 'blob']);
});

for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'get', '', 'TRACE'])
  void test(`the method ${JSON.stringify(method)} is not a pull`, () =>
    refuses('METHOD_UNSUPPORTED', () => parseRequest(method, '/v2/a/manifests/1?ns=registry.example')));

for (const [code, target] of [
  ['REQUEST_INVALID', ''],
  ['REQUEST_INVALID', '/'],
  ['REQUEST_INVALID', '/v2/'],
  ['REQUEST_INVALID', '/v2/_catalog'],
  ['REQUEST_INVALID', '/v1/a/manifests/1'],
  ['REQUEST_INVALID', 'http://registry.example/v2/a/manifests/1'],
  ['REQUEST_INVALID', '/v2/a/tags/list'],
  ['REQUEST_INVALID', '/v2/a/manifests/'],
  ['REQUEST_INVALID', '/v2/a/manifests/1/'],
  ['REQUEST_INVALID', '/v2/a/blobs/uploads/1'],
  ['REQUEST_INVALID', '/v2/a/manifests/%zz'],
  ['REQUEST_INVALID', '/v2/a/manifests/%ff'],
  ['REQUEST_INVALID', '/v2/a/manifests/1?ns=registry.example?ns=registry.example'],
  ['REQUEST_INVALID', '/v2/a/manifests/1?ns=registry.example&ns=other.example'],
  ['REQUEST_INVALID', `/v2/a/manifests/1?${'x'.repeat(2048)}`],
  ['NAME_INVALID', '/v2/a/manifests/1?ns='],
  ['NAME_INVALID', '/v2/a/manifests/1?ns=http://registry.example'],
  ['NAME_INVALID', '/v2/a/manifests/1?ns=registry.example%2f..'],
  ['NAME_INVALID', '/v2/a/manifests/1?ns=registry.example%00'],
  ['NAME_INVALID', '/v2/../v2/a/manifests/1?ns=registry.example'],
  ['NAME_INVALID', '/v2/a/../b/manifests/1?ns=registry.example'],
  ['NAME_INVALID', '/v2/a/%2e%2e/b/manifests/1?ns=registry.example'],
  ['NAME_INVALID', '/v2/a%2fb/manifests/1?ns=registry.example'],
  ['NAME_INVALID', '/v2/a%2Fb/manifests/1?ns=registry.example'],
  ['NAME_INVALID', '/v2/a%5cb/manifests/1?ns=registry.example'],
  ['NAME_INVALID', '/v2/a%252fb/manifests/1?ns=registry.example'],
  ['NAME_INVALID', '/v2//a/manifests/1?ns=registry.example'],
  ['NAME_INVALID', '/v2/a%00/manifests/1?ns=registry.example'],
  ['TAG_INVALID', '/v2/a/manifests/%20?ns=registry.example'],
  ['TAG_INVALID', '/v2/a/manifests/1%0a?ns=registry.example'],
  ['TAG_INVALID', '/v2/a/manifests/1#x?ns=registry.example'],
  ['DIGEST_INVALID', '/v2/a/blobs/latest?ns=registry.example'],
  ['DIGEST_INVALID', `/v2/a/blobs/${DIGEST}0?ns=registry.example`],
] as const)
  void test(`no pull: ${target.slice(0, 70)}`, () => refuses(code, () => parseRequest('GET', target)));

void test('a range is one, from a first byte on', () => {
  assert.deepEqual(parseRange('bytes=0-'), { start: 0 });
  assert.deepEqual(parseRange('bytes=5-5'), { start: 5, end: 5 });
  assert.deepEqual(parseRange('bytes=999999999999999-'), { start: 999_999_999_999_999 });
  const BAD = [
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=-5',
    'bytes=5-4',
    'bytes=0-1,3-4',
    'bytes=0-1, 3-4',
    'Bytes=0-',
  ];
  for (const header of [
    ...BAD,
    'bytes=0-\n',
    ' bytes=0-',
    'items=0-',
    'bytes=0x1-',
    'bytes=1e3-',
    'bytes=9999999999999999-',
  ])
    refuses('RANGE_INVALID', () => parseRange(header));
});
