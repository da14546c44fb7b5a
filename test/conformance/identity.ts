/** What every `Members` does, the real one and the fake: who is admitted, who is not, and what a roster changes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Members } from '../../src/identity/identity.ts';
import type { PeerId } from '../../src/oci/oci.ts';

/** One cluster as an implementation sees it; its clock stands at `now` until `wait` moves it. */
export interface IdentityStage {
  readonly members: Members;
  /** This node. */
  readonly own: PeerId;
  /** A credential for a node name; every call makes another key. `age` is how long ago it was issued, in ms. */
  readonly credential: (name: string, form?: Form, age?: number) => Promise<Shown>;
  /** A credential for the key and name of another, issued now. */
  readonly renew: (shown: Shown, name: string) => Promise<string>;
  /** Signs a roster that takes back names or peer ids as of now; it ends in 90 days. */
  readonly roster: (seq: number, revoked?: readonly string[]) => Promise<string>;
  /** Moves the clock. */
  readonly wait: (ms: number) => void;
}

type Form = 'good' | 'expired' | 'foreign' | 'damaged';

export interface Shown {
  readonly jwt: string;
  readonly peer: PeerId;
}

const DAY_MS = 86_400_000;

/** Runs the suite; `make` makes a fresh stage whose members know only themselves, under roster 1 of 90 days. */
export function identityConformance(name: string, make: () => Promise<IdentityStage>): void {
  void describe(`members: ${name}`, () => {
    void it('knows itself, and nobody else, at first', async () => {
      const { members, own } = await make();
      assert.deepEqual(
        members.nodes().map(node => node.peer),
        [own],
      );
      assert.equal(members.roster.seq, 1);
      assert.ok(members.credentials().has(own));
    });

    void it('has no signed policy until policies are joined, and then theirs, whose changes it tells', async () => {
      const { members } = await make();
      assert.equal(members.policy, undefined);
      assert.equal(await members.offerPolicy(new Uint8Array(1)), false);
      const offered: Uint8Array[] = [];
      let changed = (): void => assert.fail('nobody listens');
      const policy = { serial: 3, bytes: new Uint8Array(2) };
      members.joinPolicies({
        policy,
        offer: async bytes => offered.push(bytes) > 0,
        onChange: listener => (changed = listener),
      });
      let told = 0;
      members.onChange(revoked => (told += 1 + revoked.length));
      changed();
      assert.deepEqual([members.policy, await members.offerPolicy(new Uint8Array(1)), told], [policy, true, 1]);
      assert.equal(offered.length, 1);
    });

    void it('admits whom the issuer names, and knows it from then on', async () => {
      const { members, credential } = await make();
      const shown = await credential('n2');
      const node = await members.admit(shown.jwt, shown.peer);
      assert.equal(node.name, 'n2');
      assert.equal(node.peer, shown.peer);
      assert.ok(node.roles.has('attest'));
      assert.equal(members.node(shown.peer)?.name, 'n2');
      assert.equal(members.credentials().get(shown.peer), shown.jwt);
      assert.equal((await members.admit(shown.jwt, shown.peer)).name, 'n2');
    });

    void it('refuses what is damaged, foreign, expired or another’s, each with its code, and remembers nobody', async () => {
      const { members, credential } = await make();
      const other = await credential('n3');
      for (const [form, code] of [
        ['damaged', 'CREDENTIAL_INVALID'],
        ['foreign', 'CREDENTIAL_FOREIGN'],
        ['expired', 'CREDENTIAL_EXPIRED'],
      ] as const) {
        const shown = await credential('n2', form);
        await assert.rejects(members.admit(shown.jwt, shown.peer), { code });
        await assert.rejects(members.offerCredential(shown.jwt), { code });
        assert.equal(members.node(shown.peer), undefined);
      }
      const shown = await credential('n2');
      await assert.rejects(members.admit(shown.jwt, other.peer), { code: 'CREDENTIAL_STOLEN' });
      assert.equal(members.nodes().length, 1);
    });

    void it('takes a credential from anybody, once', async () => {
      const { members, credential } = await make();
      const shown = await credential('n2');
      let changes = 0;
      members.onChange(() => (changes += 1));
      assert.equal(await members.offerCredential(shown.jwt), true);
      assert.equal(await members.offerCredential(shown.jwt), false);
      assert.equal(changes, 1);
      assert.equal(members.node(shown.peer)?.name, 'n2');
    });

    void it('lets a node name have one key: the newest', async () => {
      const { members, credential } = await make();
      const first = await credential('n2', 'good', 2 * DAY_MS);
      const second = await credential('n2', 'good', DAY_MS);
      await members.admit(first.jwt, first.peer);
      let revoked: readonly PeerId[] = [];
      members.onChange(gone => {
        revoked = gone;
      });
      await members.admit(second.jwt, second.peer);
      assert.deepEqual(revoked, [first.peer]);
      assert.equal(members.node(first.peer), undefined);
      await assert.rejects(members.admit(first.jwt, first.peer), { code: 'CREDENTIAL_REVOKED' });
      assert.equal(members.node(second.peer)?.name, 'n2');
    });

    void it('shuts out by name or key whom a newer roster takes back, and tells it', async () => {
      const { members, credential, roster, wait } = await make();
      const [byName, byKey, stays] = [await credential('n2'), await credential('n3'), await credential('n4')];
      for (const shown of [byName, byKey, stays]) await members.admit(shown.jwt, shown.peer);
      let revoked: readonly PeerId[] = [];
      members.onChange(gone => {
        revoked = gone;
      });
      assert.equal(await members.offerRoster(await roster(2, ['n2', byKey.peer])), true);
      assert.deepEqual(new Set(revoked), new Set([byName.peer, byKey.peer]));
      assert.equal(members.roster.seq, 2);
      assert.equal(members.node(byName.peer), undefined);
      assert.equal(members.credentials().has(byKey.peer), false);
      assert.equal(members.node(stays.peer)?.name, 'n4');
      for (const shown of [byName, byKey])
        await assert.rejects(members.admit(shown.jwt, shown.peer), { code: 'CREDENTIAL_REVOKED' });
      wait(2000);
      const again = await credential('n2');
      assert.equal((await members.admit(again.jwt, again.peer)).name, 'n2');
    });

    void it('never goes back to an older roster', async () => {
      const { members, roster } = await make();
      const [second, third] = [await roster(2, ['n2']), await roster(3)];
      assert.equal(await members.offerRoster(third), true);
      assert.equal(await members.offerRoster(third), false);
      await assert.rejects(members.offerRoster(second), { code: 'ROSTER_ROLLBACK' });
      await assert.rejects(members.offerRoster('no roster'), { code: 'ROSTER_INVALID' });
      assert.equal(members.roster.seq, 3);
    });

    void it('freezes when the roster ends: whom it knows stays, nobody new comes, until a new one is there', async () => {
      const { members, credential, roster, wait } = await make();
      const known = await credential('n2');
      await members.admit(known.jwt, known.peer);
      wait(91 * DAY_MS);
      const late = await credential('n3');
      await assert.rejects(members.admit(late.jwt, late.peer), { code: 'ROSTER_EXPIRED' });
      assert.equal((await members.admit(known.jwt, known.peer)).name, 'n2');
      assert.equal(members.node(known.peer)?.name, 'n2');
      await members.offerRoster(await roster(2));
      assert.equal((await members.admit(late.jwt, late.peer)).name, 'n3');
    });

    void it('knows a node that shows a credential that has ended by the newest of the same key, and by no other', async () => {
      const { members, credential, renew, roster, wait } = await make();
      const [away, other] = [await credential('n2'), await credential('n3')];
      wait(300 * DAY_MS);
      await members.offerRoster(await roster(2));
      const renewed = await renew(away, 'n2');
      assert.equal(await members.offerCredential(renewed), true);
      wait(80 * DAY_MS);
      assert.equal((await members.admit(away.jwt, away.peer)).expiresAt, members.node(away.peer)?.expiresAt);
      assert.equal(members.credentials().get(away.peer), renewed);
      await assert.rejects(members.admit(other.jwt, other.peer), { code: 'CREDENTIAL_EXPIRED' });
      await assert.rejects(members.admit(away.jwt, other.peer), { code: 'CREDENTIAL_STOLEN' });
      await members.offerRoster(await roster(3, ['n2']));
      await assert.rejects(members.admit(renewed, away.peer), { code: 'CREDENTIAL_REVOKED' });
      await assert.rejects(members.admit(away.jwt, away.peer), { code: 'CREDENTIAL_EXPIRED' });
    });

    void it('tells whose newer credential is in force', async () => {
      const { members, credential, renew, wait } = await make();
      const shown = await credential('n2');
      await members.admit(shown.jwt, shown.peer);
      const told: PeerId[] = [];
      members.onChange((_, accepted) => told.push(...accepted.map(({ peer }) => peer)));
      await members.admit(shown.jwt, shown.peer);
      assert.deepEqual(told, []);
      wait(DAY_MS);
      await members.offerCredential(await renew(shown, 'n2'));
      assert.deepEqual(told, [shown.peer]);
    });

    void it('lets a credential end with its time', async () => {
      const { members, credential, roster, wait } = await make();
      const shown = await credential('n2');
      await members.admit(shown.jwt, shown.peer);
      wait(366 * DAY_MS);
      await members.offerRoster(await roster(2));
      assert.equal(members.node(shown.peer), undefined);
      await assert.rejects(members.admit(shown.jwt, shown.peer), { code: 'CREDENTIAL_EXPIRED' });
    });
  });
}
