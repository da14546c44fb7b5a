/**
 * How policy bundles reach everybody: small ones by gossip on a topic of their own, large ones and late peers by an
 * exchange. Promises: nodes of older versions hear nothing of it. Refuses to know what a bundle says.
 */
import type { PeerId } from '../oci/oci.ts';
import { Gossip, POLICY_GOSSIP_RATE, POLICY_TOPIC } from './gossip.ts';
import type { Links } from './links.ts';
import { PolicyExchange, type PolicyExchangeOptions } from './policy-exchange.ts';

/** Peers to which a bundle that gossip does not carry is handed at once. */
const SPREAD_LINKS = 8;

export interface PoliciesOptions extends PolicyExchangeOptions {
  readonly links: Links;
}

export class Policies {
  readonly #links: Links;
  readonly #gossip: Gossip;
  readonly #exchange: PolicyExchange;

  constructor(options: PoliciesOptions) {
    const { intake, links } = options;
    this.#links = links;
    const channel = {
      topic: POLICY_TOPIC,
      rate: POLICY_GOSSIP_RATE,
      take: (item: Uint8Array, from: PeerId) => intake.policy(item, from),
    };
    this.#gossip = new Gossip({ ...options, channel });
    this.#exchange = new PolicyExchange(options);
  }

  /** Begins to listen and to answer. */
  start(): void {
    this.#gossip.start();
    this.#exchange.start();
  }

  /** Compares with a connected peer. Never rejects. */
  request(peer: PeerId): Promise<void> {
    return this.#exchange.request(peer);
  }

  /** Sends a bundle round, as an item. Never rejects. */
  async spread(item: Uint8Array): Promise<void> {
    const gossiped = await this.#gossip.publish(item);
    for (const peer of gossiped ? this.#links.young() : this.#links.some(SPREAD_LINKS)) void this.request(peer);
  }
}
