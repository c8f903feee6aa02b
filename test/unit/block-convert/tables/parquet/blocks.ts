/** Blocks of Parquet inputs as files, for tests. */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BlockRecipe, Input } from '../../../../../daemon/block-convert/index.ts'
import { splitParquet } from '../../../../../daemon/block-convert/tables/parquet/split.ts'
import type { TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'

export function inputAt (path: string): Input {
  const { size, mtimeMs } = statSync(path)
  return { path, mediaType: 'application/vnd.apache.parquet', size, mtimeMs }
}

export interface Block { recipe: BlockRecipe, path: string, params: TableParameters }

/** Splits files and writes every block into a folder; `params` of each has its slice merged in. */
export async function blocksOf (paths: string[], params: TableParameters, bytes: number, folder: string): Promise<Block[]> {
  const files = paths.map(path => readFileSync(path))
  const blocks: Block[] = []
  for await (const recipe of splitParquet(paths.map(inputAt), params, { bytes })) {
    const path = join(folder, `block${recipe.index}.parquet`)
    writeFileSync(path, Buffer.concat(recipe.parts.map(part => 'bytes' in part ? part.bytes : files[part.input]!.subarray(part.offset, part.offset + part.length))))
    blocks.push({ recipe, path, params: { ...params, ...recipe.slice } })
  }
  return blocks
}
