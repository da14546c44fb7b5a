/**
 * Registry, repository, tag: the names of images. Promises: exact spelling, nothing is normalised (no default registry,
 * no default tag), so that two spellings are never one name. Spec: OCI distribution-spec, "Pulling manifests".
 */
import { MirrorError } from '../errors.ts';
import { type Digest, isDigest, parseDigest } from './digest.ts';

/** A registry's host, with its port where it has one; lower case; a name or an IPv4 address, localhost included. */
export type Registry = string & { readonly __brand: 'Registry' };
/** Lower-case components joined by single slashes, at most 255 characters. */
export type Repository = string & { readonly __brand: 'Repository' };
/** At most 128 characters: a word character, then word characters, dots and dashes. */
export type Tag = string & { readonly __brand: 'Tag' };

/** registry/repository plus tag or digest (the digest wins where both stand). */
export interface Reference {
  readonly registry: Registry;
  readonly repository: Repository;
  readonly tag?: Tag;
  readonly digest?: Digest;
}
/** A reference by tag. */
export type TagReference = Reference & { readonly tag: Tag };

const REGISTRY = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[0-9]{1,5})?$/;
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const matches = (pattern: RegExp, text: string, longest: number): boolean =>
  text.length <= longest && !text.includes('\n') && pattern.test(text);
const show = (text: string): string => JSON.stringify(text.slice(0, 160));

/** @throws NAME_INVALID */
export function parseRegistry(text: string): Registry {
  if (!matches(REGISTRY, text, 255)) throw new MirrorError('NAME_INVALID', `not a registry host[:port]: ${show(text)}`);
  return text as Registry;
}

/** @throws NAME_INVALID */
export function parseRepository(text: string): Repository {
  if (!matches(REPOSITORY, text, 255)) throw new MirrorError('NAME_INVALID', `not a repository name: ${show(text)}`);
  return text as Repository;
}

/** @throws TAG_INVALID */
export function parseTag(text: string): Tag {
  if (!matches(TAG, text, 128)) throw new MirrorError('TAG_INVALID', `not a tag: ${show(text)}`);
  return text as Tag;
}

/** A tag or a digest, as they stand after `/manifests/`. @throws TAG_INVALID | DIGEST_INVALID */
export function parseTagOrDigest(text: string): { tag: Tag } | { digest: Digest } {
  if (isDigest(text)) return { digest: text };
  if (text.includes(':')) return { digest: parseDigest(text) };
  return { tag: parseTag(text) };
}

/** `host[:port]/repository[:tag][@digest]`; the registry must be spelt out. @throws REFERENCE_INVALID, or a part's code */
export function parseReference(text: string): Reference {
  const slash = text.indexOf('/');
  if (slash < 1 || text.length > 800)
    throw new MirrorError(
      'REFERENCE_INVALID',
      `write a reference as registry/repository:tag or @digest, not ${show(text)}`,
    );
  const registry = parseRegistry(text.slice(0, slash));
  const [name = '', digest, ...more] = text.slice(slash + 1).split('@');
  if (more.length) throw new MirrorError('REFERENCE_INVALID', `more than one @ in ${show(text)}`);
  const colon = name.lastIndexOf(':');
  const repository = parseRepository(colon < 0 ? name : name.slice(0, colon));
  return {
    registry,
    repository,
    ...(colon < 0 ? {} : { tag: parseTag(name.slice(colon + 1)) }),
    ...(digest === undefined ? {} : { digest: parseDigest(digest) }),
  };
}

/** A reference by tag alone. @throws REFERENCE_INVALID */
export function parseTagReference(text: string): TagReference {
  const { tag, digest, ...name } = parseReference(text);
  if (!tag || digest) throw new MirrorError('REFERENCE_INVALID', `needs registry/repository:tag, not ${show(text)}`);
  return { ...name, tag };
}

/** parse ∘ format = identity. */
export const formatReference = (r: Reference): string =>
  `${r.registry}/${r.repository}${r.tag ? `:${r.tag}` : ''}${r.digest ? `@${r.digest}` : ''}`;
