/**
 * Who plays in the stories of bytes: holders honest and not, a client that lacks the layers, and what befalls those who
 * give. Refuses to know what is expected of them.
 */
import { type Code, hasCode, MirrorError } from '../../src/errors.ts';
import type { Digest } from '../../src/oci/oci.ts';
import { hostile, type Lie } from '../support/hostile.ts';
import { MIB, OPEN_POLICY, Story, type StoryImage, type StoryNode } from './story-node.ts';

export const NAME = 'r.test/team/app:1';

/** True for an error of that code. */
export const is = (code: Code) => (error: unknown) => hasCode(error, code);

/** The first layer of an image. */
export const layerOf = (image: StoryImage): { digest: Digest; bytes: Buffer } => {
  const { digest } = image.layers[0]!;
  return { digest, bytes: Buffer.from(image.contents.get(digest)!) };
};

export class Cast extends Story {
  /** A node that holds `image`, told; it may tell a lie. */
  async holder(name: string, image: StoryImage, lie?: Lie): Promise<StoryNode> {
    const node = await this.node(
      name,
      lie ? { twist: rooms => hostile(rooms as Parameters<typeof hostile>[0], lie) } : {},
    );
    node.keep(image);
    await this.share();
    return node;
  }

  /** A node without the image; it has the manifest already, so that only the layer is asked for. */
  async client(image: StoryImage, policy = OPEN_POLICY): Promise<StoryNode> {
    const node = await this.node('client', { policy });
    await this.get(node, this.manifest(image));
    node.asked.length = 0;
    return node;
  }

  /** Stops what `name` gives of large contents at `position`, until `go` is called. */
  gate(name: string, position: number): () => void {
    const open = Promise.withResolvers<void>();
    this.hub.tamper(name, async (bytes, at) => {
      if (at >= position && bytes.length === MIB) await open.promise;
      return bytes;
    });
    return () => open.resolve();
  }

  /** From `position` on, `name` gives nothing; its lane notices five seconds after the last byte, half a chunk later. */
  stall(name: string, position: number): void {
    this.hub.tamper(name, async (bytes, at) => {
      if (at < position || bytes.length < MIB) return bytes;
      await this.world.sleep(5_500);
      throw new MirrorError('LANE_STALLED', `${name} sends nothing`);
    });
  }
}
