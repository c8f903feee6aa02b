/** What compressed files are called. A module of its own, since the command line names outputs before it has a node. */
import type { Encoding } from './index.ts'

/** Usual extensions of compressed files, the preferred one first. */
export const ENCODING_EXTENSIONS: Record<Encoding, string[]> = { gzip: ['gz', 'gzip'], zstd: ['zst', 'zstd'], brotli: ['br'], xz: ['xz'] }
