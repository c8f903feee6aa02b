import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFile, mkdir, readdir, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeCsv } from '../fixtures/csv.ts'
import { followEvents } from '../fixtures/events.ts'
import { collect, startTestnet, type Finished, type Testnet } from '../fixtures/testnet.ts'

const SEED = 6
/** So short that a hang costs a test little, long enough for an engine to start on a busy machine. */
const ENGINE_STALL_MS = 3000
const ENGINE_MEMORY = 256 * 1024 * 1024

const PLACES = ['--local', '--remote'] as const
/** Its output lies in a folder of its own: while it runs, others look for what is left half done. */
const HANG = ['HANG.bin', '--to', 'fault', '--block-size', '100kB']

/** One line on standard error after the progress, that says what happened; nothing partial; the exit code. */
interface Expected { code: number, says: RegExp }

describe('what goes wrong ends in one clear line, the documented exit code, and nothing partial', function () {
  this.timeout(120_000)
  let testnet: Testnet
  let folder: string
  /** Takes several times the stall limit: begun at the start, awaited in its turn. */
  const hanging = new Map<string, Promise<Finished>>()

  before(async () => {
    testnet = await startTestnet({
      nodes: 3,
      seed: SEED,
      profile: { nodes: Array.from({ length: 3 }, () => ({ executor: { stallMs: ENGINE_STALL_MS, memoryBytes: ENGINE_MEMORY } })) },
      env: { WEFT_TEST_CONVERTERS: '1' }
    })
    folder = join(testnet.dir, 'work')
    await mkdir(join(folder, 'hanging'), { recursive: true })
    writeCsv(join(folder, 'good.csv'), 1_000_000, SEED)
    await writeFile(join(folder, 'junk.dat2'), Buffer.from([0, 1, 2, 3, 255, 254]))
    await writeFile(join(folder, 'taken.parquet'), 'mine')
    await symlink('loop.csv', join(folder, 'loop.csv'))
    const rows = Array.from({ length: 400_000 }, (_, i) => i === 217_000 ? `${i},007,x` : `${i},${i % 100},name${i}`)
    await writeFile(join(folder, 'late.csv'), `id,v,name\n${rows.join('\n')}\n`)
    for (const word of ['CRASH', 'HANG', 'OOM']) {
      const bytes = Buffer.alloc(400_000, 'x')
      bytes.write(word, 250_000)
      await writeFile(join(folder, `${word}.bin`), bytes)
    }
    for (const place of PLACES) hanging.set(place, testnet.weft(['convert', ...HANG, '-o', `hanging/${place}.bin`, place], { cwd: folder }))
  })

  after(async () => { await testnet.down() })

  const partials = async (): Promise<string[]> => (await readdir(folder)).filter(name => name.includes('partial'))

  async function expectFailure ({ code, stderr, stdout }: Finished, expected: Expected, output?: string): Promise<void> {
    const lines = stderr.trim().split('\n')
    const last = lines.at(-1) ?? ''
    assert.match(last, expected.says, `${stderr}\n${stdout}`)
    assert.equal(code, expected.code, last)
    assert.ok(lines.filter(line => line.startsWith('weft: ')).length === 1, `more than one line of error:\n${stderr}`)
    assert.doesNotMatch(stderr, /\n\s+at /, 'a stack trace is no message')
    assert.deepEqual(await partials(), [])
    if (output != null) assert.ok(!(await readdir(folder)).includes(output), `${output} is there`)
  }

  const table: Array<{ what: string, args: string[], output?: string } & Expected> = [
    { what: 'a missing input', args: ['nope.csv', '--to', 'parquet', '-o', 'o.parquet'], output: 'o.parquet', code: 1, says: /nope\.csv.*no such file/ },
    { what: 'an unreadable input', args: ['loop.csv', '--to', 'parquet', '-o', 'o.parquet'], output: 'o.parquet', code: 1, says: /loop\.csv/ },
    { what: 'an unknown type', args: ['good.csv', '--to', 'parqet', '-o', 'o.parquet'], output: 'o.parquet', code: 2, says: /unknown type 'parqet'/ },
    { what: 'an input of no known type', args: ['junk.dat2', '--to', 'parquet', '-o', 'o.parquet'], output: 'o.parquet', code: 4, says: /junk\.dat2.*--from/ },
    { what: 'a conversion nobody has', args: ['good.csv', '--to', 'bin', '-o', 'o.bin'], output: 'o.bin', code: 4, says: /no converter from text\/csv/ },
    { what: 'an output folder that is missing', args: ['good.csv', '--to', 'parquet', '-o', 'no/o.parquet'], code: 1, says: /no\/o\.parquet.*folder does not exist/ },
    { what: 'an output path that cannot be written', args: ['good.csv', '--to', 'parquet', '-o', '/sys/o.parquet'], code: 1, says: /\/sys\/o\.parquet/ },
    { what: 'an output that exists', args: ['good.csv', '--to', 'parquet', '-o', 'taken.parquet'], code: 1, says: /taken\.parquet' exists.*--overwrite/ },
    { what: 'an output that is the input', args: ['good.csv', '--to', 'ndjson', '-o', 'good.csv', '--overwrite'], code: 2, says: /good\.csv/ },
    { what: 'a setting that does not exist', args: ['good.csv', '--to', 'parquet', '-o', 'o.parquet', '--set', 'delimeter=;'], output: 'o.parquet', code: 2, says: /unknown setting 'delimeter'.*delimiter/ },
    { what: 'a value that contradicts the type it was given', args: ['late.csv', '--to', 'parquet', '-o', 'o.parquet', '--set', 'type:v=BIGINT'], output: 'o.parquet', code: 1, says: /late\.csv' line 217002, column 'v'.*007.*type:v/ },
    { what: 'an engine that crashes on one block', args: ['CRASH.bin', '--to', 'fault', '-o', 'o.bin', '--block-size', '100kB'], output: 'o.bin', code: 1, says: /CRASH\.bin.*block 2.*crash/ },
    { what: 'an engine that hangs on one block', args: HANG, code: 1, says: /HANG\.bin.*block 2.*hang/ },
    { what: 'an engine that eats all memory on one block', args: ['OOM.bin', '--to', 'fault', '-o', 'o.bin', '--block-size', '100kB'], output: 'o.bin', code: 1, says: /OOM\.bin.*block 2.*out-of-memory/ }
  ]

  for (const { what, args, output, ...expected } of table) {
    for (const place of PLACES) {
      it(`${what} (${place})`, async () => {
        const finished = args === HANG ? hanging.get(place) as Promise<Finished> : testnet.weft(['convert', ...args, place], { cwd: folder })
        await expectFailure(await finished, expected, output)
        if (args === HANG) assert.ok(!(await readdir(join(folder, 'hanging'))).includes(`${place}.bin`))
        assert.equal(readFileSync(join(folder, 'taken.parquet'), 'utf8'), 'mine')
      })
    }
  }

  /** Starts a job of 40 blocks of 150 ms each, and resolves once some are done. */
  async function running (name: string, place = '--remote'): Promise<{ finished: Promise<Finished>, output: string }> {
    await writeFile(join(folder, `${name}.bin`), Buffer.alloc(4_000_000, name))
    const events = await followEvents(testnet.node('n0'))
    const child = testnet.spawn(['convert', `${name}.bin`, '--to', 'sleep', '--set', 'milliseconds=150', '--block-size', '100kB', '-o', `${name}.sleep`, place], { cwd: folder })
    const finished = collect(child)
    let done = 0
    for await (const event of events) {
      if (event.type === 'block' && event.change === 'done' && ++done === 4) break
      assert.ok(event.type !== 'state' || !['failed', 'done'].includes(event.state), `the job ended early: ${JSON.stringify(event)}`)
    }
    events.close()
    return { finished, output: `${name}.sleep` }
  }

  it('an engine process that is killed from outside costs one attempt', async () => {
    const { finished, output } = await running('killed')
    const engine = enginesOf((await testnet.reload()).find(node => node.name === 'n1')?.pid ?? 0)[0]
    assert.ok(engine != null, 'n1 runs no engine')
    process.kill(engine, 'SIGKILL')
    const { code, stderr } = await finished
    assert.equal(code, 0, stderr)
    assert.ok((await readdir(folder)).includes(output))
  })

  it('an input that vanishes in the middle', async () => {
    const { finished, output } = await running('vanishes')
    await rm(join(folder, 'vanishes.bin'))
    await expectFailure(await finished, { code: 1, says: /vanishes\.bin/ }, output)
  })

  it('an input that is cut short in the middle', async () => {
    const { finished, output } = await running('shrinks')
    await truncate(join(folder, 'shrinks.bin'), 1000)
    await expectFailure(await finished, { code: 1, says: /shrinks\.bin.*changed/ }, output)
  })

  it('an input that is only touched: what was read may be a mixture', async () => {
    const { finished, output } = await running('touched')
    await utimes(join(folder, 'touched.bin'), new Date(), new Date(Date.now() + 5000))
    await expectFailure(await finished, { code: 1, says: /touched\.bin.*changed/ }, output)
  })

  it('an output that appears while the job runs is not replaced', async () => {
    const { finished, output } = await running('appears')
    await copyFile(join(folder, 'taken.parquet'), join(folder, output))
    await expectFailure(await finished, { code: 1, says: /appears\.sleep' exists/ })
    assert.equal(readFileSync(join(folder, output), 'utf8'), 'mine')
  })

  it('a worker that is stopped in the middle hands its work back', async () => {
    const { finished, output } = await running('drained')
    assert.equal((await testnet.verb('stop', 'n2')).code, 0)
    const { code, stderr } = await finished
    assert.equal(code, 0, stderr)
    assert.ok((await readdir(folder)).includes(output))
    assert.equal((await testnet.verb('start', 'n2')).code, 0)
  })

  it('the requester\'s daemon killed in the middle: no output, and the job goes on when it is back', async () => {
    const { finished, output } = await running('stopped')
    assert.equal((await testnet.verb('kill', 'n0')).code, 0)
    const ended = await finished
    assert.equal(ended.code, 3, ended.stderr)
    const [, job = ''] = /follow it with 'weft jobs watch (\S+)'/.exec(ended.stderr) ?? []
    assert.ok(!(await readdir(folder)).includes(output))
    assert.equal((await testnet.verb('start', 'n0')).code, 0)
    const watch = await testnet.weft(['jobs', 'watch', job], { cwd: folder })
    assert.equal(watch.code, 0, watch.stderr)
    assert.ok((await readdir(folder)).includes(output))
    assert.deepEqual(await partials(), [])
  })
})

/** Process ids of a daemon's engine processes, found as its descendants that run the executor's child. */
function enginesOf (daemon: number): number[] {
  const processes = execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' }).trim().split('\n').map(line => {
    const [pid, parent, ...args] = line.trim().split(/\s+/)
    return { pid: Number(pid), parent: Number(parent), args: args.join(' ') }
  })
  const below = (pid: number): typeof processes => processes.filter(p => p.parent === pid).flatMap(p => [p, ...below(p.pid)])
  return below(daemon).filter(({ args }) => /executor\/child\.ts/.test(args) && !/^\S*bwrap/.test(args)).map(({ pid }) => pid)
}
