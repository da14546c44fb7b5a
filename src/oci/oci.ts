/** The words of the trade: digests, descriptors, references, requests, manifests. No network, no disk, no policy. */
export * from './artifact.ts';
export * from './descriptor.ts';
export * from './digest.ts';
export * from './manifest.ts';
export * from './node.ts';
export * from './reference.ts';
export * from './request.ts';
