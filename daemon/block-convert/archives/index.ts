/**
 * Archives: bytes of any type to and from gzip, zstd, brotli and xz, byte-exact. Compressing cuts anywhere and makes a member, frame or
 * stream of every block, which merge by concatenation (brotli, which knows none, is one block). Decompressing cuts between zstd frames,
 * xz streams and members of blocked gzip; a file in one piece is one block.
 *
 * Names like `csv.gz` come here too where nothing but the compression changes (../route.ts); what is in a table is left to the tables.
 *
 * @example
 * ```sh
 * weft convert data.csv --to csv.zst --set level=9 -o data.csv.zst
 * weft convert data.bin.xz --to bin -o data.bin
 * ```
 */
import { ENCODING_TYPES, OCTETS } from './constants.ts'
import { archiveConverters } from './converters.ts'
import { ENCODING_EXTENSIONS } from '../encodings.ts'
import { ConversionError } from '../errors.ts'
import type { BlockSource, Conversion, Encoding, Family, Merger } from '../index.ts'
import { fromSettings, readArchiveParameters, type ArchiveParameters } from './settings.ts'

export const archives: Family = {
  name: 'archives',
  mediaTypes: [
    ...(Object.keys(ENCODING_TYPES) as Encoding[]).map(encoding => ({ mediaType: ENCODING_TYPES[encoding], extensions: ENCODING_EXTENSIONS[encoding] })),
    { mediaType: OCTETS, extensions: ['raw'] }
  ],
  converters: archiveConverters,
  // What is compressed is known by what is in it (../sniff.ts).
  sniff: (_head, extension) => extension === 'raw' ? OCTETS : undefined,
  prepare: async (inputs, converter, settings) => {
    const parameters = fromSettings(converter, settings)
    if (converter.to === ENCODING_TYPES.brotli && inputs.length > 1) throw new ConversionError('unsupported', 'several inputs cannot become one brotli file; use gzip, zstd or xz, or one input', { inputs: inputs.length })
    return { parameters, notes: [] }
  },
  split: async function * (inputs, conversion, target) {
    const { splitArchive } = await import('./split.ts')
    yield * splitArchive(inputs, parametersOf(conversion), target)
  },
  merger: conversion => concatenation(parametersOf(conversion)),
  inspect: async (result, recipe, conversion) => {
    const { inspectArchive } = await import('./check.ts')
    return await inspectArchive(result, recipe, parametersOf(conversion))
  },
  distance: async (original, result, recipe, conversion) => {
    const { archiveDistance } = await import('./check.ts')
    return await archiveDistance(original, result, recipe, parametersOf(conversion))
  },
  inspectWhole: async (path, expected, conversion) => {
    const { inspectWholeArchive } = await import('./check.ts')
    return await inspectWholeArchive(path, expected, parametersOf(conversion))
  }
}

function parametersOf ({ converter, parameters }: Conversion): ArchiveParameters {
  return readArchiveParameters(converter, parameters)
}

/** Parts one after the other; without any, what is left of nothing: an empty member, since an empty file is none. */
function concatenation (params: ArchiveParameters): Merger {
  let parts = 0
  return {
    start: () => [],
    async * add (part: BlockSource) {
      parts++
      const { partBytes } = await import('./check.ts')
      yield * partBytes(part)
    },
    async * end () {
      if (parts > 0 || !params.compress) return
      const { compressed } = await import('./codecs.ts')
      yield await compressed(new Uint8Array(0), params.encoding, params.level)
    }
  }
}
