/**
 * Tables: CSV, NDJSON and Parquet in every direction. Columns and types are decided once per job from samples
 * (`prepare.ts`), proved for every value while the input is cut into blocks (`*-split.ts`), converted by DuckDB
 * (`converters.ts`), merged without re-encoding (`*-merge.ts`) and compared by independent readers (`distance.ts`).
 *
 * What only some processes need is loaded when it is first used, so a daemon that coordinates stays small.
 */
import { CSV, NDJSON, PARQUET } from './constants.ts'
import { tableConverters } from './converters.ts'
import type { BlockRecipe, BlockTarget, Conversion, Family, Input, Merger } from '../index.ts'
import { readTableParameters } from './parameters.ts'
import type { TableParameters } from './schema.ts'
import { sniffTable } from './sniff.ts'

export const tables: Family = {
  name: 'tables',
  mediaTypes: [
    { mediaType: CSV, extensions: ['csv'] },
    { mediaType: NDJSON, extensions: ['ndjson', 'jsonl'] },
    { mediaType: PARQUET, extensions: ['parquet', 'pq'] }
  ],
  converters: tableConverters,
  sniff: sniffTable,
  prepare: async (inputs, converter, settings) => {
    const { prepareTable } = await import('./prepare.ts')
    return { ...await prepareTable(inputs, converter, settings) }
  },
  split,
  merger: conversion => lazyMerger(tableParameters(conversion)),
  inspect: async (result, recipe, conversion) => {
    const { inspectTable } = await import('./inspect.ts')
    return await inspectTable(result, recipe, tableParameters(conversion, recipe))
  },
  distance: async (original, result, recipe, conversion) => {
    const { tableDistance } = await import('./distance.ts')
    return await tableDistance(original, result, recipe, tableParameters(conversion, recipe))
  },
  inspectWhole: async (path, expected, conversion) => {
    const { inspectWholeTable } = await import('./inspect-whole.ts')
    return await inspectWholeTable(path, expected, tableParameters(conversion))
  }
}

async function * split (inputs: Input[], conversion: Conversion, target: BlockTarget): AsyncGenerator<BlockRecipe> {
  const params = tableParameters(conversion)
  switch (params.source.format) {
    case 'csv': {
      const { splitCsv } = await import('./csv-split.ts')
      return yield * splitCsv(inputs, params, target)
    }
    case 'ndjson': {
      const { splitNdjson } = await import('./ndjson-split.ts')
      return yield * splitNdjson(inputs, params, target)
    }
    case 'parquet': {
      const { splitParquet } = await import('./parquet-split.ts')
      return yield * splitParquet(inputs, params, target)
    }
  }
}

function lazyMerger (params: TableParameters): Merger {
  let merger: Promise<Merger> | undefined
  const load = (): Promise<Merger> => merger ??= params.target.format === 'parquet'
    ? import('./parquet-merge.ts').then(module => module.parquetMerger(params))
    : import('./text-merge.ts').then(module => module.textMerger(params))
  return {
    async * start () { yield * (await load()).start() },
    async * add (part) { yield * (await load()).add(part) },
    async * end () { yield * (await load()).end() }
  }
}

/** The job's parameters, with what is special about one block merged over them. */
function tableParameters (conversion: Conversion, recipe?: BlockRecipe): TableParameters {
  return readTableParameters({ ...conversion.parameters, ...recipe?.slice })
}
