/** The checks of a partitioned result: its index and every part; and the comparison with the source, whose rows are led to their parts. */
import { createHash, type Hash } from 'node:crypto'
import { ConversionError } from '../../errors.ts'
import type { BlockRecipe, BlockSource, Distance } from '../../index.ts'
import { asOriginal, sourceBatches } from '../distance.ts'
import { plainParameters, withPlain } from '../encoded.ts'
import { inspectForm } from '../inspect.ts'
import { readBatches, type Batch } from '../readers/index.ts'
import type { Column, TableParameters } from '../schema.ts'
import { parseType } from '../types.ts'
import { firstDifference, showValue } from '../values.ts'
import { Container, type Part } from './container.ts'
import { PARTITIONS_MAX } from './constants.ts'
import { keyPath, keyWriter, partitioning, tooManyPartitions, type Key, type Partitioning } from './key.ts'

/** The always-on check. Throws ConversionError `bad-input` saying what is wrong. */
export async function inspectPartitioned (result: BlockSource, recipe: BlockRecipe, params: TableParameters): Promise<{ units: number }> {
  const { file } = partitioning(params)
  const container = new Container(result, params)
  try {
    let units = 0
    for (const part of container.parts) {
      keyPath(params.partition ?? [], part.key)
      const found = await inspectPart(container.bytes(part), file, recipe)
      if (found.units !== part.rows) throw new ConversionError('bad-input', `partition ${shown(part.key)} has ${found.units} rows instead of ${part.rows}`)
      units += found.units
    }
    if (recipe.units != null && units !== recipe.units) throw new ConversionError('bad-input', `the result has ${units} rows instead of ${recipe.units}`, { rows: units, expected: recipe.units })
    return { units }
  } finally {
    container.close()
  }
}

async function inspectPart (part: BlockSource, file: TableParameters, recipe: BlockRecipe): Promise<{ units: number }> {
  try {
    return await withPlain(part, file, false, async plain => await inspectForm(plain, plainParameters(file, false), false), recipe.size)
  } catch (error) {
    // As inspectForm: what cannot be decoded here is nothing that a converter of ours may give.
    if (error instanceof ConversionError && error.code === 'unsupported') throw new ConversionError('bad-input', error.message, error.details)
    throw error
  }
}

const shown = (key: Key): string => JSON.stringify(key).slice(0, 100)

/**
 * As `tableDistance`, for a partitioned result. Memory holds one digest per key, not the rows: the source is read once and each row added to
 * the digest of its key, then each part to its own. Where two differ, both are read again for the first difference.
 *
 * @throws ConversionError if the *original* is at fault, marked as such
 */
export async function partitionedDistance (original: BlockSource, result: BlockSource, recipe: BlockRecipe, params: TableParameters): Promise<Distance> {
  const plan = partitioning(params)
  let container: Container
  try {
    container = new Container(result, params)
  } catch (error) {
    if (!(error instanceof ConversionError) || error.code !== 'bad-input') throw error
    return { value: 1, compared: 0, difference: `the result cannot be read: ${error.message}` }
  }
  try {
    const wanted = sourceDigests(original, recipe, params, plan)
    let compared = 0
    for (const part of container.parts) {
      const name = JSON.stringify(part.key)
      const sum = wanted.get(name)
      if (sum == null) return { value: 1, compared, difference: `the result has rows of ${shown(part.key)}, the source has none` }
      wanted.delete(name)
      const difference = sum.end() === await partDigest(container, part, plan, recipe) ? undefined : await firstOf(original, recipe, params, plan, container, part)
      if (difference != null) return { value: 1, compared, difference: `partition ${shown(part.key)}: ${difference}` }
      compared += part.rows
    }
    const missing = wanted.keys().next()
    if (missing.done !== true) return { value: 1, compared, difference: `the result has no rows of ${missing.value.slice(0, 100)}, the source has` }
    return { value: 0, compared }
  } finally {
    container.close()
  }
}

function sourceDigests (original: BlockSource, recipe: BlockRecipe, params: TableParameters, plan: Partitioning): Map<string, RowDigest> {
  const writers = plan.keys.map(position => keyWriter(params.columns[position]!.type))
  const digests = new Map<string, RowDigest>()
  for (const { rows, columns } of sourceBatches(original, recipe, params)) {
    const data = plan.data.map(position => columns[position]!)
    const keys = plan.keys.map(position => columns[position]!)
    for (let row = 0; row < rows; row++) {
      const name = JSON.stringify(keys.map((column, i) => writers[i]!(column[row])))
      let digest = digests.get(name)
      if (digest == null) {
        // No worker could have divided it either.
        if (digests.size >= PARTITIONS_MAX) throw asOriginal(tooManyPartitions(params.partition ?? []))
        digests.set(name, digest = new RowDigest())
      }
      digest.add(data, row)
    }
  }
  return digests
}

/** undefined if the part cannot be read. */
async function partDigest (container: Container, part: Part, { file }: Partitioning, recipe: BlockRecipe): Promise<string | undefined> {
  const { target, columns: names } = plainParameters(file, false)
  try {
    return await withPlain(container.bytes(part), file, false, async plain => {
      const digest = new RowDigest()
      for (const { rows, columns } of readBatches(plain, target, names, { side: 'result' })) {
        for (let row = 0; row < rows; row++) digest.add(columns, row)
      }
      return digest.end()
    }, recipe.size)
  } catch (error) {
    // `firstOf` comes to the same place and tells.
    if (!(error instanceof ConversionError) || error.code === 'input-unreadable') throw error
    return undefined
  }
}

/** Characters gathered before they are hashed: a call for each row would cost more than the hashing. */
const DIGEST_CHARS = 8192

/** A digest of rows in order, by their canonical values: equal exactly if all rows are. */
class RowDigest {
  readonly #hash: Hash = createHash('sha256')
  #text = ''

  add (columns: unknown[][], row: number): void {
    let text = ''
    for (const column of columns) {
      const value = column[row]
      // Texts are quoted, so that none runs into the next; -0 and 0 are two numbers.
      text += typeof value === 'string' ? `${JSON.stringify(value)},` : Object.is(value, -0) ? '-0,' : `${String(value)},`
    }
    this.#text += `${text}\n`
    if (this.#text.length > DIGEST_CHARS) this.#flush()
  }

  end (): string {
    this.#flush()
    return this.#hash.digest('hex')
  }

  #flush (): void {
    this.#hash.update(this.#text)
    this.#text = ''
  }
}

/** The first difference of one part's rows, in words. */
async function firstOf (original: BlockSource, recipe: BlockRecipe, params: TableParameters, plan: Partitioning, container: Container, part: Part): Promise<string> {
  const { target, columns } = plainParameters(plan.file, false)
  const wanted = rowsOfKey(original, recipe, params, plan, part.key)
  try {
    return await withPlain(container.bytes(part), plan.file, false, async plain => compare(wanted, rowsOf(readBatches(plain, target, columns, { side: 'result' }), columns), columns), recipe.size)
  } catch (error) {
    if (!(error instanceof ConversionError) || error.code === 'input-unreadable' || error.details.original === true) throw error
    return `it cannot be read: ${error.message}`
  } finally {
    wanted.return(undefined)
  }
}

function compare (wanted: Iterator<unknown[], undefined>, given: Generator<unknown[], undefined>, columns: Column[]): string {
  const kinds = columns.map(({ type }) => parseType(type).kind)
  try {
    for (let row = 1; ; row++) {
      const a = wanted.next().value
      const b = given.next().value
      if (a == null && b == null) return 'its rows have another digest than the source\'s'
      if (b == null) return `it ends after ${row - 1} rows, the source goes on`
      if (a == null) return `it goes on after the source's ${row - 1} rows`
      const at = columns.findIndex((_, i) => firstDifference(kinds[i]!, [a[i]], [b[i]], 0, 1) >= 0)
      if (at < 0) continue
      const { name, type } = columns[at]!
      return `row ${row}, column ${JSON.stringify(name)}: ${showValue(a[at], type)} became ${showValue(b[at], type)}`
    }
  } finally {
    given.return(undefined)
  }
}

function * rowsOf (batches: Iterable<Batch>, columns: Column[]): Generator<unknown[], undefined> {
  for (const batch of batches) {
    for (let row = 0; row < batch.rows; row++) yield columns.map((_, i) => batch.columns[i]![row])
  }
}

function * rowsOfKey (original: BlockSource, recipe: BlockRecipe, params: TableParameters, plan: Partitioning, key: Key): Generator<unknown[], undefined> {
  const writers = plan.keys.map(position => keyWriter(params.columns[position]!.type))
  for (const batch of sourceBatches(original, recipe, params)) {
    for (let row = 0; row < batch.rows; row++) {
      if (plan.keys.every((position, i) => writers[i]!(batch.columns[position]![row]) === key[i])) yield plan.data.map(position => batch.columns[position]![row])
    }
  }
}
