/** What the tests of this folder share: a CSV job from prepared inputs to the items of its splitter. */
import assert from 'node:assert/strict'
import { ConversionError, type BlockRecipe, type Input, type Note, type SplitItem } from '../../../../../daemon/block-convert/index.ts'
import { readRecipeBytes } from '../../../../../daemon/block-convert/source.ts'
import { CSV } from '../../../../../daemon/block-convert/tables/constants.ts'
import { prepareCsv } from '../../../../../daemon/block-convert/tables/csv/prepare.ts'
import { splitCsv } from '../../../../../daemon/block-convert/tables/csv/split.ts'
import type { Column, Dialect, SourceForm, TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { readSettings } from '../../../../../daemon/block-convert/tables/settings.ts'
import { withFolder, writeInput } from '../cases.ts'

export const DIALECT: Dialect = { delimiter: ',', quote: '"', escape: '"', header: true }

export function parameters (types: Record<string, string>, source: Partial<SourceForm & { format: 'csv' }> = {}): TableParameters {
  const columns: Column[] = Object.entries(types).map(([name, type]) => type.endsWith('!') ? { name, type: type.slice(0, -1), fixed: true } : { name, type })
  return { columns, source: { format: 'csv', dialect: DIALECT, ...source }, target: { format: 'parquet', compression: 'snappy' } }
}

export interface Split {
  items: SplitItem[]
  /** The blocks' bytes as text. */
  blocks: string[]
  recipes: BlockRecipe[]
  notes: Note[]
}

/** Splits files given by name. */
export async function split (files: Record<string, string | Uint8Array>, params: TableParameters, bytes = 1e6): Promise<Split> {
  return await withFolder(async folder => {
    const inputs = await inputsOf(folder, files)
    const items = await Array.fromAsync(splitCsv(inputs, params, { bytes }))
    const recipes = items.flatMap(item => 'note' in item ? [] : [item])
    const blocks: string[] = []
    for (const recipe of recipes) blocks.push(Buffer.from(await readRecipeBytes(recipe, inputs)).toString('utf8'))
    return { items, blocks, recipes, notes: notesOf(items, folder) }
  })
}

function notesOf (items: Array<SplitItem | { note: Note }>, folder: string): Note[] {
  return items.flatMap(item => 'note' in item ? [plain(item.note, folder)] : [])
}

/** A note without the folder's name. */
function plain (note: Note, folder: string): Note {
  return { ...note, message: note.message.replaceAll(`${folder}/`, ''), ...(note.input != null ? { input: note.input.replace(`${folder}/`, '') } : {}) }
}

export async function inputsOf (folder: string, files: Record<string, string | Uint8Array>): Promise<Input[]> {
  const inputs: Input[] = []
  for (const [name, content] of Object.entries(files)) inputs.push(await writeInput(folder, name, content, CSV))
  return inputs
}

export interface Prepared { columns: Record<string, string>, dialect: Dialect, notes: Note[] }

export async function prepare (files: Record<string, string | Uint8Array>, settings: Record<string, string> = {}): Promise<Prepared> {
  return await withFolder(async folder => {
    const { columns, source, notes } = await prepareCsv(await inputsOf(folder, files), readSettings(settings, 'csv', 'parquet'))
    assert.ok(source.format === 'csv')
    return { columns: Object.fromEntries(columns.map(({ name, type }) => [name, type])), dialect: source.dialect, notes: notes.map(note => plain(note, folder)) }
  })
}

export async function refused (work: Promise<unknown>, code: string, message: RegExp, details: Record<string, unknown> = {}): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof ConversionError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    assert.ok(!error.message.includes('\n'), 'a message is one line')
    for (const [key, value] of Object.entries(details)) assert.deepEqual(error.details[key], value, key)
    return true
  })
}
