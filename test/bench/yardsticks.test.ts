/** The configurations of the yardsticks. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fillIn } from './yardsticks.ts';

void test('a word that nobody filled in is an error', () => {
  assert.equal(fillIn('listen @port@;', { port: 80 }), 'listen 80;');
  assert.throws(() => fillIn('listen @port@;', {}), /@port@/);
});

void test('both configurations keep to what was agreed: TLS 1.3, two workers, 8 × 1 MiB, no temporary files', async () => {
  const read = (name: string): Promise<string> => readFile(join(import.meta.dirname, name), 'utf8');
  const [origin, proxy] = await Promise.all([read('nginx-origin.conf'), read('nginx-proxy.conf')]);
  for (const text of [origin, proxy]) assert.match(text, /^worker_processes 2;$/m);
  assert.match(origin, /ssl_protocols TLSv1\.3;/);
  assert.match(proxy, /proxy_ssl_protocols TLSv1\.3;/);
  assert.match(proxy, /proxy_buffers 8 1m;/);
  assert.match(proxy, /proxy_max_temp_file_size 0;/);
});
