/**
 * In which order? The stories of the mirror: resolve a tag, pull, read ahead, keep, share, serve. This is the room's door:
 * what HTTP and the daemon may use. Refuses to know HTTP, libp2p, YAML and gRPC.
 */
export { admit, refuse, rulingOn } from './admit.ts';
export { Admitted } from './admitted.ts';
export { type Body } from './body.ts';
export { Catalogue } from './catalogue.ts';
export { Fetches } from './fetches.ts';
export { manifestOf } from './manifests.ts';
export { tellableTags } from './own-tags.ts';
export { type Pull, Pulls } from './pulls.ts';
export { type Answer, pull } from './pull.ts';
export { type PullProgress, pullImage } from './pull-image.ts';
export { type Log, type Rooms } from './rooms.ts';
export { serving } from './serve.ts';
export { Sharing } from './share.ts';
export { StatedTags } from './stated.ts';
export { Verdicts } from './verdicts.ts';
export { type Step, why } from './why.ts';
