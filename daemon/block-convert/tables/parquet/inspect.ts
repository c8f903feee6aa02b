/**
 * The always-on check of a Parquet file: cheap, for it is made on every result, yet it goes through the whole structure.
 *
 * It proves that the footer is sound and has the wanted columns, types and compression; that every column chunk lies inside of
 * the file and consists of whole pages, whose headers parse and whose sizes and value counts add up to what the footer
 * says; that all columns outside of lists have as many values as there are rows. It does not unpack the pages: that is the comparison's task
 * (distance.ts), made as often as the checking policy draws. Only headers are read, about one per column and row group.
 */
import { ConversionError } from '../../errors.ts'
import type { BlockSource } from '../../index.ts'
import { FILE, readFooter, ROW_GROUP, type ColumnChunk, type Footer } from './footer.ts'
import { readPage, type Page } from './pages.ts'
import { readColumns } from './schema.ts'
import { schemaFields } from './schema-writer.ts'
import { RandomAccess } from '../random-access.ts'
import { requireColumns } from './reader.ts'
import type { TableParameters, TargetForm } from '../schema.ts'
import { serializeThrift } from './thrift-writer.ts'
import { getField, type ThriftField } from './thrift.ts'

/** @throws ConversionError `bad-input` saying what is wrong */
export function inspectParquet (source: BlockSource, params: TableParameters, target: TargetForm & { format: 'parquet' }): { units: number } {
  const file = new RandomAccess(source)
  try {
    const footer = readFooter(file)
    const found = readColumns(footer, file.name())
    requireColumns(found, params.columns, file.name())
    const leaves = found.flatMap(column => column.leaves)
    requirePlain(footer, params, file.name())
    for (const [g, group] of footer.rowGroups.entries()) {
      for (const [c, chunk] of group.chunks.entries()) {
        const where = `${file.name()}, row group ${g + 1}, column ${JSON.stringify(leaves[c]!.path)}`
        if (chunk.codec !== target.compression.toUpperCase()) throw new ConversionError('bad-input', `${where} is compressed by ${chunk.codec} instead of ${target.compression}`)
        // lists have any number of values per row, at least one to say that they are empty
        if (leaves[c]!.maxRepetition > 0 ? chunk.values < group.rows : chunk.values !== group.rows) throw new ConversionError('bad-input', `${where} has ${chunk.values} values for ${group.rows} rows`)
        walkPages(file, chunk, where)
      }
    }
    return { units: footer.rows }
  } finally {
    file.close()
  }
}

/**
 * Nothing but rows and what describes them: the schema exactly as our engine writes it, for two annotations of one column could be
 * read in two ways; no metadata of other programs, no claims about sorting.
 */
function requirePlain (footer: Footer, params: TableParameters, name: string): void {
  const bad = (what: string): ConversionError => new ConversionError('bad-input', `${name}: ${what}`)
  const schema = (fields: ThriftField[]): Uint8Array => serializeThrift({ fields: fields.filter(field => field.id === FILE.schema) })
  if (Buffer.compare(schema(footer.tree.fields), schema(schemaFields(params.columns))) !== 0) throw bad('its schema is not written as it should be')
  if (getField(footer.tree, FILE.keyValues) != null) throw bad('its footer has key-value metadata')
  if (footer.rowGroups.some(group => getField(group.struct, ROW_GROUP.sorting) != null)) throw bad('its row groups claim to be sorted')
}

function walkPages (file: RandomAccess, chunk: ColumnChunk, where: string): void {
  let offset = chunk.start
  let values = 0
  let uncompressed = 0
  let dictionaries = 0
  while (offset < chunk.end) {
    const page = locatedPage(file, chunk, offset, where)
    uncompressed += page.start - offset + page.uncompressed
    offset = page.start + page.compressed
    if (page.kind === 'dictionary') dictionaries++
    else if (page.kind !== 'index') values += page.values
  }
  if (values !== chunk.values) throw new ConversionError('bad-input', `${where}: its pages have ${values} values instead of ${chunk.values}`)
  if (dictionaries > 1) throw new ConversionError('bad-input', `${where}: it has ${dictionaries} dictionaries`)
  if (uncompressed !== chunk.uncompressed) throw new ConversionError('bad-input', `${where}: its pages have ${uncompressed} bytes when unpacked instead of ${chunk.uncompressed}`)
}

function locatedPage (file: RandomAccess, chunk: ColumnChunk, offset: number, where: string): Page {
  try {
    return readPage(file, chunk, offset)
  } catch (error) {
    throw error instanceof ConversionError ? new ConversionError(error.code, `${where}: ${error.message}`, error.details) : error
  }
}
