import assert from 'node:assert/strict'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeResult, JOURNAL_NAME, partsOfResultKey, RESULTS_PREFIX } from '../../daemon/coordinator/journal-entries.ts'
import { inspectDataDir } from '../../daemon/store/index.ts'
import { compareTables } from '../../scripts/compare.ts'
import { prng, writeCsv } from '../fixtures/csv.ts'
import { followEvents } from '../fixtures/events.ts'
import { collect, startTestnet, type Finished, type Testnet } from '../fixtures/testnet.ts'
import type { JobReport } from '../../daemon/coordinator/index.ts'

/** Fewer where somebody waits for the tests: each takes seconds, most of them for starting the daemon again. */
const KILLS = Number(process.env['WEFT_KILLS'] ?? (process.env['WEFT_TEST_FULL'] === '1' ? 5 : 3))
/** Of the kills, at least so many must have hit a job that had some of its blocks done, but not all; otherwise they prove little. */
const KILLS_IN_THE_MIDDLE = Math.floor(KILLS / 2)
const SEED = 20261122
const BLOCKS = 40

describe('the requester\'s daemon killed in the middle of its own job', function () {
  this.timeout(60_000 + KILLS * 30_000)
  let testnet: Testnet
  let input: string

  before(async () => {
    testnet = await startTestnet({ nodes: 4, seed: SEED })
    input = join(testnet.dir, 'input.csv')
    writeCsv(input, 2_100_000, SEED)
  })

  after(async () => { await testnet.down() })

  const convert = (output: string, ...more: string[]): string[] => ['convert', input, '--to', 'parquet', '-o', output, '--remote', '--block-size', '50kB', '--json', ...more]

  /** Kills n0 once so many blocks of the job that is submitted meanwhile are done; gives the blocks that were told to be done by then. */
  const killAt = async (doneBefore: number): Promise<{ job: string, done: Set<number> }> => {
    const { pid } = (await testnet.reload()).find(({ name }) => name === 'n0') ?? {}
    assert.ok(pid)
    const events = await followEvents(testnet.node('n0'))
    const done = new Set<number>()
    let job = ''
    try {
      for await (const event of events) {
        if (event.type === 'state' && ['done', 'failed', 'cancelled'].includes(event.state)) break
        job = event.job
        if (event.type === 'block' && event.change === 'done') done.add(event.block)
        if (done.size >= doneBefore) process.kill(pid, 'SIGKILL')
      }
    } catch {
      // It went away in the middle of a line, as it was to.
    }
    events.close()
    if (isThere(pid)) process.kill(pid, 'SIGKILL')
    while (isThere(pid)) await new Promise(setImmediate)
    return { job, done }
  }

  /** Blocks whose results a dead daemon left in its journal. */
  const kept = async (): Promise<Set<number>> => {
    await using inspection = await inspectDataDir(testnet.node('n0').dataDir)
    assert.ok(inspection != null)
    const blocks = new Set<number>()
    for await (const [key, value] of inspection.entries(JOURNAL_NAME, RESULTS_PREFIX)) {
      assert.ok(decodeResult(value) != null)
      blocks.add(partsOfResultKey(key).block)
    }
    return blocks
  }

  /** Follows the job to its end as a user would. */
  const watched = async (job: string): Promise<{ report: JobReport, watch: Finished }> => {
    const watch = await testnet.weft(['jobs', 'watch', job])
    const { stdout } = await testnet.weft(['jobs', 'show', job, '--json'])
    return { report: JSON.parse(stdout) as JobReport, watch }
  }

  it(`costs nothing done at ${KILLS} seeded instants: the job ends by itself, its output is equal, no durable result is made again`, async () => {
    const undisturbed = await testnet.weft(convert(join(testnet.dir, 'undisturbed.parquet')))
    assert.equal(undisturbed.code, 0, undisturbed.stderr)
    const expected = JSON.parse(undisturbed.stdout) as JobReport
    assert.ok(expected.blocks.total >= BLOCKS)
    const random = prng(SEED)
    let middle = 0
    for (let i = 0; i < KILLS; i++) {
      const doneBefore = Math.floor(random() * BLOCKS)
      const round = `kill ${i + 1} (seed ${SEED}): after ${doneBefore} blocks`
      const output = join(testnet.dir, `out-${i}.parquet`)
      const killed = killAt(doneBefore)
      const detached = i % 2 === 1
      const client = collect(testnet.spawn(convert(output, ...(detached ? ['--detach'] : []))))
      const { job, done } = await killed
      const { code, stderr, stdout } = await client
      const left = await kept()
      assert.ok(!(await readdir(testnet.dir)).includes(`out-${i}.parquet`) || left.size === 0, `${round}: an output is there that is not done`)
      if (!detached) {
        assert.equal(code, 3, `${round}: exit ${code}\n${stderr}\n${stdout}`)
        assert.match(stderr, new RegExp(`job …${job.slice(-12)} then goes on where it stood: follow it with 'weft jobs watch …${job.slice(-12)}'`))
      }
      assert.equal((await testnet.verb('start', 'n0')).code, 0)
      const { report, watch } = await watched(job)
      assert.deepEqual([watch.code, report.state, report.job], [0, 'done', job], `${round}: ${watch.stderr}`)
      for (const block of done) assert.ok(left.has(block) || left.size === 0, `${round}: block ${block} was told to be done, and its result is not in the journal`)
      assert.deepEqual([report.blocks.total, report.blocks.restored], [expected.blocks.total, left.size], round)
      assert.equal(report.outputs[0]?.cid, expected.outputs[0]?.cid, `${round}: another output`)
      const { difference, rows } = await compareTables(input, output)
      assert.equal(difference, undefined, round)
      assert.ok(rows > 10_000)
      if (left.size > 0 && left.size < BLOCKS) middle++
      await rm(output)
    }
    assert.ok(middle >= KILLS_IN_THE_MIDDLE, `only ${middle} of ${KILLS} kills hit a job in its middle`)
    assert.deepEqual((await readdir(testnet.dir)).filter(name => name.includes('partial')), [])
  })

  it('takes no upload with it: what came from standard input is converted when the daemon is back, and then let go', async () => {
    const output = join(testnet.dir, 'from-stdin.parquet')
    const killed = killAt(5)
    const client = collect(testnet.spawn(['convert', '-', '--from', 'csv', '--to', 'parquet', '-o', output, '--remote', '--block-size', '50kB']), await readFile(input))
    const { job } = await killed
    assert.equal((await client).code, 3)
    assert.equal((await testnet.verb('start', 'n0')).code, 0)
    const { report, watch } = await watched(job)
    assert.deepEqual([watch.code, report.state, report.resumed], [0, 'done', true], watch.stderr)
    assert.equal((await compareTables(input, output)).difference, undefined)
    assert.deepEqual(await readdir(join(testnet.node('n0').dataDir, 'uploads')), [])
  })

  it('leaves a file alone that took the output\'s name meanwhile; asked again once it is away, goes on with what was done', async () => {
    const output = join(testnet.dir, 'in-the-way.parquet')
    const killed = killAt(20)
    const client = collect(testnet.spawn(convert(output, '--detach')))
    const { job } = await killed
    await client
    const left = await kept()
    await writeFile(output, 'theirs')
    assert.equal((await testnet.verb('start', 'n0')).code, 0)
    const failed = await watched(job)
    assert.deepEqual([failed.watch.code, failed.report.error?.code, await readFile(output, 'utf8')], [1, 'output-exists', 'theirs'])
    assert.match((await testnet.weft(['jobs', 'show', job])).stdout, /what was done, until .*; go on with: weft jobs resume/)
    await rm(output)
    const resume = await testnet.weft(['jobs', 'resume', job])
    assert.deepEqual([resume.code, resume.stderr.trim()], [0, `weft: job …${job.slice(-12)} goes on; follow it with: weft jobs watch …${job.slice(-12)}`])
    const { report } = await watched(job)
    assert.deepEqual([report.state, report.blocks.restored], ['done', left.size])
    assert.equal((await compareTables(input, output)).difference, undefined)
  })

  it('says why a job cannot be gone on with', async () => {
    const { stdout } = await testnet.weft(['jobs', 'list', '--json'])
    const { jobs: [{ job }] } = JSON.parse(stdout) as { jobs: [JobReport] }
    const { code, stderr } = await testnet.weft(['jobs', 'resume', job])
    assert.deepEqual([code, stderr.trim()], [1, `weft: job ${job} is done: there is nothing to go on with`])
  })
})

function isThere (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
