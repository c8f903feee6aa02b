/** Limits of compression: each with its unit and the reason for its value. */
import type { Encoding, MediaType } from '../index.ts'

export const OCTETS = 'application/octet-stream'

/** RFC 6713, RFC 8878; brotli and xz have no registered media type of a file, so theirs are the ones programs use. */
export const ENCODING_TYPES: Record<Encoding, MediaType> = {
  gzip: 'application/gzip',
  zstd: 'application/zstd',
  // Registered as a content coding only (RFC 7932), so it needs an x- name.
  brotli: 'application/x-brotli',
  xz: 'application/x-xz'
}

/** How often the size of its input a decoded output may be, unless `max_expansion` says otherwise: text compresses 3 to 30 times. */
export const EXPANSION_DEFAULT = 100

/** The largest `max_expansion`: brotli says a gigabyte in a kilobyte, and nothing says more. */
export const EXPANSION_MAX = 10_000_000

/** Decoded bytes up to which the ratio is not looked at: small files of one repeated line are no bombs. */
export const EXPANSION_FLOOR_BYTES = 64 * 1024 * 1024

/** Decoded bytes of one file, whatever the ratio allows: more than any single disk's worth of a table so far. */
export const DECODED_BYTES_MAX = 2 ** 40

/** Bytes of a compressed file read at once: an inflated hundredfold, they are 6 MiB. */
export const CODED_CHUNK_BYTES = 64 * 1024

/** Bytes a coder gives at once: few hops between threads, small beside a block. */
export const PLAIN_CHUNK_BYTES = 256 * 1024

/** Bytes given to the xz decoder in one call, which decodes them all before it returns: at 7000:1 they are 56 MB. */
export const XZ_CALL_BYTES = 8 * 1024

/** Bytes the xz decoder may need: `xz -9` needs 65 MiB, a larger dictionary is refused. */
export const XZ_MEMORY_BYTES = 128 * 1024 * 1024

/** Bytes of one index of an xz stream that is read for its borders: 4 million blocks. */
export const XZ_INDEX_BYTES_MAX = 16 * 1024 * 1024

/** Streams of one xz file whose borders are kept at once; a file of more is one block. */
export const XZ_STREAMS_MAX = 100_000

/** log2 of the largest window of a zstd frame: 128 MiB, the limit the zstd program has too without --long. */
export const ZSTD_WINDOW_LOG_MAX = 27

/** zstd frames up to this many bytes, coded and plain, are decoded in one call: a stream for each would cost more than they do. */
export const ZSTD_SMALL_FRAME_BYTES = 1024 * 1024

/** zstd frames of one result: its engine writes one, and a million empty ones would hold up the checks of others for a minute. */
export const RESULT_FRAMES_MAX = 1024

/** Bytes between two looks at the free space of a disk that is written to. */
export const SPACE_CHECK_BYTES = 64 * 1024 * 1024

/** Bytes of a disk that are left free: what else writes to it must not fail for a decoded copy. */
export const SPACE_RESERVE_BYTES = 512 * 1024 * 1024

/** Version of lzma-native, part of what its edges are called by. */
export const LZMA_VERSION = '8.0.6'
