import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describeInput, familyOf, findConverter, prepareJob, readRecipeBytes, type BlockRecipe, type BlockSource, type Conversion, type Converter, type Encoding, type Input } from '../../../../daemon/block-convert/index.ts'
import { blockedMember, coded, ENCODINGS, noise, program, refused, TABLE } from './samples.ts'

const OCTETS = 'application/octet-stream'
const TYPES: Record<Encoding, string> = { gzip: 'application/gzip', zstd: 'application/zstd', brotli: 'application/x-brotli', xz: 'application/x-xz' }
const EXTENSIONS: Record<Encoding, string> = { gzip: 'gz', zstd: 'zst', brotli: 'br', xz: 'xz' }

describe('archives: converters', function () {
  this.timeout(60_000)
  let folder: string
  let made = 0
  before(async () => { folder = await mkdtemp(join(tmpdir(), 'weft-archives-')) })
  after(async () => { await rm(folder, { recursive: true, force: true }) })

  async function file (name: string, bytes: Uint8Array | string): Promise<Input> {
    const path = join(folder, `${made++}-${name}`)
    await writeFile(path, bytes)
    return await describeInput(path)
  }

  async function converted (bytes: Uint8Array, conversion: Conversion): Promise<BlockSource> {
    const output = join(folder, `out-${made++}`)
    const converter = findConverter(conversion.converter.from, conversion.converter.to) as Converter
    const { units } = await converter.convert({ bytes }, conversion.parameters, { output, threads: 1, memoryBytes: 256e6, signal: new AbortController().signal, progress: () => {} })
    const { size } = await describeInput(output, 'bin')
    assert.equal(units, converter.from === OCTETS ? bytes.length : size)
    return { path: output, size }
  }

  /** Splits, converts, checks and merges; gives the whole output and the blocks it was made of. */
  async function convert (input: Input, target: string, bytes: number, settings: Record<string, string> = {}): Promise<{ output: Buffer, recipes: BlockRecipe[], conversion: Conversion }> {
    const { conversion, inputs, copies } = await prepareJob([input], target, settings, folder)
    try {
      const family = familyOf(conversion.converter.id)
      const recipes = (await Array.fromAsync(family.split(inputs, conversion, { bytes }))) as BlockRecipe[]
      const merger = family.merger(conversion)
      const chunks: Uint8Array[] = await Array.fromAsync(merger.start())
      let units = 0
      for (const recipe of recipes) {
        const original = await readRecipeBytes(recipe, inputs)
        const result = await converted(original, conversion)
        units += (await family.inspect(result, recipe, conversion)).units
        const distance = await family.distance({ bytes: original }, result, recipe, conversion)
        assert.equal(distance.value, 0, distance.difference)
        chunks.push(...await Array.fromAsync(merger.add(result)))
      }
      chunks.push(...await Array.fromAsync(merger.end()))
      const output = Buffer.concat(chunks)
      const path = join(folder, `whole-${made++}`)
      await writeFile(path, output)
      assert.deepEqual(await family.inspectWhole(path, { units, blocks: recipes.length }, conversion), { units })
      return { output, recipes, conversion }
    } finally {
      for (const path of copies) await rm(path)
    }
  }

  it('obey the law: in blocks of any size, there and back, byte for byte', async () => {
    await fc.assert(fc.asyncProperty(fc.constantFrom(...ENCODINGS), fc.uint8Array({ maxLength: 3000 }), fc.nat(200), fc.integer({ min: 1, max: 5000 }), async (encoding, start, repeats, block) => {
      const bytes = Buffer.concat([start, ...Array.from({ length: repeats }, () => start.subarray(0, 20))])
      const { output, recipes } = await convert(await file('x.bin', bytes), EXTENSIONS[encoding], Math.max(block, bytes.length >> 4), { level: '1' })
      assert.equal(recipes.length, encoding === 'brotli' ? Math.min(1, bytes.length) : Math.ceil(bytes.length / Math.max(block, bytes.length >> 4)))
      const back = await convert(await file(`x.bin.${EXTENSIONS[encoding]}`, output), 'bin', block)
      assert.ok(back.output.equals(bytes))
    }), { numRuns: 40 })
  })

  it('write what the usual programs read, and read what they write', async () => {
    const input = await file('t.csv', TABLE)
    for (const [encoding, name] of [['gzip', 'gzip'], ['zstd', 'zstd'], ['xz', 'xz']] as Array<[Encoding, string]>) {
      const { output, recipes } = await convert(input, `csv.${EXTENSIONS[encoding]}`, 30_000)
      assert.equal(recipes.length, 3)
      const read = program(name, ['-d', '-c'], output)
      if (read == null) continue
      assert.equal(read.toString(), TABLE)
      const theirs = Buffer.concat(['a', TABLE, 'b'].map(text => program(name, ['-c'], Buffer.from(text))!))
      assert.equal((await convert(await file(`t.csv.${EXTENSIONS[encoding]}`, theirs), 'csv', 10)).output.toString(), `a${TABLE}b`)
    }
  })

  it('decompress in parallel where the format has borders', async () => {
    const parts = Array.from({ length: 6 }, (_, i) => noise(5000, `${i}`))
    for (const encoding of ['zstd', 'xz', 'gzip'] as Encoding[]) {
      const whole = await Promise.all(parts.map(async part => encoding === 'gzip' ? await blockedMember(part) : await coded(encoding, part, 1)))
      const input = await file(`p.bin.${EXTENSIONS[encoding]}`, Buffer.concat(whole))
      const { output, recipes } = await convert(input, 'bin', 1)
      assert.equal(recipes.length, 6)
      assert.ok(output.equals(Buffer.concat(parts)))
      assert.equal((await convert(input, 'bin', 12_000)).recipes.length, 2)
    }
  })

  it('make a valid file of nothing, and nothing of it', async () => {
    for (const encoding of ENCODINGS) {
      const { output, recipes } = await convert(await file('empty.bin', ''), EXTENSIONS[encoding], 100)
      assert.equal(recipes.length, 0)
      assert.ok(output.length > 0)
      assert.equal((await convert(await file(`empty.bin.${EXTENSIONS[encoding]}`, output), 'bin', 100)).output.length, 0)
    }
  })

  it('change one compression into another', async () => {
    const { output, conversion } = await convert(await file('t.csv.gz', await coded('gzip', TABLE)), 'csv.zst', 20_000)
    assert.equal(conversion.converter.id, 'archive/raw-zstd')
    assert.equal((await convert(await file('t.csv.zst', output), 'csv', 20_000)).output.toString(), TABLE)
  })

  it('find wrong results, whatever is wrong with them', async () => {
    const input = await file('t.bin', TABLE)
    for (const encoding of ENCODINGS) {
      const { inputs, conversion } = await prepareJob([input], EXTENSIONS[encoding], {}, folder)
      const family = familyOf(conversion.converter.id)
      const [recipe] = await Array.fromAsync(family.split(inputs, conversion, { bytes: 1e9 })) as [BlockRecipe]
      const original = { bytes: Buffer.from(TABLE) }
      const other = TABLE.replace('näme 77"', 'näme 78"')
      const wrong: Array<[string, Uint8Array, boolean]> = [
        ['other bytes', await coded(encoding, other), false],
        ['too short', await coded(encoding, TABLE.slice(0, -1)), true],
        ['too long', await coded(encoding, `${TABLE}x`), true],
        ['cut off', (await coded(encoding, TABLE)).subarray(0, -3), true],
        ['not compressed', Buffer.from(TABLE), true],
        ['nothing', Buffer.alloc(0), true],
        ['a bomb', await coded(encoding, Buffer.alloc(5_000_000), 1), true]
      ]
      for (const [what, bytes, inspected] of wrong) {
        if (inspected) await assert.rejects(family.inspect({ bytes }, recipe, conversion), refused('bad-input', /./), `${encoding}: ${what}`)
        const { value, difference } = await family.distance(original, { bytes }, recipe, conversion)
        assert.equal(value, 1, `${encoding}: ${what}`)
        assert.match(difference ?? '', /byte \d+|cannot be read/)
      }
      if (encoding === 'gzip' || encoding === 'xz') {
        const padded = { bytes: Buffer.concat([await coded(encoding, TABLE), Buffer.alloc(512)]) }
        await assert.rejects(family.inspect(padded, recipe, conversion), refused('bad-input', /followed by something else/))
        assert.match((await family.distance(original, padded, recipe, conversion)).difference ?? '', /cannot be read: .*followed by something else/)
      }
      if (encoding === 'zstd') {
        const bytes = Buffer.concat([await coded(encoding, TABLE), ...Array.from({ length: 1024 }, () => Buffer.from('28b52ffd2000010000', 'hex'))])
        await assert.rejects(family.inspect({ bytes }, recipe, conversion), refused('bad-input', /more than 1024 frames/))
      }
      const place = Buffer.from(TABLE).indexOf('77"')
      assert.deepEqual(await family.distance(original, { bytes: await coded(encoding, other) }, recipe, conversion), { value: 1, compared: place + 1, difference: `byte ${place + 1} differs` })
    }
  })

  it('find wrong decompressed results', async () => {
    const input = await file('t.bin.gz', await coded('gzip', TABLE))
    const { inputs, conversion } = await prepareJob([input], 'bin', {}, folder)
    const family = familyOf(conversion.converter.id)
    const [recipe] = await Array.fromAsync(family.split(inputs, conversion, { bytes: 1e9 })) as [BlockRecipe]
    assert.equal(recipe.units, Buffer.byteLength(TABLE))
    const original = { bytes: await readRecipeBytes(recipe, inputs) }
    for (const text of [TABLE.slice(1), `${TABLE}x`, '']) {
      const result = { bytes: Buffer.from(text) }
      await assert.rejects(family.inspect(result, recipe, conversion), refused('bad-input', /the result holds \d+ bytes instead of/))
      assert.equal((await family.distance(original, result, recipe, conversion)).value, 1)
    }
    const changed = { bytes: Buffer.from(TABLE.replace('77', '78')) }
    assert.deepEqual(await family.inspect(changed, recipe, conversion), { units: recipe.units })
    assert.equal((await family.distance(original, changed, recipe, conversion)).value, 1)
  })

  it('find whole outputs that are not what their parts were', async () => {
    for (const encoding of ENCODINGS) {
      const { conversion } = await prepareJob([await file('t.bin', TABLE)], EXTENSIONS[encoding], {}, folder)
      const family = familyOf(conversion.converter.id)
      const path = join(folder, `whole-${made++}`)
      const good = await coded(encoding, TABLE)
      for (const [bytes, units] of [[good.subarray(0, -4), undefined], [good, 17], [Buffer.alloc(0), undefined], [Buffer.concat([good, Buffer.from('x')]), undefined]] as Array<[Buffer, number | undefined]>) {
        await writeFile(path, bytes)
        await assert.rejects(family.inspectWhole(path, { units, blocks: 1 }, conversion), refused('bad-input', /./))
      }
      await writeFile(path, good)
      await assert.rejects(family.inspectWhole(path, { blocks: 0 }, conversion), refused('bad-input', /no blocks/))
    }
  })

  it('tell of a damaged input with its name while it is cut', async () => {
    for (const encoding of ENCODINGS) {
      const bytes = await coded(encoding, TABLE)
      const input = await file(`cut.bin.${EXTENSIONS[encoding]}`, bytes)
      await writeFile(input.path, bytes.subarray(0, -9))
      const again = { ...input, size: bytes.length - 9 }
      await assert.rejects(convert(again, 'bin', 1000), refused('bad-input', new RegExp(`^'${input.path}': its ${encoding} data .*, after \\d+ bytes$`)))
      await assert.rejects(convert(input, 'bin', 1000), refused('input-changed', /changed while the job ran/))
    }
    const bomb = await file('bomb.bin.zst', await coded('zstd', Buffer.alloc(70_000_000)))
    await assert.rejects(convert(bomb, 'bin', 1000), refused('bad-input', /bomb\.bin\.zst': its \d+ bytes of zstd data become more than \d+ times/))
    assert.equal((await convert(bomb, 'bin', 1000, { max_expansion: '100000' })).output.length, 70_000_000)
  })

  it('take settings, and say which there are', async () => {
    const input = await file('t.bin', TABLE)
    const level = async (text: string): Promise<unknown> => (await prepareJob([input], 'xz', { level: text }, folder)).conversion.parameters.level
    assert.equal(await level('0'), 0)
    for (const text of ['', '-1', '10', '1.5', 'high', ' ']) await assert.rejects(level(text), refused('bad-parameters', /'level' cannot be .*from 0 to 9 for xz/), text)
    for (const text of ['0', 'x', '', '1e9']) await assert.rejects(prepareJob([input], 'xz', { max_expansion: text }, folder), refused('bad-parameters', /'max_expansion' cannot be/), text)
    await assert.rejects(prepareJob([await file('t.bin.gz', await coded('gzip', 'x'))], 'bin', { level: '1' }, folder), refused('bad-parameters', /for compressing only/))
    const converter = findConverter(OCTETS, TYPES.xz) as Converter
    assert.deepEqual(converter.validate({}), { level: 6 })
    for (const params of [{ level: 12 }, { level: '6' }, { expansion: 3 }, { x: 1 }]) assert.throws(() => converter.validate(params), refused('bad-parameters', /parameter '(level|expansion|x)'/))
    const back = findConverter(TYPES.xz, OCTETS) as Converter
    assert.deepEqual(back.validate({}), { expansion: 100 })
    for (const params of [{ expansion: 0 }, { expansion: Infinity }, { level: 1 }]) assert.throws(() => back.validate(params), refused('bad-parameters', /parameter '(level|expansion)'/))
  })

  it('stop when they are told to, and refuse xz where memory is short', async () => {
    const stop = new AbortController()
    stop.abort(new Error('enough'))
    const context = { output: join(folder, 'stopped'), threads: 1, memoryBytes: 64e6, signal: stop.signal, progress: () => {} }
    await assert.rejects((findConverter(OCTETS, TYPES.gzip) as Converter).convert({ bytes: Buffer.from(TABLE) }, {}, context), /enough/)
    const converter = findConverter(OCTETS, TYPES.xz) as Converter
    await assert.rejects(converter.convert({ bytes: Buffer.from(TABLE) }, { level: 9 }, { ...context, signal: new AbortController().signal }), refused('unsupported', /level 9 needs \d+ bytes of memory, 64000000 are allowed/))
  })
})
