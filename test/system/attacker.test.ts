/** Handshakes that are refused, as fast as one process on an address of its own can make them: pulls go on meanwhile. */
import assert from 'node:assert/strict';
import { median } from '../bench/measure.ts';
import { systemTest } from '../support/system/suite.ts';
import { type Endured, underAttack } from '../support/system/under-attack.ts';

const SECONDS = 10;
/** A pull under attack takes at most so many times its quiet time. */
const LIMIT_TIMES = 3;
/** No node that is attacked is larger, in MiB. */
const LIMIT_MIB = 300;
/** What else the machine does may spoil one measurement. */
const ROUNDS_MAX = 3;

const ratio = ({ quiet, attacked }: Endured): number => median(attacked) / median(quiet);

function show(endured: Endured): void {
  const { quiet, attacked, peak, attempts, refused } = endured;
  const ms = (times: readonly number[]): string => `${median(times).toFixed(0)} ms (${times.length} pulls)`;
  console.log(`# quiet ${ms(quiet)}, attacked ${ms(attacked)}: ${ratio(endured).toFixed(2)} times`);
  console.log(`# ${JSON.stringify({ attempts, refused, peak })}`);
}

systemTest(
  `${SECONDS} s of refused handshakes slow pulls down, at most ${LIMIT_TIMES} times, and do no more`,
  async lab => {
    const attack = await underAttack(lab, { seconds: SECONDS, pulls: 5, mib: 8 });
    const ratios: number[] = [];
    while (ratios.length < ROUNDS_MAX && !ratios.some(times => times <= LIMIT_TIMES)) {
      const endured = await attack();
      show(endured);
      ratios.push(ratio(endured));
      for (const mib of Object.values(endured.peak)) assert.ok(mib < LIMIT_MIB, JSON.stringify(endured.peak));
      // The first ones have their handshake and fail in it; then the host is turned away.
      for (const code of ['PEER_REFUSED', 'LANE_REFUSED', 'LIMIT_EXCEEDED'])
        assert.ok(endured.refused[code], JSON.stringify(endured.refused));
    }
    assert.ok(Math.min(...ratios) <= LIMIT_TIMES, `${ratios.map(times => times.toFixed(2)).join(', ')} times`);
  },
  420_000,
);
