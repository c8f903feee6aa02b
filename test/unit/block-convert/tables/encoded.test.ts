import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compress, decode } from '../../../../daemon/block-convert/archives/codecs.ts'
import { describeInput, familyOf, findConverter, prepareJob, readRecipeBytes, type BlockRecipe, type BlockSource, type Conversion, type Converter, type Encoding, type Input } from '../../../../daemon/block-convert/index.ts'
import { DECODED_IN_MEMORY_BYTES, DECODED_RESULT_BYTES_MAX } from '../../../../daemon/block-convert/tables/constants.ts'
import { encodedDistance, inspectEncoded, partBytesMax } from '../../../../daemon/block-convert/tables/encoded.ts'
import type { TableParameters } from '../../../../daemon/block-convert/tables/schema.ts'
import { coded, ENCODINGS, program, refused } from '../archives/samples.ts'

const EXTENSIONS: Record<Encoding, string> = { gzip: 'gz', zstd: 'zst', brotli: 'br', xz: 'xz' }
const TABLE = 'id,"na""me"\n' + Array.from({ length: 300 }, (_, i) => `${i},"nä,me\n""${i}"\n`).join('')

function * zeros (bytes: number): Generator<Uint8Array> {
  const chunk = Buffer.alloc(2 ** 20)
  for (let at = 0; at < bytes; at += chunk.length) yield chunk.subarray(0, bytes - at)
}

describe('tables: compressed targets', function () {
  this.timeout(60_000)
  let folder: string
  let made = 0
  before(async () => { folder = await mkdtemp(join(tmpdir(), 'weft-encoded-')) })
  after(async () => { await rm(folder, { recursive: true, force: true }) })

  async function table (content: string): Promise<Input> {
    const path = join(folder, `${made++}.csv`)
    await writeFile(path, content)
    return await describeInput(path)
  }

  interface Done { conversion: Conversion, inputs: Input[], recipes: BlockRecipe[], results: BlockSource[], output: Buffer, path: string, units: number }

  /** Of a CSV target, too, rows are asked for: otherwise its bytes would only be compressed. */
  async function convert (input: Input, target: string, bytes: number): Promise<Done> {
    const { conversion, inputs } = await prepareJob([input], target, target.startsWith('csv') ? { 'to.delimiter': ',' } : {}, folder)
    const family = familyOf(conversion.converter.id)
    const recipes: BlockRecipe[] = []
    for await (const item of family.split(inputs, conversion, { bytes })) if ('index' in item) recipes.push(item)
    const converter = findConverter(conversion.converter.from, conversion.converter.to) as Converter
    const merger = family.merger(conversion)
    const chunks: Uint8Array[] = await Array.fromAsync(merger.start())
    const results: BlockSource[] = []
    let units = 0
    for (const recipe of recipes) {
      const original = await readRecipeBytes(recipe, inputs)
      const output = join(await mkdtemp(join(folder, 'block-')), 'output')
      await converter.convert({ bytes: original }, { ...conversion.parameters, ...recipe.slice }, { output, threads: 1, memoryBytes: 256e6, signal: new AbortController().signal, progress: () => {} })
      const result = { path: output, size: (await stat(output)).size }
      assert.deepEqual((await readdir(join(output, '..'))).filter(name => !name.startsWith('output.input')), ['output'], 'nothing beside the part')
      units += (await family.inspect(result, recipe, conversion)).units
      const distance = await family.distance({ bytes: original }, result, recipe, conversion)
      assert.equal(distance.value, 0, distance.difference)
      results.push(result)
      chunks.push(...await Array.fromAsync(merger.add(result)))
    }
    chunks.push(...await Array.fromAsync(merger.end()))
    const path = join(folder, `whole-${made++}`)
    const output = Buffer.concat(chunks)
    await writeFile(path, output)
    assert.deepEqual(await family.inspectWhole(path, { units, blocks: recipes.length }, conversion), { units })
    return { conversion, inputs, recipes, results, output, path, units }
  }

  async function plain (bytes: Uint8Array, encoding: Encoding): Promise<string> {
    return Buffer.concat(await Array.fromAsync(decode({ bytes }, encoding, { name: 'x' }))).toString()
  }

  for (const format of ['csv', 'ndjson', 'json']) {
    it(`hold what ${format} holds, in one block and in several, also without rows`, async () => {
      for (const [content, bytes] of [[TABLE, 1e9], [TABLE, 3000], ['id,name\n', 1e9]] as Array<[string, number]>) {
        const input = await table(content)
        const reference = (await convert(input, format, bytes)).output.toString()
        for (const encoding of ENCODINGS) {
          const { output } = await convert(input, `${format}.${EXTENSIONS[encoding]}`, bytes)
          assert.equal(await plain(output, encoding), reference, `${format} ${encoding}`)
          const read = encoding === 'brotli' ? undefined : program(encoding, ['-d', '-c'], output)
          if (read != null) assert.equal(read.toString(), reference)
        }
      }
    })
  }

  it('find wrong parts and outputs', async () => {
    const input = await table(TABLE)
    for (const encoding of ['gzip', 'zstd', 'xz'] as Encoding[]) {
      const { conversion, inputs, recipes: [recipe], results: [result], path, units } = await convert(input, `csv.${EXTENSIONS[encoding]}`, 1e9)
      const family = familyOf(conversion.converter.id)
      const original = { bytes: await readRecipeBytes(recipe!, inputs) }
      const part = await readFile((result as { path: string }).path)
      const text = await plain(part, encoding)
      assert.ok(text.startsWith('0,'), 'without the header')
      for (const bytes of [part.subarray(0, -3), Buffer.from(text), Buffer.alloc(0), Buffer.concat([part, Buffer.from('x')]), ...(encoding === 'zstd' ? [] : [Buffer.concat([part, Buffer.alloc(8)])]), await coded(encoding, `${text}300,x\n`), await coded(encoding, text.slice(0, -1))]) {
        await assert.rejects(family.inspect({ bytes }, recipe!, conversion), refused('bad-input', /./))
      }
      const changed = { bytes: await coded(encoding, text.replace('7,', '8,')) }
      await family.inspect(changed, recipe!, conversion)
      assert.match((await family.distance(original, changed, recipe!, conversion)).difference ?? '', /row 8, column "id": 7 became 8/)
      assert.match((await family.distance(original, { bytes: part.subarray(0, -3) }, recipe!, conversion)).difference ?? '', /cannot be read: the result: its \w+ data/)
      const output = await readFile(path)
      for (const bytes of [output.subarray(0, -3), part, Buffer.concat([output, output]), Buffer.alloc(0), await coded(encoding, 'id,other\n1,2\n')]) {
        await writeFile(path, bytes)
        await assert.rejects(family.inspectWhole(path, { units, blocks: 1 }, conversion), refused('bad-input', /./))
      }
    }
  })

  it('find wrong JSON arrays', async () => {
    const { conversion, path, units } = await convert(await table('a,b\n1,2\n3,4\n'), 'json.gz', 1e9)
    const family = familyOf(conversion.converter.id)
    const whole = await plain(await readFile(path), 'gzip')
    for (const text of [whole.slice(2), whole.slice(0, -2), `${whole}\n`, whole.replace(',\n', ',\n{"a":9,"b":9},\n'), '[]\n', '']) {
      await writeFile(path, await coded('gzip', text))
      await assert.rejects(family.inspectWhole(path, { units, blocks: 1 }, conversion), refused('bad-input', /./), JSON.stringify(text))
    }
    await writeFile(path, await coded('gzip', whole))
    assert.deepEqual(await family.inspectWhole(path, { units: 2, blocks: 1 }, conversion), { units: 2 })
  })

  it('compare parts that are large inside through a file, which goes again', async () => {
    // Wide rows: what counts is how large they are together.
    const row = `1,${'the same text in every row so that it packs well '.repeat(20)}\n`
    const rows = Math.ceil(DECODED_IN_MEMORY_BYTES / row.length) + 1
    const before = (await readdir(tmpdir())).filter(name => name.startsWith('weft-plain-'))
    const { units, results: [result] } = await convert(await table(`id,text\n${row.repeat(rows)}`), 'csv.zst', 1e9)
    assert.equal(units, rows)
    assert.ok((result as { size: number }).size < 1_000_000)
    assert.deepEqual((await readdir(tmpdir())).filter(name => name.startsWith('weft-plain-')), before)
  })

  it('are bounded by their block when they are decoded', async () => {
    assert.equal(partBytesMax(0), 256 * 2 ** 20)
    assert.equal(partBytesMax(8 * 2 ** 20), 512 * 2 ** 20)
    assert.equal(partBytesMax(2 ** 40), DECODED_RESULT_BYTES_MAX)
    const { conversion, recipes: [recipe] } = await convert(await table(TABLE), 'csv.zst', 1e9)
    const params = conversion.parameters as unknown as TableParameters
    const most = partBytesMax(recipe!.size)
    const bomb = { bytes: Buffer.concat(await Array.fromAsync(compress(zeros(most + 1), 'zstd', { level: 1 }))) }
    const reached = async (): Promise<never> => { throw new Error('it was decoded') }
    await assert.rejects(inspectEncoded(bomb, params, false, reached, recipe!.size), refused('bad-input', new RegExp(`more than ${most} bytes when decompressed`)))
    const { value, difference } = await encodedDistance(bomb, params, reached, recipe!.size)
    assert.equal(value, 1)
    assert.match(difference ?? '', new RegExp(`cannot be read: .*more than ${most} bytes`))
  })

  it('refuse targets that are compressed inside', async () => {
    for (const target of ['parquet.gz', 'arrow.zst']) await assert.rejects(prepareJob([await table(TABLE)], target, {}, folder), refused('unsupported', /compressed inside, not as a whole/))
  })
})
