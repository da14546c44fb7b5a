/** What the tries of admission and of attachments have in common: an image, what is about it, and who offers that. */
import { type Digest } from '../../src/oci/oci.ts';
import { Admission, NAME, PLATFORM, referrerOf, signatureBy } from '../mirror/admission.ts';
import { storyImage } from '../mirror/story-node.ts';
import type { BuiltAttachment } from '../support/memory-attachments.ts';
import type { Row } from './table.ts';

export const IMAGE = storyImage(NAME, { layers: [10] });
export const { digest } = IMAGE.target;
export const GOOD = signatureBy(PLATFORM, digest);
export const numbered = (at: number): Digest => `sha256:${at.toString(16).padStart(64, '0')}` as Digest;
export const list = <T>(count: number, one: (at: number) => T): T[] =>
  Array.from({ length: count }, (_, at) => one(at));

/** Does `work` on a stage of its own. */
export const staged =
  (work: (story: Admission, row: Row) => Promise<void>) =>
  async (row: Row): Promise<void> => {
    const story = new Admission();
    try {
      await work(story, row);
    } finally {
      await story.end();
    }
  };

/** A peer that holds the image and offers these artifacts about it. */
export const offering = (story: Admission, name: string, attached: readonly BuiltAttachment[]) =>
  story.offering(name, {
    contents: new Map([
      ...IMAGE.contents,
      ...attached.flatMap(({ artifact, contents, digest: own }) => [[own, artifact.manifest] as const, ...contents]),
    ]),
    offers: attached.map(referrerOf),
  });
