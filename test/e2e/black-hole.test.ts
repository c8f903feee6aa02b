/** Real packets, really lost: three machines (network namespaces) behind a router that stops to forward what one of them sends and is sent. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobEvent, JobReport } from '../../daemon/coordinator/index.ts'
import { LINKS_FILE } from '../../daemon/link-faults.ts'
import { Hosts, type Host } from '../fixtures/hosts.ts'
import { missing, requires } from '../fixtures/requires.ts'
import { collect } from '../fixtures/testnet.ts'

const BLOCKS = 120
const BLOCKS_FAR = 40
const BLOCK_BYTES = 100_000
/** Every block takes so long on a worker with one slot: one worker alone takes 18 s, so the job outlives any verdict on the other. */
const BLOCK_MS = 150
const DONE_BEFORE = 10
const DELAY_MS = 80
const LOSS = 0.02

describe('end to end: packets that vanish between machines', function () {
  this.timeout(180_000)
  requires('netfilter', 'that jobs survive black holes and lossy networks')

  let hosts: Hosts
  let a: Host
  let b: Host
  let c: Host
  let digests: Buffer[]

  before(async function () {
    if (missing('netfilter') != null) return
    hosts = await Hosts.make(['a', 'b', 'c'])
    a = await hosts.daemon('a')
    b = await hosts.daemon('b', { executor: { slots: 1 } })
    c = await hosts.daemon('c', { executor: { slots: 1 } })
    await hosts.connected(a, [b, c])
    const blocks = Array.from({ length: BLOCKS }, (_, i) => Buffer.alloc(BLOCK_BYTES, `block ${i} `))
    for (const count of [BLOCKS, BLOCKS_FAR]) await writeFile(join(hosts.folder, `${count}.bin`), Buffer.concat(blocks.slice(0, count)))
    digests = blocks.map(block => createHash('sha256').update(block).digest())
  })

  afterEach(async () => {
    if (hosts == null) return
    await hosts.router('iptables', '-F', 'FORWARD')
    // Fails where there is none.
    for (const name of ['a', 'b', 'c']) await hosts.router('tc', 'qdisc', 'del', 'dev', `cable-${name}`, 'root').catch(() => {})
    await hosts.connected(a, [b, c])
  })

  // Also ends every process, whatever failed before.
  after(async () => { await (hosts as Hosts | undefined)?.remove() })

  /** Runs the job on b and c, acts on each event, and resolves to all of them once the job is done and its output right. */
  async function convert (name: string, blocks: number, act: (event: JobEvent, done: number) => Promise<void> = async () => {}): Promise<JobEvent[]> {
    const { events, close } = await hosts.events(a)
    const output = join(hosts.folder, name)
    const finished = collect(hosts.start(a, ['convert', join(hosts.folder, `${blocks}.bin`), '--to', 'sleep', '--set', `milliseconds=${BLOCK_MS}`, '--block-size', '100kB', '--remote', '--json', '-o', output]))
    const seen: JobEvent[] = []
    let done = 0
    for await (const event of events) {
      seen.push(event)
      if (event.type === 'block' && event.change === 'done') done++
      if (event.type === 'state' && ['done', 'failed', 'cancelled'].includes(event.state)) break
      await act(event, done)
    }
    close()
    const { code, stdout, stderr } = await finished
    assert.equal(code, 0, stderr + stdout)
    const report = JSON.parse(stdout) as JobReport
    assert.deepEqual([report.state, report.blocks.total, report.blocks.local], ['done', blocks, 0])
    assert.ok(Buffer.concat(digests.slice(0, blocks)).equals(await readFile(output)), 'the output is another one')
    const accepted = seen.flatMap(event => event.type === 'block' && event.change === 'done' ? [event.block] : [])
    assert.deepEqual(accepted.toSorted((x, y) => x - y), Array.from({ length: blocks }, (_, i) => i), 'every block is accepted once')
    return seen
  }

  const ofWorker = (events: JobEvent[], { status }: Host, change: string): JobEvent | undefined => events.find(event => event.type === 'worker' && event.peer === status.peerId && event.change === change)
  const blocksOf = (events: JobEvent[], { status }: Host, ...changes: string[]): number[] => events.flatMap(event => event.type === 'block' && event.peer === status.peerId && changes.includes(event.change) ? [event.block] : [])

  it('a black hole in the middle of a job: suspect, then lost; the others do its blocks; it takes part again afterwards', async () => {
    let cutAt = 0
    const events = await convert('black-hole.out', BLOCKS, async (event, done) => {
      // Only while it holds a block, or there is nothing to lose.
      if (cutAt !== 0 || done < DONE_BEFORE || event.type !== 'block' || event.change !== 'dispatched' || event.peer !== b.status.peerId) return
      for (const way of ['-i', '-o']) await hosts.router('iptables', '-I', 'FORWARD', way, 'cable-b', '-j', 'DROP')
      cutAt = Date.now()
    })
    assert.ok(cutAt > 0, 'b was never given a block')
    const [suspect, lost] = [ofWorker(events, b, 'suspect'), ofWorker(events, b, 'lost')]
    assert.ok(lost != null, 'b was not told lost')
    assert.ok(suspect != null && events.indexOf(suspect) < events.indexOf(lost), 'b was not told suspect before it was lost')
    assert.equal(ofWorker(events, c, 'lost'), undefined)
    const since = (event: JobEvent, from = cutAt): string => `${event.at - from} ms`
    const moved = blocksOf(events, b, 'hedged', 'requeued')
    const held = blocksOf(events, b, 'dispatched').filter(block => !blocksOf(events, b, 'done').includes(block))
    assert.ok(held.length > 0, 'b held nothing')
    for (const block of held) {
      const doer = blocksOf(events, c, 'done')
      assert.ok(doer.includes(block), `block ${block} was not done by c`)
      assert.ok(moved.includes(block) || blocksOf(events, c, 'hedged').includes(block), `block ${block} was neither hedged nor requeued`)
    }
    console.log(`      suspect after ${since(suspect)}, lost after ${since(lost)}; ${held.length} blocks of b done by c`)

    for (const way of ['-i', '-o']) await hosts.router('iptables', '-D', 'FORWARD', way, 'cable-b', '-j', 'DROP')
    const healedAt = Date.now()
    let back: JobEvent | undefined
    // A connection that was in the hole may be of no use until TCP sends again: a job that b came too late for is no failure, the next one counts.
    for (let jobs = 0; back == null; jobs++) {
      const again = await convert(`healed-${jobs}.out`, BLOCKS_FAR)
      back = again.find(event => event.type === 'block' && event.change === 'done' && event.peer === b.status.peerId)
    }
    console.log(`      first block of b ${since(back, healedAt)} after the heal`)
  })

  it(`${DELAY_MS} ms on every way and ${100 * LOSS} % of packets lost: the job ends right, and nobody is taken for dead`, async () => {
    // tc netem where the kernel has it; otherwise packets are lost by the router, and delayed by the test network's own links.
    const netem = await hosts.router('tc', 'qdisc', 'add', 'dev', 'cable-a', 'root', 'netem', 'delay', `${DELAY_MS}ms`, 'loss', `${100 * LOSS}%`).then(() => true, () => false)
    if (netem) {
      for (const name of ['b', 'c']) await hosts.router('tc', 'qdisc', 'add', 'dev', `cable-${name}`, 'root', 'netem', 'delay', `${DELAY_MS}ms`, 'loss', `${100 * LOSS}%`)
    } else {
      await hosts.router('iptables', '-A', 'FORWARD', '-m', 'statistic', '--mode', 'random', '--probability', String(LOSS), '-j', 'DROP')
      for (const host of [a, b, c]) {
        const peers = Object.fromEntries([a, b, c].filter(other => other !== host).map(({ status }) => [status.peerId, { delayMs: DELAY_MS }]))
        await writeFile(join(host.dataDir, LINKS_FILE), JSON.stringify({ version: 1, peers }))
      }
    }
    const began = performance.now()
    const events = await convert('far.out', BLOCKS_FAR)
    console.log(`      ${netem ? 'tc netem' : 'iptables, and links of the test network'}: ${((performance.now() - began) / 1000).toFixed(1)} s`)
    for (const host of [b, c]) {
      assert.equal(ofWorker(events, host, 'lost'), undefined, `${host.name} was lost`)
      assert.ok(blocksOf(events, host, 'done').length > 0)
    }
  })
})
