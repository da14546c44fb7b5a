/** `pinnace pins generate` and where images come from: nothing is completed by a guess, nothing left out unseen. */
import assert from 'node:assert/strict';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { kubeImages } from '../../src/cli/kube-images.ts';
import { buildImage } from '../support/images.ts';
import { codeIn, digest, exits, freshFolder, pinnace } from '../support/command-line.ts';

const folder = await freshFolder();
const [A, B] = [digest('a'), digest('b')];

const DEPLOYMENT = `# a comment
%YAML 1.2
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    spec:
      initContainers: [{name: init, image: "r.test/team/init:1@${A}"}]
      containers:
        - name: app
          image: r.test/team/app:1.0@${B}
        - {name: same, image: "r.test/team/app:1.0@${B}"}
      volumes: [{name: model, image: {reference: "r.test/team/model:3@${A}"}}]
---
kind: ConfigMap
data:
  text: |
    not: an image
--- # a job
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: "r.test/team/job:2"}, {image: "nginx:1"}, {image: "team/x:1"}]}}}}}
...
`;

void test('every image of Kubernetes manifests is found, in containers, jobs and volumes, of several documents', () => {
  assert.deepEqual(
    kubeImages(DEPLOYMENT, 'f').map(({ text }) => text),
    [
      `r.test/team/init:1@${A}`,
      `r.test/team/app:1.0@${B}`,
      `r.test/team/model:3@${A}`,
      'r.test/team/job:2',
      'nginx:1',
      'team/x:1',
    ],
  );
});

void test('an image without a registry is told apart: no default registry is guessed', () => {
  const found = kubeImages(DEPLOYMENT, 'f');
  for (const name of ['nginx:1', 'team/x:1']) {
    const image = found.find(({ text }) => text === name)!;
    assert.equal(image.reference, undefined);
    assert.ok(image.why);
  }
});

void test('a list in JSON of more than a YAML file may have is read', () => {
  const items = Array.from({ length: 20_000 }, (_, at) => ({
    spec: { containers: [{ image: `r.test/a/b${at}:1@${A}` }] },
  }));
  assert.equal(kubeImages(JSON.stringify({ kind: 'List', items }), 'f').length, 20_000);
});

void test('what is no YAML, has a key twice or an alias, is refused with file and document', () => {
  for (const text of ['a: [', 'a: 1\n---\nb: 1\nb: 2', '---\na: &x 1\nb: *x']) {
    assert.throws(() => kubeImages(text, 'some.yaml'), { code: 'YAML_INVALID', message: /^some\.yaml/ });
  }
  assert.throws(() => kubeImages(`${'['.repeat(200)}${']'.repeat(200)}`, 'f'), { code: 'YAML_INVALID' });
});

void test('references become a sorted lock file with a note, readable by all, and never over another', async () => {
  const out = folder.at('prod.lock');
  const argv = ['pins', 'generate', `r.test/b:1@${B}`, `r.test/a:1@${A}`, '--out', out, '--note', 'alice 2026-11-20'];
  const { json } = exits(await pinnace(...argv, '--json'), 0);
  assert.deepEqual(json.pins, [
    { reference: 'r.test/b:1', digest: B },
    { reference: 'r.test/a:1', digest: A },
  ]);
  assert.equal(
    await folder.text('prod.lock'),
    `pinnace-pins 1 serial 1\nr.test/a:1 ${A} # alice 2026-11-20\nr.test/b:1 ${B} # alice 2026-11-20\n`,
  );
  assert.equal((await stat(out)).mode & 0o777, 0o644);
  assert.equal(codeIn(exits(await pinnace(...argv, '--json'), 64)), 'FILE_EXISTS');
});

void test('without --out the lock file is what is printed', async () => {
  const { out } = exits(await pinnace('pins', 'generate', `r.test/a:1@${A}`), 0);
  assert.equal(out, `pinnace-pins 1 serial 1\nr.test/a:1 ${A}\n`);
});

void test('what has no digest or no tag is said to be left out, and nothing but that is an error', async () => {
  const file = await folder.put('deployment.yaml', DEPLOYMENT);
  const { json } = exits(await pinnace('pins', 'generate', `r.test/x@${A}`, '--manifests', file, '--json'), 0);
  assert.deepEqual(
    (json.skipped as { image: string }[]).map(({ image }) => image),
    [`r.test/x@${A}`, 'r.test/team/job:2', 'nginx:1', 'team/x:1'],
  );
  assert.equal((json.pins as unknown[]).length, 3);
  assert.match((await pinnace('pins', 'generate', '--manifests', file)).err, /not pinned: r\.test\/team\/job:2/);
  assert.equal(codeIn(exits(await pinnace('pins', 'generate', 'r.test/x:1', '--json'), 4)), 'CONTENT_ABSENT');
});

void test('a tag that two sources give two digests is pinned to neither', async () => {
  const printed = await pinnace('pins', 'generate', `r.test/a:1@${A}`, `r.test/a:1@${B}`, '--json');
  assert.equal(codeIn(exits(printed, 64)), 'PINS_INVALID');
});

void test('a folder of manifests is read file by file', async () => {
  await mkdir(folder.at('manifests'));
  await folder.put('manifests/a.yaml', `spec: {image: "r.test/a:1@${A}"}`);
  await folder.put('manifests/b.json', JSON.stringify({ image: `r.test/b:1@${B}` }));
  await folder.put('manifests/README.md', 'image: [');
  const { json } = exits(await pinnace('pins', 'generate', '--manifests', folder.at('manifests'), '--json'), 0);
  assert.equal((json.pins as unknown[]).length, 2);
});

void test('the images of a node are taken from its store, whether it runs or not', async () => {
  const state = folder.at('state');
  const reference = 'r.test/team/app:1';
  const image = await buildImage(join(folder.dir, 'image'), { reference, layers: [{ randomBytes: 1000 }] });
  const config = await folder.put(
    'config.yaml',
    `node: n1\nstateDir: ${state}\npolicyFile: p.yaml\nmirror: {listen: "127.0.0.1:5000"}\npeers: {listen: "127.0.0.1:5001"}\n`,
  );
  exits(await pinnace('import', `oci:${join(folder.dir, 'image')}`, '--config', config), 0);
  const { json } = exits(await pinnace('pins', 'generate', '--from-node', '--config', config, '--json'), 0);
  assert.deepEqual(json.pins, [{ reference, digest: image.digest }]);
});

void test('wrong use is said to be that', async () => {
  for (const argv of [['generate'], ['check'], ['update'], ['prune'], ['check', 'x.lock']])
    exits(await pinnace('pins', ...argv, '--json'), argv[1] ? 69 : 64);
  const printed = await pinnace('pins', 'generate', `r.test/a:1@${A}`, '--note', 'two\nlines', '--json');
  assert.equal(codeIn(exits(printed, 64)), 'PINS_INVALID');
});
