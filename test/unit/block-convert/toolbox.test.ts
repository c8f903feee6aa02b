import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { MessageChannel } from 'node:worker_threads'
import { COMPARE_IN_MEMORY_BYTES, SESSIONS_PER_THREAD, SPLIT_BATCH_RECIPES, SPLIT_BATCHES_AHEAD } from '../../../daemon/block-convert/constants.ts'
import { ConversionError, converterById, createToolbox, removePartials, type BlockRecipe, type BlockSource, type Conversion, type Input, type Toolbox } from '../../../daemon/block-convert/index.ts'
import { packError, packRecipes, unpackError, unpackRecipes, type SplitNews, type SplitOrder } from '../../../daemon/block-convert/thread-messages.ts'
import { split as splitSession } from '../../../daemon/block-convert/toolbox-thread.ts'

const PARQUET = 'application/vnd.apache.parquet'
const NOOP = 'application/x-weft-noop'

function refused (code: string, message: RegExp): (error: unknown) => boolean {
  return error => {
    assert.ok(error instanceof ConversionError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  }
}

function system (code: string): (error: unknown) => boolean {
  return error => {
    assert.equal((error as NodeJS.ErrnoException).code, code, String(error))
    return true
  }
}

describe('toolbox', function () {
  this.timeout(60_000)
  let folder: string
  let toolbox: Toolbox

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-toolbox-'))
    toolbox = createToolbox({ scratch: join(folder, 'scratch'), threads: 1 })
  })
  after(async () => {
    await toolbox.close()
    await rm(folder, { recursive: true, force: true })
  })

  const forever = { signal: new AbortController().signal }
  let made = 0

  async function csv (rows: number, text = 'name'): Promise<{ inputs: Input[], conversion: Conversion }> {
    const path = join(folder, `in-${made++}.csv`)
    await writeFile(path, 'id,name\n' + Array.from({ length: rows }, (_, i) => `${i},${text} ${i}\n`).join(''))
    const inputs = [await toolbox.describe(path)]
    return await toolbox.prepare(inputs, PARQUET, {})
  }

  async function split (inputs: Input[], conversion: Conversion, bytes: number): Promise<BlockRecipe[]> {
    return (await Array.fromAsync(toolbox.split(inputs, conversion, { bytes }, forever))).flatMap(({ recipes }) => recipes)
  }

  async function convert (inputs: Input[], conversion: Conversion, recipe: BlockRecipe): Promise<BlockSource> {
    const workspace = await mkdtemp(join(folder, 'block-'))
    const path = join(workspace, 'in')
    await toolbox.materialise(inputs, recipe, path)
    const output = join(workspace, 'out')
    await converterById(conversion.converter.id)!.convert({ path, size: recipe.size }, conversion.parameters, { output, threads: 1, memoryBytes: 256e6, signal: forever.signal, progress: () => {} })
    return { path: output, size: (await stat(output)).size }
  }

  it('describes, prepares, splits, materialises, inspects, compares and writes', async () => {
    const { inputs, conversion } = await csv(1000)
    assert.deepEqual(conversion.converter, { id: 'table/csv-parquet', version: conversion.converter.version, from: 'text/csv', to: PARQUET, equivalence: 'content-exact' })
    const recipes = await split(inputs, conversion, 5000)
    assert.equal(recipes.length, 3)
    const writer = await toolbox.output(join(folder, 'out.parquet'), conversion, { overwrite: false })
    for (const recipe of recipes) {
      const result = await convert(inputs, conversion, recipe)
      assert.deepEqual(await toolbox.inspect(result, recipe, conversion), { units: recipe.units })
      assert.deepEqual(await toolbox.distance(inputs, recipe, result, conversion), { value: 0, compared: recipe.units })
      await writer.add([result])
    }
    const { size, digest, units } = await writer.finish({ units: 1000, blocks: 3 })
    assert.equal(units, 1000)
    await assert.rejects(stat(join(folder, 'out.parquet')), system('ENOENT'))
    await writer.commit()
    const bytes = await readFile(join(folder, 'out.parquet'))
    assert.equal(bytes.length, size)
    assert.deepEqual(Buffer.from(digest), createHash('sha256').update(bytes).digest())
    const hashed = await toolbox.hash(join(folder, 'out.parquet'))
    assert.deepEqual([Buffer.from(hashed.digest), hashed.size], [Buffer.from(digest), size])
  })

  it('compares large blocks through a file, and leaves none behind', async () => {
    const { inputs, conversion } = await csv(10_000, 'a long name '.repeat(80))
    const [recipe] = await split(inputs, conversion, Number.MAX_SAFE_INTEGER)
    assert.ok(recipe!.size > COMPARE_IN_MEMORY_BYTES)
    const result = await convert(inputs, conversion, recipe!)
    assert.equal((await toolbox.distance(inputs, recipe!, result, conversion)).value, 0)
    assert.deepEqual(await readdir(join(folder, 'scratch')), [])
  })

  it('keeps codes, messages and details of errors across the thread', async () => {
    await assert.rejects(toolbox.describe(join(folder, 'none')), refused('input-unreadable', /there is no such file/))
    const { inputs, conversion } = await csv(10)
    await assert.rejects(toolbox.prepare(inputs, PARQUET, { colour: 'red' }), refused('bad-parameters', /unknown setting 'colour'/))
    await assert.rejects(toolbox.prepare(inputs, NOOP, {}), refused('unknown-type', /no converter from text\/csv/))
    const fixed = (await toolbox.prepare(inputs, PARQUET, { 'type:id': 'BIGINT' })).conversion
    await writeFile(inputs[0]!.path, 'id,name\n1,a\nx,b\n')
    const changed = [await toolbox.describe(inputs[0]!.path)]
    await assert.rejects(split(changed, fixed, 5), (error: unknown) => {
      assert.ok(refused('contradiction', /line 3, column 'id'/)(error))
      assert.deepEqual((error as ConversionError).details, { path: inputs[0]!.path, line: 3, column: 'id', value: 'x', type: 'BIGINT' })
      return true
    })
    await assert.rejects(split(inputs, { ...conversion, converter: { ...conversion.converter, version: '0' } }, 5), refused('unknown-type', /no converter 'table\/csv-parquet' version 0/))
  })

  it('notices a block that is not what its recipe says', async () => {
    const { inputs, conversion } = await csv(100)
    const [recipe] = await split(inputs, conversion, 1e6)
    const result = await convert(inputs, conversion, recipe!)
    const original = await readFile(inputs[0]!.path)
    await writeFile(inputs[0]!.path, Buffer.from(original.toString().replace('name 7\n', 'name 8\n')))
    await utimes(inputs[0]!.path, new Date(), new Date(inputs[0]!.mtimeMs))
    const path = join(folder, 'changed')
    await assert.rejects(toolbox.materialise(inputs, recipe!, path), refused('input-changed', /block 0 has another digest/))
    await assert.rejects(stat(path), system('ENOENT'))
    await assert.rejects(toolbox.distance(inputs, recipe!, result, conversion), refused('input-changed', /another digest/))
  })

  it('splits only as far ahead as it is asked to', async () => {
    const path = join(folder, 'many.bin')
    await writeFile(path, new Uint8Array(20_000_000))
    const inputs = [await toolbox.describe(path, 'bin')]
    const { conversion } = await toolbox.prepare(inputs, NOOP, {})
    const batches = toolbox.split(inputs, conversion, { bytes: 200 }, forever)
    let recipes = 0
    for await (const batch of batches) {
      // Work can begin before the first batch could have been filled.
      if (recipes === 0) assert.equal(batch.recipes.length, 1)
      assert.equal(batch.recipes[0]!.index, recipes)
      recipes += batch.recipes.length
      assert.ok(batch.recipes.length <= SPLIT_BATCH_RECIPES)
    }
    assert.equal(recipes, 100_000)

    // The same session without a thread around it: it sends what it may, and then one batch for each it is asked for.
    const { port1, port2 } = new MessageChannel()
    const news: SplitNews[] = []
    port2.on('message', (message: SplitNews) => { news.push(message) })
    const session = splitSession({ task: { inputs, conversion, target: { bytes: 200 } }, port: port1 })
    for (let allowed = SPLIT_BATCHES_AHEAD; allowed < SPLIT_BATCHES_AHEAD + 3; allowed++) {
      while (news.length < allowed) await setImmediate()
      for (let turn = 0; turn < 100; turn++) await setImmediate()
      assert.equal(news.length, allowed)
      port2.postMessage({ type: 'more' } satisfies SplitOrder)
    }
    port2.postMessage({ type: 'stop' } satisfies SplitOrder)
    await session
    port2.close()
    assert.ok(news.every(message => message.type === 'batch'), 'a session that was stopped says no more')
  })

  it('ends a split when its signal fires, before or during', async () => {
    const { inputs, conversion } = await csv(5000)
    const stop = new AbortController()
    const seen: number[] = []
    await assert.rejects(async () => {
      for await (const batch of toolbox.split(inputs, conversion, { bytes: 10 }, { signal: stop.signal })) {
        seen.push(batch.recipes.length)
        if (seen.length === 2) stop.abort(new Error('enough'))
      }
    }, /enough/)
    assert.equal(seen.length, 2)
    await assert.rejects(async () => { for await (const batch of toolbox.split(inputs, conversion, { bytes: 10 }, { signal: stop.signal })) assert.fail(`${batch.recipes.length}`) }, /enough/)
  })

  it('runs more splits and outputs at once than it has threads', async () => {
    const { inputs, conversion } = await csv(300)
    const writers = await Promise.all(Array.from({ length: SESSIONS_PER_THREAD + 1 }, (_, i) => toolbox.output(join(folder, `many-${i}.parquet`), conversion, { overwrite: false })))
    const counts = await Promise.all(writers.map(async () => (await split(inputs, conversion, 100)).length))
    assert.equal(new Set(counts).size, 1)
    await Promise.all(writers.map(writer => writer.abort()))
    assert.deepEqual((await readdir(folder)).filter(name => name.includes('weft-partial')), [])
  })

  describe('output', () => {
    let conversion: Conversion
    let parts: BlockSource[]
    let out: string
    before(async () => {
      const { inputs, conversion: wanted } = await csv(20)
      conversion = wanted
      parts = []
      for (const recipe of await split(inputs, conversion, 100)) parts.push(await convert(inputs, conversion, recipe))
    })
    beforeEach(async () => { out = join(await mkdtemp(join(folder, 'out-')), 'result é.parquet') })

    const partials = async (): Promise<string[]> => (await readdir(join(out, '..'))).filter(name => name.endsWith('.weft-partial'))

    it('is empty but valid without parts', async () => {
      const writer = await toolbox.output(out, conversion, { overwrite: false })
      assert.equal((await writer.finish({ units: 0, blocks: 0 })).units, 0)
      await writer.commit()
      assert.deepEqual(await readdir(join(out, '..')), ['result é.parquet'])
    })

    it('keeps its partial file private, and gives the final one the usual mode', async () => {
      const writer = await toolbox.output(out, conversion, { overwrite: false })
      const [name] = await partials()
      assert.match(name!, /^\.result .*\.[0-9a-f]{12}\.weft-partial$/)
      assert.equal((await stat(join(out, '..', name!))).mode & 0o777, 0o600)
      await writer.add(parts)
      await writer.finish({ blocks: parts.length })
      await writer.commit()
      assert.equal((await stat(out)).mode & 0o777, 0o666 & ~process.umask())
      assert.deepEqual(await partials(), [])
    })

    it('never replaces a file unless asked to, even one that appears meanwhile', async () => {
      const writer = await toolbox.output(out, conversion, { overwrite: false })
      await writer.add(parts)
      await writer.finish({ units: 20, blocks: parts.length })
      await writeFile(out, 'mine')
      await assert.rejects(writer.commit(), system('EEXIST'))
      assert.equal(await readFile(out, 'utf8'), 'mine')
      await writer.abort()
      assert.deepEqual(await partials(), [])
      await assert.rejects(toolbox.output(out, conversion, { overwrite: false }), system('EEXIST'))
      await chmod(out, 0o640)
      const again = await toolbox.output(out, conversion, { overwrite: true })
      await again.add(parts)
      await again.finish({ units: 20, blocks: parts.length })
      assert.equal(await readFile(out, 'utf8'), 'mine')
      await again.commit()
      assert.equal((await readFile(out)).subarray(0, 4).toString(), 'PAR1')
      assert.equal((await stat(out)).mode & 0o777, 0o640)
    })

    it('fails with the system\'s code where it cannot be written', async () => {
      await assert.rejects(toolbox.output(join(out, 'x'), conversion, { overwrite: false }), system('ENOENT'))
      await mkdir(out)
      await assert.rejects(toolbox.output(out, conversion, { overwrite: true }), system('EISDIR'))
      await assert.rejects(toolbox.output('/proc/weft.parquet', conversion, { overwrite: false }), (error: unknown) => ['ENOENT', 'EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? ''))
    })

    it('checks the whole before it may be committed', async () => {
      const writer = await toolbox.output(out, conversion, { overwrite: false })
      await writer.add(parts)
      await assert.rejects(writer.finish({ units: 21, blocks: parts.length }), refused('bad-input', /20 rows instead of 21/))
      await writer.abort()
      assert.deepEqual(await readdir(join(out, '..')), [])
    })

    it('refuses a part that is no such table', async () => {
      const writer = await toolbox.output(out, conversion, { overwrite: false })
      await writer.add(parts.slice(0, 1))
      await assert.rejects(writer.add([{ bytes: Buffer.from('PAR1 this is not a table PAR1') }]), ConversionError)
      await writer.abort()
    })

    it('starts again from nothing', async () => {
      const writer = await toolbox.output(out, conversion, { overwrite: false })
      await writer.add(parts)
      await writer.add(parts)
      await writer.reset()
      await writer.add(parts.slice(0, 1))
      await writer.finish({ blocks: 1 })
      await writer.reset()
      await writer.add(parts)
      const { size, digest } = await writer.finish({ units: 20, blocks: parts.length })
      await writer.commit()
      const bytes = await readFile(out)
      assert.equal(bytes.length, size)
      assert.deepEqual(Buffer.from(digest), createHash('sha256').update(bytes).digest())
    })

    it('takes orders one after the other, and none once it is over', async () => {
      const writer = await toolbox.output(out, conversion, { overwrite: false })
      const [, , result] = await Promise.all([writer.add(parts.slice(0, 1)), writer.add(parts.slice(1)), writer.finish({ units: 20, blocks: parts.length })])
      assert.equal(result.units, 20)
      await writer.commit()
      await assert.rejects(writer.add(parts), /closed/)
      await writer.abort()
      assert.ok((await stat(out)).isFile(), 'aborting after the commit touches nothing')
    })

    it('leaves nothing when the toolbox closes, and what a crash left can be removed', async () => {
      const other = createToolbox({ scratch: join(folder, 'scratch') })
      const opening = createToolbox({ scratch: join(folder, 'scratch') })
      // Closed while an output is being opened: either it never was, or it is gone again.
      const late = opening.output(out, conversion, { overwrite: false })
      await Promise.all([opening.close(), late.then(() => {}, () => {})])
      assert.deepEqual(await partials(), [])

      await other.output(out, conversion, { overwrite: false })
      assert.equal((await partials()).length, 1)
      await other.close()
      assert.deepEqual(await partials(), [])
      await assert.rejects(other.describe(out), /closed/)

      const dir = join(out, '..')
      const writer = await toolbox.output(out, conversion, { overwrite: false })
      const [name] = await partials()
      await writer.abort()
      for (const file of [name!, '.other.parquet.0123456789ab.weft-partial', name!.replace(/[0-9a-f]{12}/, 'mine'), 'result é.parquet']) await writeFile(join(dir, file), '')
      assert.equal(await removePartials(out), 1)
      assert.equal((await readdir(dir)).length, 3)
      assert.equal(await removePartials(join(folder, 'gone', 'x')), 0)
    })
  })

  describe('messages between threads', () => {
    it('bring recipes back as they were', () => {
      const header = Buffer.from('a,b\n')
      const digest = (n: number): Uint8Array => new Uint8Array(32).fill(n)
      const recipes: BlockRecipe[] = [
        { index: 5, parts: [{ bytes: header }, { input: 0, offset: 2 ** 40, length: 7 }], size: 11, digest: digest(1), units: 0, origin: { input: 0, line: 12 } },
        { index: 6, parts: [{ bytes: header }, { input: 1, offset: 0, length: 1 }, { bytes: new Uint8Array([1, 2]) }], size: 7, digest: digest(2), origin: { input: 1, line: 1 }, slice: { rows: [0, 5] } },
        { index: 7, parts: [], size: 0, digest: digest(3), units: 3, origin: { input: 0, line: 1 } }
      ]
      const packed = structuredClone(packRecipes(recipes))
      assert.equal(packed.literals.length, 2, 'a literal shared by recipes crosses once')
      const plain = (list: BlockRecipe[]): unknown => list.map(recipe => ({ ...recipe, digest: [...recipe.digest], parts: recipe.parts.map(part => 'bytes' in part ? [...part.bytes] : part) }))
      assert.deepEqual(plain(unpackRecipes(packed)), plain(recipes))
      assert.deepEqual(unpackRecipes(packRecipes([])), [])
    })

    it('bring errors back with what callers look at', () => {
      const there = <T>(error: T): Error => unpackError(structuredClone(packError(error)))
      const conversion = there(new ConversionError('bad-input', 'x', { line: 1 }))
      assert.ok(refused('bad-input', /^x$/)(conversion))
      assert.deepEqual((conversion as ConversionError).details, { line: 1 })
      const missing = there(Object.assign(new Error('ENOENT: x'), { code: 'ENOENT', syscall: 'open', path: '/x' })) as NodeJS.ErrnoException
      assert.deepEqual([missing.code, missing.syscall, missing.path], ['ENOENT', 'open', '/x'])
      const bug = new TypeError('bug')
      assert.equal(there(bug).stack, bug.stack)
      assert.equal(there('text').message, 'text')
    })
  })
})
