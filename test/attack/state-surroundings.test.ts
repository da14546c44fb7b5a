/** What is wrong around a node: ports that are taken, a containerd that is not there, files that change under it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { realDisk } from '../../src/store/disk.ts';
import { openPolicies, type PolicySource } from '../../src/cli/policy-source.ts';
import { parseReference } from '../../src/oci/oci.ts';
import { realWorld } from '../../src/world.ts';
import { makeCluster, memoryKeep } from '../support/cluster.ts';
import { memoryAudit } from '../support/memory-audit.ts';
import { policyTexts } from '../support/policies.ts';
import { simulatedWorld } from '../support/simulated-world.ts';
import { hold, type NodeFolder, nodeFolder, runFor } from './state-ground.ts';

const PINNACE = fileURLToPath(new URL('../../src/cli/pinnace', import.meta.url));

void describe('a port that is taken', () => {
  let folder: NodeFolder;
  before(async () => {
    folder = await nodeFolder();
  });
  after(() => folder.remove());

  for (const which of ['mirror', 'peers', 'lanes'] as const)
    void it(`for ${which} ends the process with a clear error`, async () => {
      const port = folder.ports[which];
      const taken = await hold(port);
      const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>(done =>
        execFile(
          PINNACE,
          ['run', '--config', folder.config],
          { timeout: 15_000, killSignal: 'SIGKILL' },
          (error, _, said) => done({ code: error?.code, stderr: said }),
        ),
      );
      await new Promise(resolve => taken.close(resolve));
      assert.equal(code, 69, stderr);
      assert.ok(stderr.includes('(PORT_TAKEN)') && stderr.includes(String(port)), stderr);
    });

  void it('leaves the node able to start once it is free', async () => {
    assert.match(await runFor(folder, 300), /ok/);
  });
});

void describe('a containerd that is not there', () => {
  let folder: NodeFolder;
  before(async () => {
    folder = await nodeFolder('store: {kind: containerd, socket: /nonexistent/containerd.sock}\n');
  });
  after(() => folder.remove());

  void it('keeps the node up, and not ready, which it says with the reason', async () => {
    const said = await runFor(folder, 400);
    assert.match(said, /not ready/);
    assert.match(said, /store/);
  });
});

/** The policies of a node of a new cluster whose policy file that is. */
async function policiesOf(file: string): Promise<PolicySource> {
  const cluster = await makeCluster({ nodes: ['n1'] });
  const members = await cluster.node('n1').members();
  const keeps = { bundleKeep: memoryKeep(), marksKeep: memoryKeep() };
  return openPolicies({ disk: realDisk, file, ...keeps, cluster: cluster.id, members });
}

void describe('a policy file that changes under the node', () => {
  const reference = parseReference('r.test/a/b:1');
  const shared = policyTexts('registries: [r.test]\nshare: [r.test/**]\n').text;
  const unshared = policyTexts('registries: [r.test]\n').text;
  const shares = (policy: PolicySource): boolean =>
    policy.now().rule(reference.registry, reference.repository).share !== undefined;

  async function watched(): Promise<{
    file: string;
    policy: PolicySource;
    audit: ReturnType<typeof memoryAudit>;
    changes: () => number;
    /** Looks at the file until that holds. */
    until: (what: () => boolean) => Promise<void>;
    /** Looks at it some times more. */
    look: () => Promise<void>;
    end: () => Promise<void>;
  }> {
    const folder = await nodeFolder();
    await writeFile(folder.policy, shared);
    const clock = simulatedWorld();
    let looks = 0;
    // A look is over when the next sleep begins.
    const world = { ...clock, sleep: (ms: number, signal?: AbortSignal) => ((looks += 1), clock.sleep(ms, signal)) };
    const life = new AbortController();
    const audit = memoryAudit();
    const policy = await policiesOf(folder.policy);
    // What was loaded at the start is on another record.
    await policy.recordIn(memoryAudit(), pino({ level: 'silent' }));
    await policy.recordIn(audit, pino({ level: 'silent' }));
    let changes = 0;
    policy.onChange(() => (changes += 1));
    const watching = policy.watch(world, life.signal);
    const until = async (what: () => boolean): Promise<void> => {
      for (let tries = 0; !what(); tries++) {
        assert.ok(tries < 1000, 'it did not come');
        await clock.advance(2_000);
        await realWorld.sleep(1);
      }
    };
    return {
      file: folder.policy,
      policy,
      audit,
      changes: () => changes,
      until,
      look() {
        const enough = looks + 3;
        return until(() => looks >= enough);
      },
      async end() {
        life.abort();
        await watching;
        await folder.remove();
      },
    };
  }

  void it('is in force from then on, and recorded', async () => {
    const { file, policy, audit, changes, until, end } = await watched();
    await writeFile(file, unshared);
    await until(() => !shares(policy));
    assert.deepEqual([audit.of('policy.loaded').map(({ hash }) => hash), changes()], [[policy.now().hash], 1]);
    await end();
  });

  void it('for the worse leaves the last good one in force, and is recorded once', async () => {
    const { file, policy, audit, changes, until, look, end } = await watched();
    await writeFile(file, 'registries: [r.te');
    await look();
    await rm(file);
    await look();
    assert.ok(shares(policy));
    assert.deepEqual(
      audit.of('policy.refused').map(({ code }) => code),
      ['YAML_INVALID', 'FILE_UNREADABLE'],
    );
    assert.equal(changes(), 0);
    await writeFile(file, unshared);
    await until(() => !shares(policy));
    await end();
  });

  void it('while nothing can be recorded comes into force when it can', async () => {
    const { file, policy, audit, until, look, end } = await watched();
    audit.broken = true;
    await writeFile(file, unshared);
    await look();
    assert.ok(shares(policy));
    audit.broken = false;
    await until(() => !shares(policy));
    await end();
  });
});

void describe('a node that was killed', () => {
  void it('goes on in its audit log, and says that the last line was torn', async () => {
    const folder = await nodeFolder();
    await runFor(folder, 200);
    const log = join(folder.stateDir, 'audit.jsonl');
    const bytes = await readFile(log);
    await writeFile(log, bytes.subarray(0, -7));
    await runFor(folder, 200);
    const after = await readFile(log, 'utf8');
    assert.match(after, /"event":"audit.resumed".*"torn":true/);
    assert.ok(after.startsWith(bytes.subarray(0, -7).toString()));
    await folder.remove();
  });

  void it('is named in what is wrong with a missing policy', async () => {
    const policy = await policiesOf('/nonexistent/policy.yaml');
    assert.match(policy.trouble()!, /\/nonexistent\/policy\.yaml/);
  });
});
