import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createToolbox, describeInput, prepareJob, type Encoding, type Prepared, type Toolbox } from '../../../daemon/block-convert/index.ts'
import { coded, ENCODINGS, refused, TABLE } from './archives/samples.ts'

const EXTENSIONS: Record<Encoding, string> = { gzip: 'gz', zstd: 'zst', brotli: 'br', xz: 'xz' }

describe('decode: inputs as their readers want them', function () {
  this.timeout(60_000)
  let folder: string
  let scratch: string
  let toolbox: Toolbox
  let made = 0

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-decode-'))
    scratch = join(folder, 'scratch')
    toolbox = createToolbox({ scratch, threads: 1 })
  })
  after(async () => {
    await toolbox.close()
    await rm(folder, { recursive: true, force: true })
  })
  afterEach(async () => { assert.deepEqual(await readdir(scratch).catch(() => []), [], 'nothing is left in the scratch folder') })

  async function file (name: string, bytes: Uint8Array | string): Promise<string> {
    const path = join(folder, `${made++}-${name}`)
    await writeFile(path, bytes)
    return path
  }

  async function prepare (paths: string[], target = 'parquet', settings: Record<string, string> = {}): Promise<Prepared> {
    return await toolbox.prepare(await Promise.all(paths.map(async path => await toolbox.describe(path))), target, settings)
  }

  /** What the splitter would read. */
  async function text (prepared: Prepared): Promise<string> {
    const content = await readFile(prepared.inputs[0]!.path, 'utf8')
    await toolbox.release(prepared)
    return content
  }

  it('decodes compressed tables into copies that go with the job', async () => {
    for (const encoding of ENCODINGS) {
      const path = await file(`t.csv.${EXTENSIONS[encoding]}`, await coded(encoding, TABLE))
      assert.deepEqual({ ...await describeInput(path), mtimeMs: 0 }, { path, mediaType: 'text/csv', encoding, size: (await stat(path)).size, mtimeMs: 0 })
      const prepared = await prepare([path])
      const [input] = prepared.inputs
      assert.deepEqual(prepared.copies, [input!.path])
      assert.deepEqual([input!.original, input!.encoding, input!.mediaType, input!.size], [path, undefined, 'text/csv', Buffer.byteLength(TABLE)])
      assert.equal(input!.mtimeMs, (await stat(input!.path)).mtimeMs)
      assert.equal((await stat(input!.path)).mode & 0o777, 0o600)
      assert.equal(prepared.conversion.converter.id, 'table/csv-parquet')
      assert.equal(await text(prepared), TABLE)
    }
  })

  it('leaves alone what needs nothing, beside what does', async () => {
    const plain = await file('a.csv', TABLE)
    const packed = await file('b.csv.gz', await coded('gzip', TABLE))
    const prepared = await prepare([plain, packed])
    assert.deepEqual(prepared.inputs.map(({ path, original }) => original ?? path), [plain, packed])
    assert.equal(prepared.inputs[0]!.path, plain)
    assert.equal(prepared.copies.length, 1)
    assert.equal((await prepare([plain])).copies.length, 0)
    await toolbox.release(prepared)
  })

  it('leaves nothing of a job that cannot be prepared, and names the file and the byte', async () => {
    const good = await file('a.csv.gz', await coded('gzip', TABLE))
    for (const encoding of ENCODINGS) {
      const bytes = await coded(encoding, TABLE)
      const cut = await file(`cut.csv.${EXTENSIONS[encoding]}`, bytes)
      const input = await toolbox.describe(cut)
      await truncate(cut, bytes.length - 5)
      const shorter = { ...input, size: bytes.length - 5 }
      await assert.rejects(toolbox.prepare([await toolbox.describe(good), shorter], 'parquet', {}), refused('bad-input', new RegExp(`^'${cut}': its ${encoding} data .*, after \\d+ bytes$`)))
    }
    await assert.rejects(prepare([good], 'parquet', { colour: 'red' }), refused('bad-parameters', /unknown setting 'colour'/))
    const bomb = await file('bomb.csv.zst', await coded('zstd', 'a,b\n' + '1,2\n'.repeat(17_000_000), 1))
    await assert.rejects(prepare([bomb]), refused('bad-input', /bomb\.csv\.zst': its \d+ bytes of zstd data become more than \d+ times as many when decompressed, 100 times are allowed/))
    await assert.rejects(prepare([good], 'parquet', { max_expansion: 'many' }), refused('bad-parameters', /'max_expansion' cannot be 'many'/))
  })

  it('notices an input that changed since it was described', async () => {
    const path = await file('a.csv.gz', await coded('gzip', TABLE))
    const input = await toolbox.describe(path)
    await writeFile(path, await coded('gzip', `${TABLE}1,x\n`))
    await assert.rejects(toolbox.prepare([input], 'parquet', {}), refused('input-changed', /changed while the job ran/))
  })

  it('names the user\'s file in what readers and splitters say of a copy', async () => {
    const packed = await file('a.csv.gz', await coded('gzip', 'id,name\n1,a\nx,b\n'))
    const fixed = await prepare([packed], 'parquet', { 'type:id': 'BIGINT' })
    const split = async (): Promise<unknown> => await Array.fromAsync(toolbox.split(fixed.inputs, fixed.conversion, { bytes: 5 }, { signal: new AbortController().signal }))
    await assert.rejects(split(), (error: unknown) => {
      assert.ok(refused('contradiction', new RegExp(`'${packed}' line 3`))(error))
      assert.equal((error as { details: { path: string } }).details.path, packed)
      return true
    })
    await toolbox.release(fixed)
    const empty = await file('empty.csv.gz', await coded('gzip', ''))
    await assert.rejects(prepare([empty]), refused('bad-input', new RegExp(`'${empty}' is empty`)))
  })

  it('reads other character sets, compressed or not, and says so', async () => {
    const sample = 'id,name\n1,café\n2,naïve\n'
    const utf16 = Buffer.from(sample, 'utf16le')
    const cases: Array<[Uint8Array, string]> = [
      [Buffer.from(sample, 'latin1'), 'windows-1252'],
      [utf16, 'utf-16le'],
      [Buffer.from(`\ufeff${sample}`, 'utf16le'), 'utf-16le'],
      [Buffer.from(`\ufeff${sample}`, 'utf16le').swap16(), 'utf-16be']
    ]
    for (const [bytes, charset] of cases) {
      for (const path of [await file('c.csv', bytes), await file('c.csv.gz', await coded('gzip', bytes))]) {
        const prepared = await prepare([path])
        assert.deepEqual(prepared.notes.map(({ code, message, input }) => [code, message, input]), [['encoding-detected', `'${path}' was read as ${charset}; if that is wrong, say what it is with --set encoding=`, path]])
        assert.equal(prepared.inputs[0]!.original, path)
        assert.equal(await text(prepared), sample)
      }
    }
    const declared = await prepare([await file('d.csv', Buffer.from('a,b\n1,\xa4 5\n', 'latin1'))], 'parquet', { encoding: 'iso-8859-15' })
    assert.deepEqual(declared.notes, [])
    assert.equal(await text(declared), 'a,b\n1,€ 5\n')
    const big = await prepare([await file('e.csv', Buffer.from(`\ufeff${sample}`, 'utf16le').swap16())], 'parquet', { encoding: 'utf-16' })
    assert.equal(await text(big), sample)
    const controls = await prepare([await file('f.csv', Buffer.from('a,b\n1,\x93x\x94\n', 'latin1'))], 'parquet', { encoding: 'latin1' })
    assert.deepEqual(controls.notes.map(({ code, count }) => [code, count]), [['control-characters', 2]])
    await toolbox.release(controls)
  })

  it('leaves bytes that are no text to the splitter, and refuses what was declared wrongly', async () => {
    const stray = await file('s.csv', Buffer.concat([Buffer.from('a,b\n1,x'), Buffer.from([0xff, 0xfe]), Buffer.from('y\n')]))
    const prepared = await prepare([stray])
    assert.deepEqual([prepared.notes, prepared.copies], [[], []])
    const latin = await file('l.csv', Buffer.from('a,b\n1,caf\xe9\n', 'latin1'))
    await assert.rejects(prepare([latin], 'parquet', { encoding: 'utf-16le' }), refused('bad-input', /is not utf-16le/))
    assert.deepEqual((await prepare([latin], 'parquet', { encoding: 'utf-8' })).copies, [], 'as declared; the splitter finds the line')
    await assert.rejects(prepare([await file('p.csv', Buffer.from('a,b\n1,\x81\n', 'latin1'))], 'parquet', { encoding: 'windows-1252' }), refused('bad-input', /byte 0x81 is no character of it, after 6 bytes/))
    await assert.rejects(prepare([await file('h.csv', Buffer.from('a,b\n1,\ud800\n', 'utf16le'))]), refused('bad-input', /half a surrogate pair, after 12 bytes/))
    await assert.rejects(prepare([await file('u.csv', Buffer.from('a,b\n1,x\n', 'utf16le').subarray(0, -1))]), refused('bad-input', /ends within a character, after 14 bytes/))
    const utf32 = await file('w.csv', Buffer.from('fffe0000610000002c00000062000000', 'hex'))
    await assert.rejects(toolbox.prepare([await toolbox.describe(utf32, 'csv')], 'parquet', {}), refused('unsupported', /is in UTF-32/))
  })

  it('tells a byte far away from the beginning', async () => {
    const path = await file('far.csv', Buffer.concat([Buffer.from('id,name\n' + '1,plain\n'.repeat(400_000)), Buffer.from('2,caf\xe9\n', 'latin1')]))
    const prepared = await prepare([path])
    assert.equal(prepared.notes[0]?.code, 'encoding-detected')
    assert.ok((await text(prepared)).endsWith('2,café\n'))
  })

  it('keeps the bytes of a text as they are where they are only compressed', async () => {
    const bytes = Buffer.from('a,b\n1,caf\xe9\n', 'latin1')
    const { inputs, notes, conversion } = await prepareJob([await describeInput(await file('l.csv', bytes))], 'csv.gz', {}, scratch)
    assert.deepEqual([notes, conversion.converter.id, inputs[0]!.mediaType], [[], 'archive/raw-gzip', 'application/octet-stream'])
  })
})
