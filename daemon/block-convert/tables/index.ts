/**
 * Tables: CSV, NDJSON, JSON, Parquet and Arrow in every direction. Columns and types are decided once per job (`prepare.ts`), proved for
 * every value while the input is cut into blocks, converted by DuckDB (`converters.ts`), merged without re-encoding and compared by
 * independent readers (`distance.ts`). What a format brings is in its own folder, behind the contract of `format.ts`.
 *
 * What only some processes need is loaded when it is first used, so a daemon that coordinates stays small.
 */
import { tableConverters } from './converters.ts'
import { sourceFormat, TABLE_TYPES, targetFormat } from './formats.ts'
import type { BlockRecipe, BlockTarget, Conversion, Family, Input, Merger, SplitItem } from '../index.ts'
import { readTableParameters } from './parameters.ts'
import type { TableParameters } from './schema.ts'
import { sniffTable } from './sniff.ts'

export const tables: Family = {
  name: 'tables',
  mediaTypes: TABLE_TYPES.map(({ mediaType, extensions }) => ({ mediaType, extensions })),
  converters: tableConverters,
  sniff: sniffTable,
  prepare: async (inputs, converter, settings, options) => {
    const { prepareTable } = await import('./prepare.ts')
    const { parameters, notes } = await prepareTable(inputs, converter, settings, options)
    if (parameters.partition != null) {
      const { partitioning, partitionNote } = await import('./partition/key.ts')
      partitioning(parameters)
      notes.push(partitionNote(parameters))
    }
    return { parameters: { ...parameters }, notes }
  },
  split,
  merger: conversion => lazyMerger(tableParameters(conversion)),
  divided: async conversion => {
    const params = tableParameters(conversion)
    return params.partition == null ? undefined : (await import('./partition/index.ts')).dividedTable(conversion, params)
  },
  inspect: async (result, recipe, conversion) => {
    const params = tableParameters(conversion, recipe)
    if (params.partition != null) return await (await import('./partition/check.ts')).inspectPartitioned(result, recipe, params)
    const { inspectTable } = await import('./inspect.ts')
    return await inspectTable(result, recipe, params)
  },
  distance: async (original, result, recipe, conversion) => {
    const params = tableParameters(conversion, recipe)
    if (params.partition != null) return await (await import('./partition/check.ts')).partitionedDistance(original, result, recipe, params)
    const { tableDistance } = await import('./distance.ts')
    if (!isEncoded(params)) return await tableDistance(original, result, recipe, params)
    const { encodedDistance } = await import('./encoded.ts')
    return await encodedDistance(result, params, async (plain, inner) => await tableDistance(original, plain, recipe, inner), recipe.size)
  },
  inspectWhole: async (path, expected, conversion) => {
    const { inspectWholeTable } = await import('./inspect-whole.ts')
    return await inspectWholeTable(path, expected, tableParameters(conversion))
  }
}

async function * split (inputs: Input[], conversion: Conversion, target: BlockTarget): AsyncGenerator<SplitItem> {
  const params = tableParameters(conversion)
  yield * (await sourceFormat(params.source.format)).split(inputs, params, target)
}

function lazyMerger (params: TableParameters): Merger {
  let merger: Promise<Merger> | undefined
  const load = (): Promise<Merger> => merger ??= targetFormat(params.target.format).then(async format => {
    if (!isEncoded(params)) return format.merger(params)
    const { encodedMerger, plainParameters } = await import('./encoded.ts')
    return encodedMerger(params, format.merger(plainParameters(params, true)))
  })
  return {
    async * start () { yield * (await load()).start() },
    async * add (part) { yield * (await load()).add(part) },
    async * end () { yield * (await load()).end() }
  }
}

/** Compressed as a whole (encoded.ts). */
function isEncoded ({ target }: TableParameters): boolean {
  return 'encoding' in target && target.encoding != null
}

/** The job's parameters, with what is special about one block merged over them. */
function tableParameters (conversion: Conversion, recipe?: BlockRecipe): TableParameters {
  return readTableParameters({ ...conversion.parameters, ...recipe?.slice })
}
