/**
 * Do these bytes have that digest? Pure: bytes in, yes or no out. Refuses to know where bytes come from and who signed.
 * A proof lists, per MiB of a content, the digest of the chunk alone and of all bytes up to its end (design: PROTOCOL.md,
 * "Proofs"). A content of one chunk needs no proof: its digest is one.
 */
export * from './checker.ts';
export * from './chunks.ts';
export * from './root.ts';
