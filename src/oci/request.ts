/**
 * One request to the mirror, as words. Promises: what comes out names a registry, a repository and a tag or digest that
 * are well formed, from a path that was not normalised. Refuses to know HTTP statuses and policy.
 * Spec: OCI distribution-spec, "Pull"; `?ns=` as containerd sends it to mirrors.
 */
import { MirrorError } from '../errors.ts';
import type { Digest } from './digest.ts';
import { parseDigest } from './digest.ts';
import {
  parseRegistry,
  parseRepository,
  parseTagOrDigest,
  type Registry,
  type Repository,
  type Tag,
} from './reference.ts';

/** Bytes from `start` to the end, or to `end` (the last byte's offset, included). */
export interface ByteRange {
  readonly start: number;
  readonly end?: number;
}

export type PullRequest = {
  readonly method: 'GET' | 'HEAD';
  /** As spelt by the client: a registry, or an alias from the path, which the door maps. */
  readonly registry: Registry;
  readonly repository: Repository;
  readonly range?: ByteRange;
} & (
  | { readonly kind: 'manifest'; readonly reference: { readonly tag: Tag } | { readonly digest: Digest } }
  | { readonly kind: 'blob'; readonly reference: { readonly digest: Digest } }
  // What is attached to a digest, all of it or what says that type of itself.
  | { readonly kind: 'referrers'; readonly reference: { readonly digest: Digest }; readonly artifactType?: string }
);

const PATH = /^\/v2\/(.+)\/(manifests|blobs|referrers)\/([^/]+)$/;
const ARTIFACT_TYPE_MAX = 255;
const RANGE = /^bytes=(\d{1,15})-(\d{0,15})$/;

/** A single `bytes=N-` or `bytes=N-M`. @throws RANGE_INVALID for anything else, several ranges included */
export function parseRange(header: string): ByteRange {
  const [, first, last] = RANGE.exec(header) ?? [];
  if (first === undefined || header.includes('\n'))
    throw new MirrorError(
      'RANGE_INVALID',
      `not a single range bytes=N- or bytes=N-M: ${JSON.stringify(header.slice(0, 80))}`,
    );
  const start = Number(first);
  if (!last) return { start };
  if (Number(last) < start) throw new MirrorError('RANGE_INVALID', `the range ${header} ends before it starts`);
  return { start, end: Number(last) };
}

function registryAndRepository(name: string, ns: readonly string[]): { registry: Registry; repository: Repository } {
  if (ns.length > 1) throw new MirrorError('REQUEST_INVALID', 'the parameter ns stands more than once');
  if (ns[0] !== undefined) return { registry: parseRegistry(ns[0]), repository: parseRepository(name) };
  const slash = name.indexOf('/');
  if (slash < 1) throw new MirrorError('NAME_INVALID', 'without ?ns= the path must be /v2/<registry>/<repository>/…');
  return { registry: parseRegistry(name.slice(0, slash)), repository: parseRepository(name.slice(slash + 1)) };
}

/**
 * Reads a request line: `target` is the raw path and query, percent-decoded nowhere before. @throws METHOD_UNSUPPORTED |
 * REQUEST_INVALID | NAME_INVALID | TAG_INVALID | DIGEST_INVALID | RANGE_INVALID
 */
export function parseRequest(method: string, target: string, range?: string): PullRequest {
  if (method !== 'GET' && method !== 'HEAD')
    throw new MirrorError(
      'METHOD_UNSUPPORTED',
      `${method.slice(0, 20)} is not supported: this mirror only answers pulls`,
    );
  const [rawPath = '', query = '', ...more] = target.split('?');
  if (more.length || target.length > 2048) throw new MirrorError('REQUEST_INVALID', 'not a pull request');
  const [, name, kind, reference] = PATH.exec(decode(rawPath)) ?? [];
  if (!name || !reference)
    throw new MirrorError('REQUEST_INVALID', 'the path is not /v2/<name>/manifests|blobs|referrers/<reference>');
  const parameters = new URLSearchParams(query);
  const where = registryAndRepository(name, parameters.getAll('ns'));
  const common = { method, ...where, ...(range === undefined ? {} : { range: parseRange(range) }) } as const;
  if (kind === 'manifests') return { ...common, kind: 'manifest', reference: parseTagOrDigest(reference) };
  const digest = { digest: parseDigest(reference) };
  return kind === 'blobs'
    ? { ...common, kind: 'blob', reference: digest }
    : { ...common, kind: 'referrers', reference: digest, ...artifactTypeIn(parameters) };
}

function artifactTypeIn(parameters: URLSearchParams): { artifactType?: string } {
  const [artifactType, ...more] = parameters.getAll('artifactType');
  if (more.length) throw new MirrorError('REQUEST_INVALID', 'the parameter artifactType stands more than once');
  if ((artifactType?.length ?? 0) > ARTIFACT_TYPE_MAX)
    throw new MirrorError('REQUEST_INVALID', 'artifactType is too long');
  return artifactType === undefined ? {} : { artifactType };
}

function decode(path: string): string {
  try {
    // A slash or a dot segment must not appear by decoding: names with % are refused by their patterns, %2F here.
    if (/%(?:2f|5c|00)/i.test(path)) throw new MirrorError('NAME_INVALID', 'an encoded slash in the path');
    return decodeURIComponent(path);
  } catch (error) {
    throw error instanceof MirrorError
      ? error
      : new MirrorError('REQUEST_INVALID', 'the path is not percent-encoded UTF-8', { cause: error });
  }
}
