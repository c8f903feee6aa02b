import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { ConversionError, converterById, extensionOf, families, familyOf, findConverter, listConverters, mediaTypeOf } from '../../../daemon/block-convert/index.ts'

describe('families', () => {
  it('resolve what users call a type', () => {
    assert.equal(mediaTypeOf('parquet'), 'application/vnd.apache.parquet')
    assert.equal(mediaTypeOf('.CSV'), 'text/csv')
    assert.equal(mediaTypeOf('application/x-ndjson'), 'application/x-ndjson')
    assert.throws(() => mediaTypeOf('docx'), (error: unknown) => error instanceof ConversionError && error.code === 'unknown-type')
    assert.equal(extensionOf('text/csv'), 'csv')
    assert.equal(extensionOf('application/unheard-of'), 'bin')
  })

  it('find converters by edge, id and version', () => {
    const edge = findConverter('text/csv', 'application/vnd.apache.parquet')
    assert.equal(edge?.id, 'table/csv-parquet')
    assert.equal(converterById('table/csv-parquet'), edge)
    assert.equal(converterById('table/csv-parquet', edge!.version), edge)
    assert.equal(converterById('table/csv-parquet', '0'), undefined)
    assert.equal(findConverter('text/csv', 'text/html'), undefined)
    assert.equal(familyOf('table/csv-parquet').name, 'tables')
    assert.throws(() => familyOf('none/such'), ConversionError)
  })

  it('never give two converters one id or one edge', () => {
    const all = listConverters()
    assert.equal(new Set(all.map(converter => converter.id)).size, all.length)
    assert.equal(new Set(all.map(converter => `${converter.from} ${converter.to}`)).size, all.length)
    for (const converter of all) {
      assert.equal(familyOf(converter.id).converters.includes(converter), true)
      for (const type of [converter.from, converter.to]) assert.ok(families.some(family => family.mediaTypes.some(entry => entry.mediaType === type)), type)
    }
  })

  it('can be loaded from any of their modules, without loading the engine', async () => {
    const root = new URL('../../../daemon/block-convert/', import.meta.url)
    for (const first of ['index.ts', 'families.ts', 'tables/index.ts', 'tables/converters.ts', 'probe/index.ts', 'toolbox-thread.ts']) {
      const code = `await import(${JSON.stringify(new URL(first, root).href)}); const { families } = await import(${JSON.stringify(new URL('index.ts', root).href)});` +
        'const engine = process.report.getReport().sharedObjects.some(name => /duckdb|lzma/.test(name)); process.stdout.write(families.map(f => f.name).join() + engine)'
      const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code])
      assert.equal(stdout, 'tables,probe,archivesfalse', first)
    }
  }).timeout(20_000)
})
