/** The product's own path from files to an output, in this process: prepare, split, convert, inspect, compare, merge, check the whole. */
import { createHash } from 'node:crypto'
import { mkdtemp, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { converterById, ConversionError, describeInput, familyOf, prepareJob, RecipeReader, type BlockRecipe, type BlockSource, type Conversion, type Distance, type Input } from '../../daemon/block-convert/index.ts'
import type { Column } from '../../daemon/block-convert/tables/schema.ts'

export interface Converted {
  path: string
  /** Columns with the types that finally held. */
  columns: Column[]
  conversion: Conversion
  blocks: number
  /** Blocks that were converted more than once, since the schema was widened. */
  redone: number
  units: number
}

export interface PipelineOptions {
  folder: string
  paths: string[]
  from: string
  to: string
  settings: Record<string, string>
  blockBytes: number
}

/** Something no check of the product should ever let pass, or find on its own result. */
export class PipelineFault extends Error {
  static override name = 'PipelineFault'
  override readonly name = 'PipelineFault'
}

/** @throws ConversionError for what the product refuses, PipelineFault for what it must not do */
export async function convertFiles ({ folder, paths, from, to, settings, blockBytes }: PipelineOptions): Promise<Converted> {
  const described = await Promise.all(paths.map(path => describeInput(path, from)))
  const scratch = await mkdtemp(join(folder, 'scratch-'))
  const prepared = await prepareJob(described, to, settings, scratch)
  const { inputs } = prepared
  let { conversion } = prepared
  const family = familyOf(conversion.converter.id)
  const recipes: BlockRecipe[] = []
  const results: BlockSource[] = []
  await using reader = new RecipeReader(inputs)
  let redone = 0
  for await (const item of family.split(inputs, conversion, { bytes: blockBytes })) {
    if (!('note' in item)) {
      if (item.index !== recipes.length) throw new PipelineFault(`block ${item.index} follows block ${recipes.length - 1}`)
      recipes.push(item)
      results.push(await convertBlock(folder, reader, inputs, item, conversion))
      continue
    }
    if (!('widen' in item)) continue
    conversion = { ...conversion, parameters: { ...conversion.parameters, ...item.widen } }
    for (const [i, recipe] of recipes.entries()) {
      recipes[i] = { ...recipe, slice: { ...recipe.slice, ...item.widen } }
      results[i] = await convertBlock(folder, reader, inputs, recipes[i]!, conversion)
      redone++
    }
  }
  const path = join(await mkdtemp(join(folder, 'merged-')), 'out')
  await merge(path, conversion, results)
  const expected = recipes.reduce((sum, { units }) => sum + (units ?? 0), 0)
  const { units } = await family.inspectWhole(path, { units: expected, blocks: recipes.length }, conversion)
  return { path, columns: finalColumns(conversion), conversion, blocks: recipes.length, redone, units }
}

async function convertBlock (folder: string, reader: RecipeReader, inputs: Input[], recipe: BlockRecipe, conversion: Conversion): Promise<BlockSource> {
  const family = familyOf(conversion.converter.id)
  const converter = converterById(conversion.converter.id, conversion.converter.version)
  if (converter == null) throw new PipelineFault(`there is no converter ${conversion.converter.id} ${conversion.converter.version}`)
  const bytes = await reader.bytes(recipe)
  if (Buffer.compare(createHash('sha256').update(bytes).digest(), recipe.digest) !== 0) throw new PipelineFault(`block ${recipe.index} has another digest than its recipe`)
  if (bytes.length !== recipe.size) throw new PipelineFault(`block ${recipe.index} has ${bytes.length} bytes, its recipe says ${recipe.size}`)
  const output = join(await mkdtemp(join(folder, 'block-')), 'out')
  const parameters = converter.validate({ ...conversion.parameters, ...recipe.slice })
  const done = await converter.convert({ bytes }, parameters, { output, threads: 1, memoryBytes: 512e6, signal: new AbortController().signal, progress: () => {} })
  const result: BlockSource = done.bytes != null ? { bytes: done.bytes } : { path: output, size: (await stat(output)).size }
  const original: BlockSource = { bytes }
  let distance: Distance
  try {
    await family.inspect(result, recipe, conversion)
    distance = await family.distance(original, result, recipe, conversion)
  } catch (error) {
    if (!(error instanceof ConversionError)) throw error
    throw new PipelineFault(`the product's own check of its own result of block ${recipe.index} (${inputs[recipe.origin.input]?.path}): ${error.code}: ${error.message}`)
  }
  if (distance.value !== 0) throw new PipelineFault(`the product's own comparison of its own result of block ${recipe.index}: ${distance.difference}`)
  return result
}

async function merge (path: string, conversion: Conversion, results: BlockSource[]): Promise<void> {
  const merger = familyOf(conversion.converter.id).merger(conversion)
  const file = await open(path, 'wx')
  try {
    const write = async (chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> => { for await (const chunk of chunks) await file.writeFile(chunk) }
    await write(merger.start())
    for (const result of results) await write(merger.add(result))
    await write(merger.end())
  } finally {
    await file.close()
  }
}

function finalColumns ({ parameters }: Conversion): Column[] {
  const types = (parameters.types ?? {}) as Record<string, string>
  return (parameters.columns as Column[]).map((column, i) => types[i] == null ? column : { ...column, type: types[i] })
}
