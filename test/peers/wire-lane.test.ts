import { createLaneWire } from '../../src/peers/wire-lane.ts';
import { realWorld } from '../../src/world.ts';
import { laneWireConformance } from '../conformance/lane-wire.ts';
import { LaneNetwork } from '../support/memory-lane-wire.ts';

laneWireConformance('tls', () => ({
  near: createLaneWire({ world: realWorld }),
  far: createLaneWire({ world: realWorld }),
}));
laneWireConformance('memory', () => {
  const network = new LaneNetwork();
  return { near: network.wire('127.0.0.1'), far: network.wire('127.0.0.1') };
});
