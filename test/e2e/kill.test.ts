import assert from 'node:assert/strict'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { compareTables } from '../../scripts/compare.ts'
import { prng, writeCsv } from '../fixtures/csv.ts'
import { followEvents, type JobEvents } from '../fixtures/events.ts'
import { collect, startTestnet, type Testnet } from '../fixtures/testnet.ts'

const KILLS = 20
/** Of the kills, at least so many must have hit a worker that held an unfinished block; otherwise they prove little. */
const KILLS_THAT_HURT = 15
const SEED = 20261121

describe('a worker killed in the middle of a job', function () {
  this.timeout(240_000)
  let testnet: Testnet
  let input: string

  before(async () => {
    testnet = await startTestnet({ nodes: 4, seed: SEED })
    input = join(testnet.dir, 'input.csv')
    writeCsv(input, 4_000_000, SEED)
  })

  after(async () => { await testnet.down() })

  it(`costs nothing at ${KILLS} seeded instants: every output is equal and every exit code 0`, async () => {
    const random = prng(SEED)
    let hurt = 0
    for (let i = 0; i < KILLS; i++) {
      // Small blocks ride the lease, larger ones have a stream each: both ways to lose one are tried in turn.
      const blockSize = i % 2 === 0 ? '50kB' : '95kB'
      const victim = `n${1 + Math.floor(random() * 3)}`
      const doneBefore = Math.floor(random() * 30)
      const output = join(testnet.dir, `out-${i}.parquet`)
      const events = await followEvents(testnet.node('n0'))
      const child = testnet.spawn(['convert', input, '--to', 'parquet', '-o', output, '--remote', '--block-size', blockSize, '--json'])
      const finished = collect(child)
      const held = await killWhenBusy(testnet, events, victim, doneBefore)
      const { code, stdout, stderr } = await finished
      events.close()
      const round = `kill ${i + 1} (seed ${SEED}): ${victim} after ${doneBefore} blocks`
      assert.equal(code, 0, `${round}: exit ${code}\n${stderr}\n${stdout}`)
      const report = JSON.parse(stdout) as { blocks: { total: number, redispatched: number } }
      assert.ok(report.blocks.total >= 40, `${round}: ${report.blocks.total} blocks`)
      const { difference, rows } = await compareTables(input, output)
      assert.equal(difference, undefined, round)
      assert.ok(rows > 10_000)
      if (held > 0) {
        hurt++
        assert.ok(report.blocks.redispatched > 0, `${round}: it held ${held} blocks and none was dispatched again`)
      }
      await rm(output)
      assert.equal((await testnet.verb('start', victim)).code, 0, `${round}: the victim did not come back`)
    }
    assert.ok(hurt >= KILLS_THAT_HURT, `only ${hurt} of ${KILLS} victims held an unfinished block`)
  })

  it('left nothing beside the outputs', async () => {
    await assert.rejects(stat(join(testnet.dir, 'out-0.parquet')), { code: 'ENOENT' })
  })
})

/** Kills the victim once `doneBefore` blocks are done and it holds one; gives the blocks it held, seen from the requester. */
async function killWhenBusy (testnet: Testnet, events: JobEvents, victim: string, doneBefore: number): Promise<number> {
  const { peerId } = testnet.node(victim)
  const holding = new Set<string>()
  let done = 0
  for await (const event of events) {
    if (event.type === 'state' && ['done', 'failed', 'cancelled'].includes(event.state)) break
    if (event.type !== 'block') continue
    const id = `${event.block}/${event.attempt}`
    if (event.change === 'done') done++
    if (event.peer === peerId) {
      if (event.change === 'dispatched') holding.add(id)
      else holding.delete(id)
    }
    if (done >= doneBefore && holding.size > 0) break
  }
  const pid = (await testnet.reload()).find(node => node.name === victim)?.pid
  assert.ok(pid)
  process.kill(pid, 'SIGKILL')
  return holding.size
}
