/** Real daemons that stop working for others in the middle of a job: asked to drain, ended by SIGTERM, and taking work again. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { compareTables } from '../../scripts/compare.ts'
import type { JobEvent } from '../../daemon/coordinator/index.ts'
import type { NodePage, NodeStatus } from '../../daemon/gateway/index.ts'
import { writeCsv } from '../fixtures/csv.ts'
import { followEvents } from '../fixtures/events.ts'
import { collect, startTestnet, type Finished, type Testnet, type TestnetNode } from '../fixtures/testnet.ts'

const SEED = 77
const WORKERS = ['n1', 'n2', 'n3'] as const
const ENDED = ['done', 'failed', 'cancelled']
/** Milliseconds within which others are to know. */
const TOLD_MS = 1000

interface Report { blocks: { total: number, redispatched: number, hedged: number }, workers: Array<{ peer: string, blocks: number }> }

/** As the machine says of a block that was stolen. */
const TAKEN_BACK = / has not begun it and needs /

describe('a worker that stops working for others', function () {
  this.timeout(180_000)
  let testnet: Testnet
  let input: string

  before(async () => {
    // Blocks take long enough for a worker to be in the middle of some.
    testnet = await startTestnet({ nodes: 4, seed: SEED, profile: { nodes: [{}, ...WORKERS.map(() => ({ cores: 1, faults: ['slow:4'] }))] } })
    input = join(testnet.dir, 'input.csv')
    writeCsv(input, 1_200_000, SEED)
  })

  after(async () => { await testnet.down() })

  const peerOf = (name: string): string => testnet.node(name).peerId

  async function api<T> (node: TestnetNode, path: string, init: RequestInit = {}): Promise<T> {
    const token = (await readFile(node.tokenFile, 'utf8')).trim()
    const response = await fetch(`${node.api}${path}`, { ...init, headers: { authorization: `Bearer ${token}` } })
    assert.ok(response.ok, `${path}: ${response.status}`)
    return await response.json() as T
  }

  const status = async (name: string): Promise<NodeStatus> => await api(testnet.node(name), '/status')

  /** Whether the requester believes that a node drains, and when it came to believe it. */
  async function until (name: string, draining: boolean): Promise<number> {
    for (;;) {
      const { nodes } = await api<NodePage>(testnet.node('n0'), '/nodes')
      if (nodes.find(({ peer }) => peer === peerOf(name))?.draining === draining) return performance.now()
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }

  /** Runs a job and calls `act` once `victim` is in the middle of it; gives its events and its report. */
  async function job (victim: string, act: () => void, output: string): Promise<{ events: JobEvent[], report: Report, finished: Finished }> {
    const following = await followEvents(testnet.node('n0'))
    const child = testnet.spawn(['convert', input, '--to', 'parquet', '-o', output, '--overwrite', '--remote', '--block-size', '50kB', '--json'])
    const done = collect(child)
    const events: JobEvent[] = []
    let acted = false
    let its = 0
    for await (const event of following) {
      events.push(event)
      if (event.type === 'state' && ENDED.includes(event.state)) break
      if (event.type === 'block' && event.peer === peerOf(victim) && event.change === 'done') its++
      if (acted || its < 3) continue
      acted = true
      act()
    }
    following.close()
    assert.ok(acted, 'the victim never had anything')
    const finished = await done
    assert.equal(finished.code, 0, `${finished.stderr}\n${finished.stdout}`)
    return { events, report: JSON.parse(finished.stdout) as Report, finished }
  }

  type BlockEvent = Extract<JobEvent, { type: 'block' }>
  const blocksOf = (events: JobEvent[]): BlockEvent[] => events.filter((event): event is BlockEvent => event.type === 'block')

  /** What the victim had went back without blame, and is all that was given out a second time. */
  function costsNothing (events: JobEvent[], report: Report, victim: string): void {
    const blocks = blocksOf(events)
    const its = blocks.filter(({ peer }) => peer === peerOf(victim))
    // The requester may take back what waits at one worker for another that is idle; that is none of the victim's doing.
    const handedBack = its.filter(({ change, reason }) => change === 'requeued' && !TAKEN_BACK.test(reason ?? ''))
    assert.deepEqual(handedBack.filter(({ reason }) => reason?.startsWith('draining') !== true), [], 'blocks are handed back, not lost')
    assert.deepEqual(its.filter(({ change, reason }) => change === 'failed' && reason?.startsWith('draining:') !== true), [])
    // one engine, and one order that waits for it
    assert.ok(handedBack.length <= 2, `${handedBack.length} blocks were handed back`)
    assert.equal(report.blocks.redispatched, blocks.filter(({ change }) => change === 'requeued').length)
    const done = blocks.filter(({ change }) => change === 'done').map(({ block }) => block)
    assert.equal(new Set(done).size, done.length, 'no block was done twice')
    assert.equal(done.length, report.blocks.total)
    for (const { block } of handedBack) assert.ok(!its.some(event => event.block === block && event.change === 'done'), 'a block that was finished was handed back, too')
    assert.deepEqual(events.filter(event => event.type === 'worker' && event.peer === peerOf(victim) && event.change === 'distrusted'), [])
  }

  it('drain: the job goes on elsewhere, others know within a second, and nothing is left', async () => {
    const output = join(testnet.dir, 'drained.parquet')
    let drained: Promise<Finished> | undefined
    let told: Promise<number> | undefined
    let asked = 0
    const { events, report } = await job('n1', () => {
      drained = testnet.weft(['drain', '--deadline', '60s', '--json'], { node: 'n1' })
      told = until('n1', true)
      void (async () => {
        while ((await status('n1')).state === 'ready') await new Promise(resolve => setTimeout(resolve, 2))
        asked = performance.now()
      })()
    }, output)
    const { code, stdout, stderr } = await drained!
    assert.equal(code, 0, stderr)
    const after = JSON.parse(stdout) as NodeStatus
    assert.deepEqual([after.state, after.load.active], ['drained', 0])
    const at = await told!
    assert.ok(at - asked < TOLD_MS, `others knew after ${at - asked} ms`)
    costsNothing(events, report, 'n1')
    assert.equal((await compareTables(input, output)).difference, undefined)
    assert.match((await testnet.weft(['status'], { node: 'n1' })).stdout, /state +drained/)
  })

  it('a drained node is given nothing, and does its own jobs', async () => {
    const output = join(testnet.dir, 'without.parquet')
    const { report } = await job('n2', () => {}, output)
    assert.ok(report.workers.every(({ peer }) => peer !== peerOf('n1')))
    const own = await testnet.weft(['convert', input, '--to', 'parquet', '-o', join(testnet.dir, 'own.parquet'), '--local'], { node: 'n1' })
    assert.equal(own.code, 0, own.stderr)
  })

  it('resume: it is given blocks again, also of a job that runs', async () => {
    const output = join(testnet.dir, 'resumed.parquet')
    let resumed: Promise<Finished> | undefined
    const { report } = await job('n2', () => { resumed = testnet.weft(['resume'], { node: 'n1' }) }, output)
    assert.equal((await resumed!).code, 0)
    assert.equal((await status('n1')).state, 'ready')
    await until('n1', false)
    if (report.workers.some(({ peer }) => peer === peerOf('n1'))) return
    // the job was over before the requester looked for workers again
    assert.ok((await job('n1', () => {}, output)).report.workers.some(({ peer }) => peer === peerOf('n1')))
  })

  it('SIGTERM: no finished block is lost, what waited goes back, and the process ends by itself', async () => {
    const output = join(testnet.dir, 'ended.parquet')
    const { pid } = (await testnet.reload()).find(({ name }) => name === 'n1') as TestnetNode
    const { events, report } = await job('n1', () => { process.kill(pid, 'SIGTERM') }, output)
    costsNothing(events, report, 'n1')
    assert.equal((await compareTables(input, output)).difference, undefined)
    for (;;) {
      try {
        process.kill(pid, 0)
      } catch {
        // ESRCH: it is gone.
        break
      }
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    assert.match(await readFile(testnet.node('n1').log, 'utf8'), /weft: stopped/)
  })

  it('a deadline: what still runs is handed back without blame, and the job ends right', async () => {
    const output = join(testnet.dir, 'deadline.parquet')
    let drained: Promise<Finished> | undefined
    const { events, report } = await job('n2', () => { drained = testnet.weft(['drain', '--deadline', '1ms'], { node: 'n2' }) }, output)
    assert.equal((await drained!).code, 0)
    costsNothing(events, report, 'n2')
    assert.equal((await compareTables(input, output)).difference, undefined)
    assert.equal((await testnet.weft(['resume'], { node: 'n2' })).code, 0)
  })

  it('outside its hours a node takes nothing, and says why', async () => {
    const { dataDir } = testnet.node('n3')
    assert.equal((await testnet.verb('stop', 'n3')).code, 0)
    const file = join(dataDir, 'config.json')
    const config = JSON.parse(await readFile(file, 'utf8')) as { policy?: object }
    const day = new Date(Date.now() + 2 * 86_400_000).toUTCString().slice(0, 3)
    await writeFile(file, JSON.stringify({ ...config, policy: { ...config.policy, hours: [`${day} 00:00-24:00`] } }))
    assert.equal((await testnet.verb('start', 'n3')).code, 0)
    const { state, availability } = await status('n3').catch(async () => {
      await testnet.reload()
      return await status('n3')
    })
    assert.equal(state, 'ready')
    assert.deepEqual(availability, { slots: 0, paused: false, reason: 'outside its hours' })
    assert.match((await testnet.weft(['status'], { node: 'n3' })).stdout, /for others +nothing new: outside its hours/)
    const { report } = await job('n2', () => {}, join(testnet.dir, 'hours.parquet'))
    assert.ok(report.workers.every(({ peer }) => peer !== peerOf('n3')))
  })

  it('drain without a daemon, and with a time that is none, fails in one line', async () => {
    const wrong = await testnet.weft(['drain', '--deadline', 'soon'], { node: 'n2' })
    assert.equal(wrong.code, 2)
    assert.match(wrong.stderr, /'soon' is not a time/)
    const long = await testnet.weft(['drain', '--deadline', '48h'], { node: 'n2' })
    assert.deepEqual([long.code, long.stderr.trim().split('\n').length], [2, 1])
    assert.match(long.stderr, /--deadline: '48h' is too long: at most 24h/)
    const none = await testnet.weft(['drain'], { env: { WEFT_HOME: join(testnet.dir, 'nobody') } })
    assert.equal(none.code, 3)
    assert.match(none.stderr, /no daemon/)
  })
})
