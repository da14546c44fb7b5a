/** `pinnace tags list | adopt | forget`: what this node states of tags, and the operator's word on it. */
import { MirrorError } from '../errors.ts';
import type { Command } from './command.ts';
import { ask, NODE_OPTIONS, NODE_USAGE, socketOf } from './control-client.ts';
import { shortDigest, table } from './table.ts';

interface TagRow {
  readonly reference: string;
  readonly digest: string;
  readonly node: string;
  readonly observedAt: string;
  readonly renewedAt: string;
}

export const tagsList: Command = {
  name: 'tags list',
  summary: 'list the tags that this node and others state',
  usage: `pinnace tags list [--config FILE] [--json]\n${NODE_USAGE}`,
  options: NODE_OPTIONS,
  async run({ values }, io) {
    const { tags } = await ask<{ tags: TagRow[] }>({ socket: await socketOf(values), path: '/tags' });
    if (io.json) return io.out(`${JSON.stringify({ tags })}\n`);
    const rows = tags.map(tag => [tag.reference, shortDigest(tag.digest), tag.node, tag.observedAt, tag.renewedAt]);
    io.out(table(['REFERENCE', 'DIGEST', 'STATED BY', 'OBSERVED', 'RENEWED'], rows, 'no tag is stated'));
  },
};

const onReference = (name: 'adopt' | 'forget', summary: string, done: string): Command => ({
  name: `tags ${name}`,
  summary,
  usage: `pinnace tags ${name} REFERENCE [--config FILE] [--json]\n${NODE_USAGE}`,
  options: NODE_OPTIONS,
  async run({ values, positionals }, io) {
    const [reference, ...more] = positionals;
    if (!reference || more.length) throw new MirrorError('USAGE', `pinnace tags ${name} takes one reference by tag`);
    const answer = await ask<object>({ socket: await socketOf(values), path: `/tags/${name}`, body: { reference } });
    io.out(io.json ? `${JSON.stringify(answer)}\n` : `${reference}: ${done}\n`);
  },
});

export const tagsAdopt = onReference('adopt', 'state a tag of an image that this node holds', 'stated from now on');
export const tagsForget = onReference('forget', 'stop stating a tag', 'no longer stated');
