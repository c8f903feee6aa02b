import assert from 'node:assert/strict'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { compareTables } from '../../scripts/compare.ts'
import { prng, writeCsv } from '../fixtures/csv.ts'
import { followEvents, type JobEvents } from '../fixtures/events.ts'
import { collect, startTestnet, type Finished, type Testnet } from '../fixtures/testnet.ts'

/** Fewer where somebody waits for the tests: each takes seconds, most of them for starting the victim again. CI sets the variable. */
const KILLS = process.env['WEFT_TEST_FULL'] === '1' ? 12 : 6
/** Of the kills, at least so many must have hit a worker that held an unfinished block; otherwise they prove little. */
const KILLS_THAT_HURT = Math.floor(KILLS * 0.75)
const SEED = 20261121

describe('a worker killed in the middle of a job', function () {
  this.timeout(240_000)
  let testnet: Testnet
  /** By block size: each of some 42 blocks. */
  const inputs: Array<{ path: string, blockSize: string }> = []

  before(async () => {
    testnet = await startTestnet({ nodes: 4, seed: SEED })
    // Small blocks ride the lease, larger ones have a stream each: both ways to lose one are tried in turn.
    for (const [blockSize, bytes] of [['50kB', 2_100_000], ['95kB', 4_000_000]] as const) {
      const path = join(testnet.dir, `input-${blockSize}.csv`)
      writeCsv(path, bytes, SEED)
      inputs.push({ path, blockSize })
    }
  })

  after(async () => { await testnet.down() })

  it(`costs nothing at ${KILLS} seeded instants: every output is equal and every exit code 0`, async () => {
    const random = prng(SEED)
    let hurt = 0
    // The last victim comes back while the next job runs: it joins that one in the middle, and is not killed twice in a row.
    let back: { name: string, started: Promise<Finished> } | undefined
    for (let i = 0; i < KILLS; i++) {
      const { path: input, blockSize } = inputs[i % inputs.length]!
      const alive = ['n1', 'n2', 'n3'].filter(name => name !== back?.name)
      const victim = alive[Math.floor(random() * alive.length)] as string
      const doneBefore = Math.floor(random() * 30)
      const output = join(testnet.dir, `out-${i}.parquet`)
      const events = await followEvents(testnet.node('n0'))
      const child = testnet.spawn(['convert', input, '--to', 'parquet', '-o', output, '--remote', '--block-size', blockSize, '--json'])
      const finished = collect(child)
      const held = await killWhenBusy(testnet, events, victim, doneBefore)
      const { code, stdout, stderr } = await finished
      const round = `kill ${i + 1} (seed ${SEED}): ${victim} after ${doneBefore} blocks`
      assert.equal(code, 0, `${round}: exit ${code}\n${stderr}\n${stdout}`)
      const report = JSON.parse(stdout) as { blocks: { total: number, redispatched: number } }
      assert.ok(report.blocks.total >= 40, `${round}: ${report.blocks.total} blocks`)
      const { difference, rows } = await compareTables(input, output)
      assert.equal(difference, undefined, round)
      assert.ok(rows > 10_000)
      if (held) hurt++
      await rm(output)
      if (back != null) assert.equal((await back.started).code, 0, `${round}: ${back.name} did not come back`)
      back = { name: victim, started: testnet.verb('start', victim) }
    }
    assert.equal((await back?.started)?.code, 0)
    assert.ok(hurt >= KILLS_THAT_HURT, `only ${hurt} of ${KILLS} victims held an unfinished block`)
  })

  it('left nothing beside the outputs', async () => {
    await assert.rejects(stat(join(testnet.dir, 'out-0.parquet')), { code: 'ENOENT' })
  })
})

/**
 * Kills the victim once `doneBefore` blocks are done and it holds one; follows the job to its end and tells whether the
 * requester lost a block with it. (A result that was on its way already is no loss.)
 */
async function killWhenBusy (testnet: Testnet, events: JobEvents, victim: string, doneBefore: number): Promise<boolean> {
  const { peerId, pid } = (await testnet.reload()).find(node => node.name === victim) ?? {}
  assert.ok(pid)
  const holding = new Set<string>()
  let done = 0
  let killed = false
  let lost = 0
  for await (const event of events) {
    if (event.type === 'state' && ['done', 'failed', 'cancelled'].includes(event.state)) break
    if (event.type !== 'block') continue
    const id = `${event.block}/${event.attempt}`
    if (event.change === 'done') done++
    if (event.peer === peerId) {
      if (event.change === 'dispatched') holding.add(id)
      else holding.delete(id)
      if (event.change === 'requeued') lost++
    }
    if (!killed && done >= doneBefore && holding.size > 0) {
      process.kill(pid, 'SIGKILL')
      killed = true
    }
  }
  events.close()
  if (!killed) process.kill(pid, 'SIGKILL')
  return lost > 0
}
