import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { appendFile, mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { ConversionError, type BlockRecipe, type SplitItem, type BlockSource, type Conversion, type Converter, type ConvertContext, type Input } from '../../../../daemon/block-convert/index.ts'
import { sleepMs } from '../../../../daemon/block-convert/probe/converters.ts'
import { probe } from '../../../../daemon/block-convert/probe/index.ts'

const sha256 = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest()

function converter (id: string): Converter {
  const found = probe.converters.find(known => known.id === id)
  assert.ok(found != null, id)
  return found
}

function conversion (id: string, parameters = {}): Conversion {
  return { converter: converter(id), parameters }
}

function context (output: string, signal = new AbortController().signal, progress: (done: number) => void = () => {}): ConvertContext {
  return { output, threads: 1, memoryBytes: 1 << 20, signal, progress }
}

function refused (code: string, message: RegExp): (error: unknown) => boolean {
  return error => error instanceof ConversionError && error.code === code && message.test(error.message)
}

async function mergeOf (id: string, parts: BlockSource[]): Promise<Buffer> {
  const merger = probe.merger(conversion(id))
  const chunks: Uint8Array[] = []
  for await (const chunk of merger.start()) chunks.push(Uint8Array.from(chunk))
  for (const part of parts) for await (const chunk of merger.add(part)) chunks.push(Uint8Array.from(chunk))
  for await (const chunk of merger.end()) chunks.push(Uint8Array.from(chunk))
  return Buffer.concat(chunks)
}

async function prepare (id: string, settings: Record<string, string>): Promise<unknown> {
  return (await probe.prepare([], converter(id), settings, {})).parameters
}

/** This family yields nothing but blocks. */
async function blocks (items: AsyncIterable<SplitItem>): Promise<BlockRecipe[]> {
  return (await Array.fromAsync(items)).map(item => 'note' in item ? assert.fail('a note') : item)
}

function recipeOf (data: string): BlockRecipe {
  return { index: 7, parts: [], size: data.length, digest: sha256(data), origin: { input: 0, line: 1 } }
}

describe('probe', () => {
  let folder: string
  let made = 0
  before(async () => { folder = await mkdtemp(join(tmpdir(), 'weft-probe-')) })
  after(async () => { await rm(folder, { recursive: true }) })

  async function inputOf (bytes: Uint8Array): Promise<Input> {
    const path = join(folder, `input-${made++}`)
    await writeFile(path, bytes)
    const { size, mtimeMs } = await stat(path)
    return { path, mediaType: 'application/octet-stream', size, mtimeMs }
  }

  it('is for files that say so', () => {
    assert.equal(probe.sniff(new Uint8Array(), 'bin'), 'application/octet-stream')
    assert.equal(probe.sniff(new Uint8Array(), '.DAT'), 'application/octet-stream')
    assert.equal(probe.sniff(Buffer.from('a,b\n'), 'csv'), undefined)
    assert.equal(probe.sniff(new Uint8Array(), ''), undefined)
  })

  it('lists the test converter only where the environment asks for it', () => {
    const previous = process.env['WEFT_TEST_CONVERTERS']
    delete process.env['WEFT_TEST_CONVERTERS']
    assert.deepEqual(probe.converters.map(({ id }) => id), ['probe/noop', 'probe/sleep', 'probe/copy'])
    assert.ok(!probe.mediaTypes.some(({ mediaType }) => mediaType === 'application/x-weft-fault'))
    process.env['WEFT_TEST_CONVERTERS'] = '1'
    assert.equal(converter('probe/fault').runs, 'process')
    assert.ok(probe.mediaTypes.some(({ extensions }) => extensions[0] === 'fault'))
    if (previous == null) delete process.env['WEFT_TEST_CONVERTERS']
    else process.env['WEFT_TEST_CONVERTERS'] = previous
  })

  describe('settings', () => {
    it('have defaults and types', async () => {
      assert.deepEqual(await prepare('probe/noop', {}), {})
      assert.deepEqual(await prepare('probe/sleep', {}), { milliseconds: 0, jitter: 0 })
      assert.deepEqual(await prepare('probe/sleep', { milliseconds: '12.5', jitter: '0.1' }), { milliseconds: 12.5, jitter: 0.1 })
    })

    it('name a bad key or value, and the nearest known key', async () => {
      await assert.rejects(prepare('probe/sleep', { milisecond: '1' }), refused('bad-parameters', /unknown setting 'milisecond'; did you mean 'milliseconds'\?/))
      await assert.rejects(prepare('probe/sleep', { x: '1' }), refused('bad-parameters', /it takes milliseconds, jitter/))
      await assert.rejects(prepare('probe/noop', { x: '1' }), refused('bad-parameters', /it takes no settings/))
      await assert.rejects(prepare('probe/copy', { __proto__x: '1' }), refused('bad-parameters', /unknown setting/))
      for (const milliseconds of ['', 'abc', '-1', 'Infinity', '1e12']) {
        await assert.rejects(prepare('probe/sleep', { milliseconds }), refused('bad-parameters', /'milliseconds' must be a number from 0 to/), milliseconds)
      }
      assert.throws(() => converter('probe/sleep').validate({ milliseconds: '5' }), refused('bad-parameters', /'milliseconds'/))
    })
  })

  describe('split', () => {
    it('cuts every input at fixed sizes, with digests, whatever the sizes', async () => {
      await fc.assert(fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 3 }), fc.integer({ min: 1, max: 400 }), async (files, bytes) => {
        const inputs = await Promise.all(files.map(inputOf))
        const recipes = await blocks(probe.split(inputs, conversion('probe/copy'), { bytes }))
        assert.deepEqual(recipes.map(({ index }) => index), recipes.map((_, i) => i))
        const whole = files.map(() => [] as Uint8Array[])
        for (const { parts, size, digest, units, origin } of recipes) {
          const [part] = parts
          assert.ok(parts.length === 1 && part != null && 'offset' in part)
          const block = files[part.input]?.subarray(part.offset, part.offset + part.length) ?? new Uint8Array()
          assert.ok(size === block.length && size === units && size >= 1 && size <= bytes)
          assert.deepEqual(Buffer.from(digest), sha256(block))
          assert.deepEqual(origin, { input: part.input, line: part.offset + 1 })
          whole[part.input]?.push(block)
        }
        assert.deepEqual(whole.map(blocks => Buffer.concat(blocks).toString('hex')), files.map(file => Buffer.from(file).toString('hex')))
      }), { numRuns: 40 })
    })

    it('gathers blocks larger than a read, and cuts blocks across reads', async () => {
      const data = Buffer.alloc(9_500_000, 'abcdefg')
      const input = await inputOf(data)
      for (const bytes of [5_000_000, 4_194_304, 3_000_001, 700_001]) {
        const recipes = await blocks(probe.split([input], conversion('probe/noop'), { bytes }))
        assert.equal(recipes.length, Math.ceil(data.length / bytes))
        recipes.forEach(({ digest, size, units }, i) => {
          assert.equal(units, 1)
          assert.equal(size, Math.min(bytes, data.length - i * bytes))
          assert.deepEqual(Buffer.from(digest), sha256(data.subarray(i * bytes, (i + 1) * bytes)))
        })
      }
    })

    it('says what is wrong', async () => {
      const input = await inputOf(Buffer.alloc(100))
      await assert.rejects(blocks(probe.split([input], conversion('probe/copy'), { bytes: 0 })), refused('bad-parameters', /at least 1 byte/))
      await assert.rejects(blocks(probe.split([{ ...input, path: `${input.path}.none` }], conversion('probe/copy'), { bytes: 10 })), refused('input-unreadable', /no such file/))
      await truncate(input.path, 50)
      await assert.rejects(blocks(probe.split([input], conversion('probe/copy'), { bytes: 10 })), refused('input-changed', /shorter/))
      await appendFile(input.path, Buffer.alloc(500))
      assert.equal((await blocks(probe.split([input], conversion('probe/copy'), { bytes: 10 }))).length, 10)
    })
  })

  it('the law: parts of any size merge to what they must, and pass every check', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 80 }), fc.constantFrom('probe/noop', 'probe/copy', 'probe/sleep'), async (data, bytes, id) => {
      const input = await inputOf(data)
      const chosen = conversion(id)
      const recipes: BlockRecipe[] = await blocks(probe.split([input], chosen, { bytes }))
      const parts: BlockSource[] = []
      let units = 0
      for (const recipe of recipes) {
        const block = data.subarray(recipe.origin.line - 1, recipe.origin.line - 1 + recipe.size)
        const output = join(folder, `output-${made++}`)
        const result = await converter(id).convert({ bytes: block }, {}, context(output))
        const part = result.bytes != null ? { bytes: result.bytes } : { path: output, size: recipe.size }
        const inspected = await probe.inspect(part, recipe, chosen)
        assert.equal(inspected.units, recipe.units)
        assert.equal(result.units, recipe.units)
        units += inspected.units
        assert.equal((await probe.distance({ bytes: block }, part, recipe, chosen)).value, 0)
        parts.push(part)
      }
      const whole = await mergeOf(id, parts)
      const expected = id === 'probe/copy' ? Buffer.from(data) : Buffer.concat(recipes.map(({ digest }) => digest))
      assert.deepEqual(whole, expected)
      const path = join(folder, `whole-${made++}`)
      await writeFile(path, whole)
      assert.deepEqual(await probe.inspectWhole(path, { units, blocks: recipes.length }, chosen), { units })
      await appendFile(path, 'x')
      await assert.rejects(probe.inspectWhole(path, { units, blocks: recipes.length }, chosen), refused('bad-input', /bytes where/))
    }), { numRuns: 40 })
  })

  it('merges nothing to nothing', async () => {
    for (const id of ['probe/noop', 'probe/copy']) assert.equal((await mergeOf(id, [])).length, 0)
  })

  describe('checks', () => {
    it('find a wrong digest and a wrong size', async () => {
      const noop = conversion('probe/noop')
      const { value, difference } = await probe.distance({ bytes: Buffer.from('abc') }, { bytes: sha256('abd') }, recipeOf('abc'), noop)
      assert.equal(value, 1)
      assert.match(difference ?? '', /block 7: digest a52d15.* where ba7816/)
      await assert.rejects(probe.inspect({ bytes: new Uint8Array(31) }, recipeOf('abc'), noop), refused('bad-input', /block 7: 31 bytes where 32 must be/))
    })

    it('find the first byte in which a copy differs', async () => {
      await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 100 }), async (a, b) => {
        const copy = conversion('probe/copy')
        const path = join(folder, 'compared')
        await writeFile(path, b)
        const found = await probe.distance({ bytes: a }, { path, size: b.length }, recipeOf(''), copy)
        let at = 0
        while (at < a.length && at < b.length && a[at] === b[at]) at++
        if (at === a.length && at === b.length) assert.deepEqual(found, { value: 0, compared: a.length })
        else assert.equal(found.difference, `block 7, byte ${at + 1}: differs from its source`)
      }))
    })
  })

  describe('probe/sleep', () => {
    it('lasts as long as it is told and reports progress', async () => {
      const seen: number[] = []
      const from = performance.now()
      await converter('probe/sleep').convert({ bytes: Buffer.from('x') }, { milliseconds: 250 }, context('', undefined, done => { seen.push(done) }))
      assert.ok(performance.now() - from >= 249)
      // How often depends on how busy the machine is; that it is told before the end, and never less than before, does not.
      assert.ok((seen[0] ?? 250) < 250 && seen.at(-1) === 250, seen.join())
      assert.deepEqual(seen, seen.toSorted((x, y) => x - y))
    })

    it('ends when it is cancelled', async () => {
      const abort = new AbortController()
      await assert.rejects(converter('probe/sleep').convert({ bytes: Buffer.from('x') }, { milliseconds: 60_000 }, context('', abort.signal, done => { if (done > 0) abort.abort() })), { name: 'AbortError' })
    })

    it('varies within its jitter, the same for the same block', () => {
      fc.assert(fc.property(fc.uint8Array(), fc.double({ min: 0, max: 1, noNaN: true }), (data, jitter) => {
        const ms = sleepMs(100, jitter, sha256(data))
        assert.ok(ms >= 100 * (1 - jitter) - 1e-9 && ms <= 100 * (1 + jitter) + 1e-9)
        assert.equal(ms, sleepMs(100, jitter, sha256(data)))
      }))
      assert.notEqual(sleepMs(100, 0.5, sha256('a')), sleepMs(100, 0.5, sha256('b')))
    })
  })
})
