import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { appendFile, chmod, mkdir, mkdtemp, rm, stat, truncate, unlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { READ_AHEAD_BYTES, READ_AHEAD_RANGE_MAX } from '../../../daemon/block-convert/constants.ts'
import { ConversionError, unreadable } from '../../../daemon/block-convert/errors.ts'
import { checkUnchanged, describeInput, readRecipe, readRecipeBytes, RecipeReader, type BlockRecipe, type Input, type RecipePart } from '../../../daemon/block-convert/index.ts'

let folder: string
beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'weft-source-')) })
afterEach(async () => { await rm(folder, { recursive: true, force: true }) })

async function input (name: string, content: Uint8Array | string): Promise<Input> {
  const path = join(folder, name)
  await writeFile(path, content)
  const { size, mtimeMs } = await stat(path)
  return { path, mediaType: 'application/octet-stream', size, mtimeMs }
}

function recipe (parts: RecipePart[], index = 0): BlockRecipe {
  const size = parts.reduce((sum, part) => sum + ('bytes' in part ? part.bytes.length : part.length), 0)
  return { index, parts, size, digest: new Uint8Array(32), origin: { input: 0, line: 1 } }
}

function refused (code: string, message: RegExp): (error: unknown) => boolean {
  return error => {
    assert.ok(error instanceof ConversionError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  }
}

describe('source: reading blocks', () => {
  it('gives literal bytes and ranges of several inputs in order, streamed or whole', async () => {
    const random = createHash('shake256', { outputLength: 700_000 }).update('source').digest()
    const inputs = [await input('a', random.subarray(0, 300_000)), await input('b', random.subarray(300_000))]
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 20 }).map(bytes => ({ bytes })),
      fc.tuple(fc.nat(1), fc.nat(250_000), fc.oneof(fc.nat(40_000), fc.nat(100))).map(([number, offset, length]) => ({ input: number, offset, length }))
    )
    await using reader = new RecipeReader(inputs)
    await fc.assert(fc.asyncProperty(fc.array(part, { maxLength: 4 }), fc.integer({ min: 1, max: 50_000 }), async (parts, chunkBytes) => {
      const wanted = Buffer.concat(parts.map(p => 'bytes' in p ? p.bytes : random.subarray(p.input * 300_000 + p.offset, p.input * 300_000 + p.offset + p.length)))
      assert.ok(Buffer.from(await reader.bytes(recipe(parts))).equals(wanted))
      const chunks: Uint8Array[] = []
      for await (const chunk of reader.stream(recipe(parts), { chunkBytes: Math.max(chunkBytes, 1000) })) chunks.push(chunk)
      assert.ok(Buffer.concat(chunks).equals(wanted))
    }), { numRuns: 60 })
  })

  it('keeps what it gave apart from what it reads next', async () => {
    const inputs = [await input('a', 'abcdef')]
    await using reader = new RecipeReader(inputs)
    const [first, second] = await Promise.all([reader.bytes(recipe([{ input: 0, offset: 0, length: 3 }])), reader.bytes(recipe([{ input: 0, offset: 3, length: 3 }]))])
    first.fill(0)
    assert.equal(Buffer.from(second).toString(), 'def')
  })

  it('reads ranges around the size of its read-ahead', async () => {
    const content = Buffer.alloc(READ_AHEAD_BYTES * 2, 'weft')
    const inputs = [await input('a', content)]
    for (const length of [READ_AHEAD_RANGE_MAX - 1, READ_AHEAD_RANGE_MAX, READ_AHEAD_RANGE_MAX + 1, content.length]) {
      const offset = content.length - length
      assert.ok(content.subarray(offset).equals(await readRecipeBytes(recipe([{ input: 0, offset, length }]), inputs)), `${length}`)
    }
    let read = 0
    for await (const chunk of readRecipe(recipe([{ input: 0, offset: 1, length: 1000 }]), inputs, { chunkBytes: 300 })) read += chunk.length
    assert.equal(read, 1000)
  })

  it('notices a file that became shorter, and one that is gone', async () => {
    const inputs = [await input('a', Buffer.alloc(200_000))]
    await truncate(inputs[0]!.path, 100_000)
    for (const length of [20, 150_000]) {
      await assert.rejects(readRecipeBytes(recipe([{ input: 0, offset: 200_000 - length, length }]), inputs), refused('input-changed', /became shorter/))
      await assert.rejects(Array.fromAsync(readRecipe(recipe([{ input: 0, offset: 200_000 - length, length }]), inputs)), refused('input-changed', /became shorter/))
    }
    await unlink(inputs[0]!.path)
    await assert.rejects(readRecipeBytes(recipe([{ input: 0, offset: 0, length: 1 }]), inputs), refused('input-unreadable', /there is no such file/))
    await assert.rejects(readRecipeBytes(recipe([{ input: 7, offset: 0, length: 1 }]), inputs), refused('bad-parameters', /names input 7 of 1/))
  })

  it('goes on after a failed read', async () => {
    const inputs = [await input('a', 'abc')]
    await using reader = new RecipeReader(inputs)
    await assert.rejects(reader.bytes(recipe([{ input: 0, offset: 2, length: 5 }])), refused('input-changed', /shorter/))
    assert.equal(Buffer.from(await reader.bytes(recipe([{ input: 0, offset: 0, length: 3 }]))).toString(), 'abc')
    await reader.close()
    await assert.rejects(reader.bytes(recipe([{ input: 0, offset: 0, length: 3 }])), /closed/)
  })

  it('tells whether inputs are what they were', async () => {
    const inputs = [await input('a', 'abc')]
    await checkUnchanged(inputs)
    await utimes(inputs[0]!.path, new Date(), new Date(inputs[0]!.mtimeMs + 2000))
    await assert.rejects(checkUnchanged(inputs), refused('input-changed', /written to/))
    await appendFile(inputs[0]!.path, 'd')
    await assert.rejects(checkUnchanged(inputs), refused('input-changed', /3 bytes before, 4 now/))
    await rm(inputs[0]!.path)
    await assert.rejects(checkUnchanged(inputs), refused('input-unreadable', /no such file/))
  })
})

describe('source: what a file is', () => {
  async function typeOf (name: string, content: string | Uint8Array, from?: string): Promise<string> {
    const { path } = await input(name, content)
    return (await describeInput(path, from)).mediaType
  }

  it('goes by content first, then by extension', async () => {
    assert.equal(await typeOf('a.csv', 'a,b\n1,2\n'), 'text/csv')
    assert.equal(await typeOf('a.tsv', 'a\tb\n'), 'text/csv')
    assert.equal(await typeOf('a.txt', 'word\n'), 'text/csv')
    assert.equal(await typeOf('a', 'a,b\n1,2\n'), 'text/csv')
    assert.equal(await typeOf('a.csv', ''), 'text/csv')
    assert.equal(await typeOf('a.csv', '{"a":1}\n{"a":2}\n'), 'application/x-ndjson')
    assert.equal(await typeOf('a.json', '\ufeff{"a":1}\n{"a":2}\n'), 'application/x-ndjson')
    assert.equal(await typeOf('a.jsonl', '\n'), 'application/x-ndjson')
    assert.equal(await typeOf('a.ndjson', `{"a":"${'x'.repeat(100_000)}"}\n`), 'application/x-ndjson')
    assert.equal(await typeOf('a.csv', 'PAR1....PAR1'), 'application/vnd.apache.parquet')
    assert.equal(await typeOf('a.pq', 'nonsense'), 'application/vnd.apache.parquet')
    assert.equal(await typeOf('a.csv', '{not json,b\n'), 'text/csv')
    // Its reader says what is wrong in which line.
    for (const line of ['{"a":NaN}', '{"a":1}{"a":2}', '{"a":007}', '{"a":"x\ty"}']) assert.equal(await typeOf('a.ndjson', `${line}\n{"a":1}\n`), 'application/x-ndjson', line)
    assert.equal(await typeOf('a.CSV', Buffer.concat([Buffer.alloc(65_535, 'a,b\n'), Buffer.from('é\n')])), 'text/csv')
  })

  it('takes the user\'s word', async () => {
    assert.equal(await typeOf('a.bin', 'x', 'csv'), 'text/csv')
    assert.equal(await typeOf('a.bin', 'x', '.ndjson'), 'application/x-ndjson')
    await assert.rejects(typeOf('a', 'x', 'docx'), refused('unknown-type', /unknown type 'docx': use a media type or one of .*csv/))
  })

  it('takes what nobody knows for bytes', async () => {
    assert.equal(await typeOf('a.xyz', Buffer.from([0, 1, 2, 255])), 'application/octet-stream')
    assert.equal(await typeOf('a', ''), 'application/octet-stream')
  })

  it('looks through other character sets', async () => {
    assert.equal(await typeOf('a.tsv', Buffer.from('a\tb\n1\tcaf\xe9 au lait\n', 'latin1')), 'text/csv')
    assert.equal(await typeOf('a', Buffer.from('a;b\n1;caf\xe9 au lait\n', 'latin1')), 'text/csv')
    assert.equal(await typeOf('a.ndjson', Buffer.from('\ufeff{"a":1}\n', 'utf16le')), 'application/x-ndjson')
    assert.equal(await typeOf('a.csv', Buffer.from('{"a":"é"}\n', 'utf16le').swap16()), 'application/x-ndjson')
    // Its splitter tells the line.
    assert.equal(await typeOf('a.csv', Buffer.from('a,b\n1,\xff\xfe\n', 'latin1')), 'text/csv')
  })

  it('looks through a compression, whatever the name', async () => {
    const gzip = gzipSync('a,b\n1,2\n')
    const described = async (name: string, content: string | Uint8Array, from?: string): Promise<unknown> => {
      const { mediaType, encoding } = await describeInput((await input(name, content)).path, from)
      return [mediaType, encoding]
    }
    assert.deepEqual(await described('a.csv.gz', gzip), ['text/csv', 'gzip'])
    assert.deepEqual(await described('a.csv', gzip), ['text/csv', 'gzip'])
    assert.deepEqual(await described('a', gzip), ['text/csv', 'gzip'])
    assert.deepEqual(await described('a.parquet.zst', zstdCompressSync('PAR1....PAR1')), ['application/vnd.apache.parquet', 'zstd'])
    assert.deepEqual(await described('a.csv.br', brotliCompressSync('a,b\n')), ['text/csv', 'brotli'])
    assert.deepEqual(await described('a.tar.gz', gzipSync(Buffer.alloc(1024))), ['application/octet-stream', 'gzip'])
    assert.deepEqual(await described('a.csv.gz', gzipSync(Buffer.from('a,b\n1,caf\xe9\n', 'latin1'))), ['text/csv', 'gzip'])
    assert.deepEqual(await described('a.csv.gz', gzipSync(`{"a":"${'x'.repeat(200_000)}"}\n`)), ['application/x-ndjson', 'gzip'])
    // Decompressed on the way, the name stayed.
    assert.deepEqual(await described('a.csv.gz', 'a,b\n'), ['text/csv', undefined])
    assert.deepEqual(await described('a.csv.gz', gzip.subarray(0, -6)), ['text/csv', 'gzip'], 'what is cut off is told by who reads all of it')
    assert.deepEqual(await described('a.gz', gzip, 'ndjson'), ['application/x-ndjson', 'gzip'])
    assert.deepEqual(await described('a.x', 'x', 'csv.xz'), ['text/csv', 'xz'])
    assert.deepEqual(await described('a.x', gzip, 'gz'), ['application/octet-stream', 'gzip'])
    assert.deepEqual(await described('a.gz', gzip, 'bin'), ['application/octet-stream', undefined])
    await assert.rejects(described('b.gz', 'x'), refused('bad-input', /b\.gz' is named \.gz, but holds no gzip data/))
    await assert.rejects(described('b.xz', ''), refused('bad-input', /holds no xz data/))
    await assert.rejects(described('b.csv.br', 'a,b\n'), refused('bad-input', /b\.csv\.br': its brotli data is /))
    const broken = Buffer.from(gzip)
    broken[12] = 0xff
    await assert.rejects(described('b.csv.gz', broken), refused('bad-input', /b\.csv\.gz': its gzip data is damaged .*, after 0 bytes/))
  })

  it('leaves what a name promises to its reader', async () => {
    assert.equal(await typeOf('a.json', '[{"a":1}]'), 'application/json')
    assert.equal(await typeOf('a.json', '{\n"a":1}'), 'application/json')
    // It knows the line, or the column, and what to do about it.
    assert.equal(await typeOf('a.csv', Buffer.from([0, 1, 2, 255])), 'text/csv')
    assert.equal(await typeOf('a.csv', Buffer.from('a,b\n1,\0\n')), 'text/csv')
  })

  it('says what it cannot use, and why', async () => {
    await assert.rejects(describeInput(join(folder, 'none.csv')), refused('input-unreadable', /there is no such file; check the path/))
    await mkdir(join(folder, 'dir'))
    await assert.rejects(describeInput(join(folder, 'dir')), refused('input-unreadable', /it is a folder/))
    await input('a.json', '[]')
    await assert.rejects(describeInput(join(folder, 'dir', '..', 'a.json', 'x')), refused('input-unreadable', /not a folder/))
  })

  it('refuses a named pipe without waiting for a writer', async () => {
    const path = join(folder, 'pipe.csv')
    execFileSync('mkfifo', [path])
    await assert.rejects(describeInput(path), refused('input-unreadable', /not a regular file/))
  })

  it('says so where permission is missing', async () => {
    // The superuser may read anything, so the mapping is tested by itself there.
    if (process.getuid?.() === 0) {
      const error = unreadable('/x', Object.assign(new Error('EACCES'), { code: 'EACCES' }))
      assert.ok(refused('input-unreadable', /permission denied/)(error))
      return
    }
    const { path } = await input('a.csv', 'a,b\n')
    await chmod(path, 0)
    await assert.rejects(describeInput(path), refused('input-unreadable', /permission denied/))
  })
})
