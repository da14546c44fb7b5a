/**
 * The images that Kubernetes manifests name. Promises: every `image:` is found wherever it stands, and one that does not
 * say registry, tag and digest is told apart, never completed by a guess. Refuses to know pins.
 */
import { asMirrorError, MirrorError } from '../errors.ts';
import { parseReference, type Reference } from '../oci/oci.ts';
import { parseYaml } from '../yaml.ts';

/** The most documents of one file, and the most images in it. */
export const DOCUMENTS_MAX = 10_000;
export const IMAGES_MAX = 100_000;
/** Lists and mappings inside one another; Kubernetes itself stays far below. */
const DEPTH_MAX = 64;
/** What parts documents, even inside quotes and blocks: YAML 1.2, 9.1.4. */
const MARKER = /^---(?=[ \t\r\n]|$)/m;

/** An image as a manifest names it. */
export interface NamedImage {
  /** As written. */
  readonly text: string;
  /** Undefined where the text is no full reference; `why` says what lacks. */
  readonly reference?: Reference;
  readonly why?: string;
}

/** The images in `text` of `file`, YAML or JSON, in their order and each spelling once. @throws YAML_INVALID */
export function kubeImages(text: string, file: string): readonly NamedImage[] {
  const found = new Set<string>();
  if (/^\s*\{/.test(text) && !MARKER.test(text)) collect(parseJson(text, file), file, found, 0);
  else collectFromYaml(text, file, found);
  return [...found].map(readImage);
}

/** What `kubectl get -o json` writes may be larger than what is read as YAML. */
function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // YAML in braces: what is wrong with it is said by its own reader.
    return parseYaml(text, file);
  }
}

function collectFromYaml(text: string, file: string, found: Set<string>): void {
  const documents = text.split(MARKER);
  if (documents.length > DOCUMENTS_MAX)
    throw new MirrorError('YAML_INVALID', `${file}: more than ${DOCUMENTS_MAX} documents`);
  for (const [at, document] of documents.entries()) {
    const where = documents.length > 1 ? `${file}, document ${at + 1}` : file;
    if (isEmpty(document)) continue;
    collect(parseYaml(document, where), where, found, 0);
  }
}

/** What comes before the first marker is directives and comments, or nothing. */
const isEmpty = (document: string): boolean => document.split('\n').every(line => /^\s*(?:$|[#%])/.test(line));

function collect(value: unknown, where: string, found: Set<string>, depth: number): void {
  if (depth > DEPTH_MAX) throw new MirrorError('YAML_INVALID', `${where}: nested deeper than ${DEPTH_MAX}`);
  if (value === null || typeof value !== 'object') return;
  for (const [key, below] of Object.entries(value)) {
    const named = key === 'image' && !Array.isArray(value) ? imageIn(below) : undefined;
    if (named !== undefined) found.add(named);
    if (found.size > IMAGES_MAX) throw new MirrorError('YAML_INVALID', `${where}: more than ${IMAGES_MAX} images`);
    collect(below, where, found, depth + 1);
  }
}

/** The image of a container, or of a volume that is an image (`image: {reference: …}`). */
function imageIn(value: unknown): string | undefined {
  const text = typeof value === 'string' ? value : (value as { reference?: unknown } | null)?.reference;
  return typeof text === 'string' && text !== '' ? text : undefined;
}

/** `text` as a full reference, or what it lacks. */
export function readImage(text: string): NamedImage {
  try {
    const reference = parseReference(text);
    // `team/app:1` has no host: a container runtime would put its default registry before it.
    if (!/[.:]|^localhost$/.test(reference.registry)) return { text, why: 'no registry: write its host' };
    return { text, reference };
  } catch (error) {
    return { text, why: asMirrorError(error, 'REFERENCE_INVALID', text).message };
  }
}
