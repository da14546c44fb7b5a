/** The fake members behave like the real ones, so that what is tested over them holds. */
import type { PeerId } from '../../src/oci/oci.ts';
import { realWorld } from '../../src/world.ts';
import { fakeCredential, fakeMembers, fakeRoster } from '../support/fake-members.ts';
import { identityConformance } from './identity.ts';

const DAY_MS = 86_400_000;

identityConformance('fake', async () => {
  let now = Date.UTC(2026, 5, 1);
  let keys = 0;
  const world = { ...realWorld, now: () => now };
  const make = (name: string, form = 'good', age = 0, of?: PeerId) => {
    const peer = of ?? (`12D3KooW${String(++keys).padStart(44, '1').replaceAll('0', 'z')}` as PeerId);
    const [issuedAt, ends] =
      form === 'expired' ? [now - 10 * DAY_MS, now - DAY_MS] : [now - age, now - age + 365 * DAY_MS];
    const cluster = form === 'foreign' ? 'theirs' : 'ours';
    const jwt = fakeCredential({ cluster, peer, name, roles: ['fetch', 'serve', 'attest'], issuedAt, expiresAt: ends });
    return { jwt: form === 'damaged' ? jwt.slice(0, -1) : jwt, peer };
  };
  const roster = (seq: number, revoked: readonly string[] = []) =>
    fakeRoster({
      seq,
      issuedAt: now,
      expiresAt: now + 90 * DAY_MS,
      revoked: Object.fromEntries(revoked.map(of => [of, now])),
    });
  const own = make('n1');
  return {
    members: fakeMembers('ours', roster(1), own.jwt, world),
    own: own.peer,
    credential: async (name, form, age) => make(name, form, age),
    renew: async ({ peer }, name) => make(name, 'good', 0, peer).jwt,
    roster: async (seq, revoked) => roster(seq, revoked),
    wait: ms => {
      now += ms;
    },
  };
});
