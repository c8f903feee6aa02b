import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { link, mkdir, mkdtemp, open, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { EXIT, exitCodeOf } from '../../../cli/lib/exit.ts'
import { Failure, toFailure } from '../../../cli/lib/failure.ts'
import { readEvents } from '../../../cli/lib/event-reader.ts'
import { targetOf } from '../../../cli/lib/names.ts'
import { planConversions } from '../../../cli/lib/inputs.ts'
import { news } from '../../../cli/lib/job-view.ts'
import { createProgress, describe as inWords } from '../../../cli/lib/progress.ts'
import { gone, isRunning, signalGroup, startTimeOf } from '../../../cli/lib/process.ts'
import { Rate } from '../../../cli/lib/rate.ts'
import { readStandardInput } from '../../../cli/lib/standard-input.ts'
import { summary } from '../../../cli/lib/summary.ts'
import { formatBytes, formatSeconds, parseBytes, parseSeconds, parseWhole } from '../../../cli/lib/units.ts'
import { configOf, readProfile } from '../../../cli/testnet/profile.ts'
import { ConfigError } from '../../../daemon/config/index.ts'
import { JobRefusedError } from '../../../daemon/coordinator/errors.ts'
import type { JobEvent, JobErrorCode } from '../../../daemon/coordinator/index.ts'
import { DataDirLockedError } from '../../../daemon/store/errors.ts'
import { report } from '../gateway/fake-node.ts'

const usageError = (words: RegExp) => (error: Failure): boolean => error instanceof Failure && error.exit === EXIT.usage && words.test(error.message) && !error.message.includes('\n')

describe('cli library', () => {
  describe('exit codes', () => {
    const expected: Record<JobErrorCode, number> = {
      usage: 2, 'bad-parameters': 2, 'no-provider': 4, 'check-failed': 5, 'over-budget': 6, deadline: 124, cancelled: 130,
      failed: 1, 'input-unreadable': 1, 'input-changed': 1, 'bad-input': 1, contradiction: 1, unsupported: 1, 'output-exists': 1, 'output-unwritable': 1, interrupted: 3, 'not-resumable': 1, 'unknown-type': 4
    }
    for (const [code, exit] of Object.entries(expected)) it(`${code} is ${exit}`, () => { assert.equal(exitCodeOf(code), exit) })
    it('an unknown type that was typed is wrong usage', () => { assert.equal(exitCodeOf('unknown-type', { type: 'paquet' }), 2) })

    it('typed errors of the daemon keep their words and get their code', () => {
      assert.deepEqual([toFailure(new ConfigError('x.json: bad', { key: 'a' })).exit, toFailure(new ConfigError('x', { key: 'a' })).details], [2, { key: 'a' }])
      assert.equal(toFailure(new DataDirLockedError('in use')).exit, 1)
      assert.equal(toFailure(new DataDirLockedError('in use')).code, 'data-dir-locked')
      assert.equal(toFailure(new JobRefusedError({ code: 'no-provider', message: 'nobody' })).exit, 4)
      assert.equal(toFailure(new Error('two\n  lines')).message, 'two; lines')
      assert.equal(toFailure('text').message, 'text')
    })
  })

  describe('sizes and times', () => {
    it('read as people write them', () => {
      assert.equal(parseBytes('16MB', '-'), 16_000_000)
      assert.equal(parseBytes('16MiB', '-'), 16_777_216)
      assert.equal(parseBytes('1.5 kB', '-'), 1500)
      assert.equal(parseBytes('7', '-'), 7)
      assert.equal(parseSeconds('10m', '-'), 600)
      assert.equal(parseSeconds('90', '-'), 90)
      assert.equal(parseSeconds('500ms', '-'), 0.5)
      assert.equal(parseWhole('3', '-', 1, 5), 3)
    })
    for (const text of ['', '0', '-1', '16XB', 'MB', '1e9', '1,5MB', '99999999999TB']) {
      it(`'${text}' is no size`, () => { assert.throws(() => parseBytes(text, '--block-size'), usageError(/--block-size/)) })
    }
    for (const text of ['', '0', '-1s', '5 parsecs', 'soon']) {
      it(`'${text}' is no time`, () => { assert.throws(() => parseSeconds(text, '--deadline'), usageError(/--deadline/)) })
    }
    it('written as people read them', () => {
      assert.deepEqual([0, 999, 1000, 2_018_388, 16e9].map(formatBytes), ['0 B', '999 B', '1.0 kB', '2.0 MB', '16 GB'])
      assert.deepEqual([0.237, 3.12, 42, 150, 7200, 200_000].map(formatSeconds), ['237 ms', '3.1 s', '42 s', '2 min 30 s', '2 h 0 min', '2 d 8 h'])
    })
    it('what is formatted is read back within its precision', () => {
      fc.assert(fc.property(fc.integer({ min: 1, max: 1e12 }), bytes => {
        const back = parseBytes(formatBytes(bytes), '-')
        assert.ok(Math.abs(back - bytes) <= bytes * 0.06, `${bytes} ${formatBytes(bytes)} ${back}`)
      }))
    })
  })

  describe('inputs and outputs', () => {
    let cwd: string
    before(async () => {
      cwd = await mkdtemp(join(tmpdir(), 'weft-inputs-'))
      for (const file of ['a.csv', 'b.csv', 'deep/a.csv', 'deep/er/c.csv', 'deep/notes.txt', 'deep/.hidden.csv', 'odd[1].csv', 'a.json']) {
        await mkdir(dirname(join(cwd, file)), { recursive: true })
        await writeFile(join(cwd, file), '')
      }
      await mkdir(join(cwd, 'out'))
    })
    after(async () => { await rm(cwd, { recursive: true }) })

    const plan = async (inputs: string[], out?: string): Promise<string[]> => {
      const conversions = await planConversions({ inputs, cwd, target: targetOf('parquet'), convertible: new Set(['csv']), ...(out != null ? { out } : {}) })
      return conversions.map(({ inputs: from, output }) => `${from.map(path => path.replace(`${cwd}/`, '')).join('+')} > ${output.replace(`${cwd}/`, '')}`)
    }

    it('one file: named, beside nothing, into a folder that exists or is to be made', async () => {
      assert.deepEqual(await plan(['a.csv'], 'x.parquet'), ['a.csv > x.parquet'])
      assert.deepEqual(await plan(['deep/a.csv']), ['deep/a.csv > a.parquet'])
      assert.deepEqual(await plan(['a.csv'], 'out'), ['a.csv > out/a.parquet'])
      assert.deepEqual(await plan(['a.csv'], 'new/'), ['a.csv > new/a.parquet'])
      assert.deepEqual(await plan(['a.csv'], '-'), ['a.csv > -'])
      assert.deepEqual(await plan(['nowhere.csv'], 'x.parquet'), ['nowhere.csv > x.parquet'], 'the daemon says that it is missing')
    })
    it('several inputs to one output stay in their order', async () => {
      assert.deepEqual(await plan(['b.csv', 'a.csv'], 'x.parquet'), ['b.csv+a.csv > x.parquet'])
    })
    it('folders keep relative paths, and only what can be converted is taken', async () => {
      assert.deepEqual(await plan(['deep'], 'out/'), ['deep/a.csv > out/a.parquet', 'deep/er/c.csv > out/er/c.parquet'])
      await assert.rejects(plan(['out'], 'x/'), usageError(/no file in this folder/))
    })
    it('patterns come in stable order, relative to their fixed part; a file of that very name is meant first', async () => {
      assert.deepEqual(await plan(['*.csv'], 'out/'), ['a.csv > out/a.parquet', 'b.csv > out/b.parquet', 'odd[1].csv > out/odd[1].parquet'])
      assert.deepEqual(await plan(['deep/**/*.csv'], 'out/'), ['deep/a.csv > out/a.parquet', 'deep/er/c.csv > out/er/c.parquet'])
      assert.deepEqual(await plan([join(cwd, 'deep', '*', '*.csv')], 'out/'), ['deep/er/c.csv > out/er/c.parquet'])
      assert.deepEqual(await plan(['odd[1].csv'], 'x.parquet'), ['odd[1].csv > x.parquet'])
      await assert.rejects(plan(['*.tsv'], 'out/'), usageError(/no file matches/))
    })
    it('collisions are refused beforehand, naming both', async () => {
      await assert.rejects(plan(['a.csv', 'deep/a.csv'], 'out/'), usageError(/a\.csv and .*deep\/a\.csv would both become .*out\/a\.parquet/))
      await assert.rejects(planConversions({ inputs: ['a.csv'], cwd, target: targetOf('csv') }), usageError(/is an input/))
    })
    it('an output that is an input by another name is refused, whatever the name', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'weft-links-'))
      try {
        await writeFile(join(folder, 'a.csv'), 'a\n')
        await symlink(join(folder, 'a.csv'), join(folder, 'soft.parquet'))
        await link(join(folder, 'a.csv'), join(folder, 'hard.parquet'))
        for (const out of ['soft.parquet', 'hard.parquet']) await assert.rejects(planConversions({ inputs: ['a.csv'], out, cwd: folder, target: targetOf('parquet') }), usageError(/is the input .*a\.csv by another name/))
        await assert.rejects(planConversions({ inputs: ['a.csv'], out: './a.csv', cwd: folder, target: targetOf('csv') }), usageError(/is an input/))
        await assert.rejects(planConversions({ inputs: ['soft.parquet'], out: 'a.csv', cwd: folder, target: targetOf('csv') }), usageError(/by another name/))
      } finally {
        await rm(folder, { recursive: true })
      }
    })
    it('compressed files of a folder are convertible by what is in them, and become plain names', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'weft-compressed-'))
      try {
        for (const name of ['a.csv.gz', 'b.csv.zst', 'c.txt.gz', 'd.gz', 'e.csv']) await writeFile(join(folder, name), '')
        const options = { inputs: ['.'], out: 'out/', cwd: folder, convertible: new Set(['csv']) }
        assert.deepEqual((await planConversions({ ...options, target: targetOf('parquet') })).map(({ output }) => basename(output)), ['a.parquet', 'b.parquet', 'e.parquet'])
        await writeFile(join(folder, 'a.csv'), '')
        await assert.rejects(planConversions({ ...options, target: targetOf('parquet') }), usageError(/a\.csv and .*a\.csv\.gz would both become .*a\.parquet/))
      } finally {
        await rm(folder, { recursive: true })
      }
    })
    it('an output divided by values is one folder for all inputs', async () => {
      const divided = async (inputs: string[], out?: string): Promise<unknown> => await planConversions({ inputs, cwd, target: targetOf('parquet'), divided: true, ...(out != null ? { out } : {}) })
      assert.deepEqual(await divided(['a.csv', 'b.csv'], 'out/'), [{ inputs: [join(cwd, 'a.csv'), join(cwd, 'b.csv')], output: join(cwd, 'out') }])
      assert.deepEqual(await divided(['deep/a.csv']), [{ inputs: [join(cwd, 'deep', 'a.csv')], output: join(cwd, 'a') }])
      await assert.rejects(divided(['a.csv', 'b.csv']), usageError(/-o FOLDER/))
    })
    it('standard input needs a name for its output, and stands alone', async () => {
      assert.deepEqual(await plan(['-'], 'x.parquet'), ['- > x.parquet'])
      assert.deepEqual(await plan(['-'], '-'), ['- > -'])
      await assert.rejects(plan(['-']), usageError(/-o/))
      await assert.rejects(plan(['-'], 'out/'), usageError(/-o/))
      await assert.rejects(plan(['-', 'a.csv'], 'x'), usageError(/mixed/))
    })
  })

  describe('standard input and output', () => {
    const collect = async (source: AsyncIterable<Uint8Array>): Promise<string> => Buffer.concat(await Array.fromAsync(source)).toString()

    it('gives what comes, however slowly', async () => {
      const pipe = new PassThrough()
      pipe.write('a,b\n')
      const read = readStandardInput(collect, { open: () => pipe })
      setImmediate(() => { pipe.end('1,2\n') })
      assert.equal(await read, 'a,b\n1,2\n')
    })
    it('tells its own errors from those of whoever takes it', async () => {
      const pipe = new PassThrough()
      const read = readStandardInput(async source => await collect(source).catch(() => { throw new Error('the daemon is gone') }), { open: () => pipe })
      pipe.destroy(new Error('EIO'))
      await assert.rejects(read, (error: Failure) => error.code === 'input-unreadable' && /cannot read standard input: EIO/.test(error.message))
      await assert.rejects(readStandardInput(async () => { throw new Error('the daemon is gone') }, { open: () => new PassThrough() }), /the daemon is gone/)
    })
    it('stops waiting for a writer that says nothing', async () => {
      const pipe = new PassThrough()
      const controller = new AbortController()
      const read = readStandardInput(collect, { open: () => pipe, signal: controller.signal })
      controller.abort()
      await assert.rejects(read, (error: Error) => !(error instanceof Failure))
      assert.equal(pipe.destroyed, true)
    })

    const piping = `
      const { endOfOutput, pipeOut } = await import(${JSON.stringify(new URL('../../../cli/lib/terminal.ts', import.meta.url).href)})
      process.stdout.on('error', endOfOutput)
      const endless = async function * () { for (;;) yield Buffer.alloc(65536) }
      try { await pipeOut(endless()) } catch (error) { console.error(error.code, error.message) } finally { console.error('cleaned up') }`
    const run = async (out: 'pipe' | number): Promise<{ code: number | null, stderr: string }> => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', piping], { stdio: ['ignore', out, 'pipe'] })
      let stderr = ''
      child.stderr!.on('data', (chunk: Buffer) => { stderr += chunk.toString() })
      child.stdout?.once('data', () => { child.stdout?.destroy() })
      const [code] = await once(child, 'close') as [number | null]
      return { code, stderr }
    }
    it('a reader that has enough is no failure, and leaves time to clean up', async () => {
      assert.deepEqual(await run('pipe'), { code: 0, stderr: 'cleaned up\n' })
    })
    it('a full disk is told in one line', async () => {
      const full = await open('/dev/full', 'w')
      try {
        assert.deepEqual(await run(full.fd), { code: 0, stderr: 'output-unwritable cannot write to standard output: no space left\ncleaned up\n' })
      } finally {
        await full.close()
      }
    })
  })

  describe('progress', () => {
    const progress = (changes: Partial<Extract<JobEvent, { type: 'progress' }>>): Extract<JobEvent, { type: 'progress' }> =>
      ({ type: 'progress', job: 'j', at: 0, blocksDone: 0, bytesDone: 0, bytesTotal: 1000, workers: 2, ...changes })

    it('says blocks, speed, time left and workers, as far as they are known', () => {
      const rate = new Rate()
      rate.add(0, 0)
      assert.equal(inWords(progress({}), rate, 0), '0 blocks, 2 workers')
      rate.add(1000, 250)
      assert.equal(inWords(progress({ blocksDone: 3, blocksTotal: 12, bytesDone: 250, workers: 1 }), rate, 1000), '3 of 12 blocks, 250 B/s, 3 s left, 1 worker')
    })
    it('averages over the last seconds, shows a stall, and starts anew when work is taken back', () => {
      const rate = new Rate()
      for (let second = 0; second <= 20; second++) rate.add(second * 1000, second < 10 ? second * 10 : 90)
      assert.equal(rate.bytesPerSecond(20_000), 0)
      assert.equal(rate.secondsLeft(20_000, 200), undefined)
      rate.add(21_000, 50)
      assert.equal(rate.bytesPerSecond(21_000), undefined)
    })
    it('is never negative', () => {
      fc.assert(fc.property(fc.array(fc.tuple(fc.nat(5000), fc.nat(1e6)), { maxLength: 50 }), steps => {
        const rate = new Rate()
        let now = 0
        for (const [wait, bytes] of steps) {
          now += wait
          rate.add(now, bytes)
          assert.ok((rate.bytesPerSecond(now) ?? 0) >= 0)
          assert.ok((rate.secondsLeft(now, 1e6) ?? 0) >= 0)
        }
      }))
    })
    it('tells of lost workers in words, and of plans unless it is one of many', () => {
      const lost: JobEvent = { type: 'worker', job: 'j', at: 0, peer: '12D3KooWabcdefgh', change: 'lost', reason: 'connection closed' }
      assert.equal(news(lost, false), 'worker …abcdefgh was lost (connection closed): its blocks go to others')
      assert.equal(news({ ...lost, change: 'joined', reason: undefined }, false), undefined)
      assert.equal(news({ type: 'plan', job: 'j', at: 0, message: 'local' }, false), 'local')
      assert.equal(news({ type: 'plan', job: 'j', at: 0, message: 'local' }, true), undefined)
    })
    it('draws one line on a terminal that is never longer than it, and plain lines elsewhere', () => {
      const written: string[] = []
      const stream = (isTTY: boolean): NodeJS.WriteStream => ({ isTTY, columns: 40, write: (text: string) => { written.push(text); return true } }) as unknown as NodeJS.WriteStream
      const bar = createProgress('a-rather-long-name.csv', { stream: stream(true) })
      bar.event(progress({ blocksDone: 5, blocksTotal: 10, bytesDone: 500 }))
      bar.event({ type: 'state', job: 'j', at: 0, state: 'merging' })
      bar.stop()
      for (const text of written) {
        assert.ok(text.startsWith('\r\u001b[K'))
        assert.ok(text.slice(4).length < 40, text)
      }
      written.length = 0
      const lines = createProgress('a.csv', { stream: stream(false) })
      lines.event({ type: 'worker', job: 'j', at: 0, peer: 'p', change: 'lost' })
      lines.event(progress({}))
      lines.stop()
      assert.deepEqual(written, ['a.csv: worker p was lost: its blocks go to others\n'])
      written.length = 0
      createProgress('a.csv', { stream: stream(false), quiet: true }).say('x')
      assert.deepEqual(written, [])
    })
  })

  it('the summary says where, how much and how well it was checked', () => {
    const plain = new PassThrough() as unknown as NodeJS.WriteStream
    const done = report('j', {
      state: 'done', seconds: 3.1, outputs: [{ path: '/o.parquet', mediaType: 'x', bytes: 2000, cid: 'c' }],
      blocks: { total: 9, done: 9, local: 2, remote: 7, memo: 0, redispatched: 1, hedged: 0, rejected: 2, redone: 0, restored: 0 },
      epochs: 0,
      notes: [],
      check: { equivalence: 'content-exact', distance: 0, bound: 0, blocksChecked: 4, blocksUnmeasured: 5, whole: true },
      workers: [{ peer: 'local', blocks: 2, seconds: 1, cost: '0', failed: 0 }, { peer: 'a', blocks: 7, seconds: 1, cost: '0', failed: 0 }, { peer: 'b', blocks: 0, seconds: 1, cost: '0', failed: 3 }]
    })
    assert.equal(summary(done, { stream: plain }), '✓ in.csv → /o.parquet  10 B → 2.0 kB in 3.1 s\n  9 blocks 2 here and 7 on 1 other node, 1 block sent again, 2 wrong results thrown away; 4 of 9 blocks compared with the source: equal (content-exact)')
    assert.equal(summary(done, { stream: plain, short: true, from: 'standard input', to: 'standard output' }), '✓ standard input → standard output  10 B → 2.0 kB in 3.1 s')
  })

  it('reads events however the bytes are cut', async () => {
    const events = [{ a: 1 }, { b: 'ü\n' }, { c: [1, 2] }]
    const text = `: hello\n\n${events.map((event, id) => `id: ${id}\nevent: x\ndata: ${JSON.stringify(event)}\n\n`).join('')}: alive\n\n`
    const bytes = new TextEncoder().encode(text)
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: bytes.length }), async size => {
      async function * cut (): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
      }
      assert.deepEqual(await Array.fromAsync(readEvents(cut())), events)
    }), { numRuns: 40 })
  })

  it('processes are told apart by when they began, and those of another beginning are not signalled', async () => {
    const started = startTimeOf(process.pid)
    assert.ok(started != null && isRunning(process.pid))
    assert.equal(await gone(process.pid, 'another time', 1000), true)
    assert.equal(await gone(process.pid, started, 0), false)
    assert.equal(signalGroup(process.pid, 'another time', 'SIGKILL'), false)
    for (const pid of [0, -1, Number.NaN, 2 ** 40]) assert.equal(isRunning(pid), false)
  })

  describe('profiles of test networks', () => {
    let folder: string
    before(async () => { folder = await mkdtemp(join(tmpdir(), 'weft-profile-')) })
    after(async () => { await rm(folder, { recursive: true }) })
    const profile = async (content: unknown) => {
      const path = join(folder, 'profile.json')
      await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
      return await readProfile(path)
    }

    it('become configuration', async () => {
      const nodes = await profile({ nodes: [{}, { speed: 0.25, price: 5, cores: 2, converters: ['table/*'], faults: ['wrong:0.5'] }] })
      assert.deepEqual(nodes.map(configOf), [{ executor: {}, faults: [] }, { prices: { perHour: '5' }, converters: { only: ['table/*'] }, executor: { slots: 2 }, faults: ['wrong:0.5', 'slow:4'] }])
    })
    const wrong: Array<[unknown, RegExp]> = [
      ['{', /not valid JSON/],
      [{}, /nodes/],
      [{ nodes: [{ sped: 1 }] }, /nodes\[0\].*sped/],
      [{ nodes: [{ speed: 2 }] }, /nodes\[0\]\.speed: .*not faster/],
      [{ nodes: [{}, { cores: 0 }] }, /nodes\[1\]\.cores/],
      [{ nodes: [{ faults: ['drop', 'drip'] }] }, /nodes\[0\]\.faults\[1\]: 'drip' is not a fault that can be planted: expected wrong, .* or crash-loop/],
      [{ nodes: [{ faults: ['drop:2'] }] }, /'drop:2' is not a fault/],
      [{ nodes: [{ faults: ['crash-loop:10'] }] }, /'crash-loop:10' is not a fault/]
    ]
    for (const [content, words] of wrong) it(`refuses ${JSON.stringify(content)}`, async () => { await assert.rejects(profile(content), usageError(words)) })
    it('must be there', async () => { await assert.rejects(readProfile(join(folder, 'no.json')), usageError(/no such file/)) })
  })
})
