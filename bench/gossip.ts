/**
 * What gossip of prices costs, and how fast it is: CPU per node against the number of nodes, the time from a changed price until the others have it, and
 * signatures checked when 200 publishers talk. Nodes of one process over loopback TCP, so the CPU of all is on one core.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { silentLog } from '../daemon/log.ts'
import { BULLETIN_VALIDITY_MS, createPriceGossip, sealBulletin, type BulletinContent, type PriceGossip } from '../daemon/market/index.ts'
import { pause } from '../daemon/network/index.ts'
import { NETWORK, type TestNode } from '../test/integration/registry/node.ts'
import { figure, type BenchOptions, type Figure } from './figure.ts'
import { draws, quantile, startNodes } from './nodes.ts'

const SIZES = [5, 10, 20]
const SEED = 4
const TOPIC = 'prices/table/0'

/**
 * Milliseconds that nodes are left to find one another, and that they are watched: idle, at the real cadence, and as if they were many. With an interval of one second instead of ten all sizes tell
 * 5 bulletins per second, the most a topic ever has.
 */
const SETTLE_MS = 5_000
const IDLE_MS = 3_000
const FULL_MS = 3_000
const REAL_MS = 10_000
const FULL_INTERVAL_MS = 1_000

/** Prices changed one after the other, milliseconds between them, and how long the last may take. */
const CHANGES = 40
const CHANGE_PAUSE_MS = 150
const CHANGE_LIMIT_MS = 5_000

/** Publishers heard by one node through so many others; per second at their cadence (max(10 s, 200 / 5 per second)), and when they flood. */
const PUBLISHERS = 200
const RELAYS = 5
const CADENCE_PER_SECOND = 5
const FLOOD_PER_SECOND = 150

/** Milliseconds they talk; what is counted begins when the burst that is allowed after a quiet time is used up. */
const TALK_MS = 7_000
const COUNTED_FROM = 0.5

interface Member { node: TestNode, gossip: PriceGossip }

function content (price: string): BulletinContent {
  return { families: ['table'], price, unit: 'credit', draining: false, load: { slots: 2, busy: 1, loopDelayMs: 2 } }
}

/** Runs what needs a network of `count` nodes. */
async function withNodes<T> (count: number, intervalMs: number | undefined, work: (members: Member[]) => Promise<T>): Promise<T> {
  await using all = new AsyncDisposableStack()
  const members: Member[] = []
  for (const node of await startNodes(count, draws(SEED), each => all.use(each))) {
    const gossip = createPriceGossip({ network: node.network, identity: node.identity, log: silentLog, families: ['table'], ...(intervalMs == null ? {} : { intervalMs }) })
    all.defer(async () => { await gossip.stop() })
    await gossip.start()
    members.push({ node, gossip })
  }
  const until = performance.now() + CHANGE_LIMIT_MS
  while (members.some(({ node }) => node.network.gossip.subscribers(TOPIC).length === 0) && performance.now() < until) await pause(50, AbortSignal.timeout(1000))
  // Newcomers look for one another first; that is no idleness.
  await pause(SETTLE_MS, AbortSignal.timeout(2 * SETTLE_MS))
  return await work(members)
}

/** Per cent of a core that the process used meanwhile. */
async function cpuPercent (ms: number): Promise<number> {
  const [cpu, from] = [process.cpuUsage(), performance.now()]
  await pause(ms, AbortSignal.timeout(2 * ms))
  const { user, system } = process.cpuUsage(cpu)
  return (user + system) / 10 / (performance.now() - from)
}

function heardOf (members: Member[]): number {
  return members.reduce((sum, { gossip }) => sum + gossip.tally.verified, 0)
}

interface Cost { idle: number, busy: number, perBulletinMs: number }

async function cost (count: number, intervalMs: number | undefined, ms: number): Promise<Cost> {
  return await withNodes(count, intervalMs, async members => {
    const idle = await cpuPercent(IDLE_MS)
    for (const { gossip } of members) gossip.publish(content('100'))
    // What all tell at once at the start is not the cadence.
    await pause(1500, AbortSignal.timeout(3000))
    const before = heardOf(members)
    const busy = await cpuPercent(ms)
    const heard = heardOf(members) - before
    return { idle: idle / count, busy: busy / count, perBulletinMs: heard === 0 ? 0 : (busy - idle) / 100 * ms / heard }
  })
}

/** Milliseconds from each change of a price until each other node has it, and until all have it. */
async function delays (count: number): Promise<{ each: number[], all: number[], missed: number }> {
  return await withNodes(count, undefined, async members => {
    const [each, all, changed] = [[] as number[], [] as number[], new Map<string, { at: number, left: number }>()]
    for (const { gossip } of members) {
      gossip.events.addEventListener('bulletin', ({ detail: { price } }) => {
        const change = changed.get(price)
        if (change == null) return
        each.push(performance.now() - change.at)
        if (--change.left === 0) all.push(performance.now() - change.at)
      })
    }
    for (let i = 0; i < CHANGES; i++) {
      const price = String(1000 + i)
      changed.set(price, { at: performance.now(), left: count - 1 })
      members[i % count]?.gossip.publish(content(price))
      await pause(CHANGE_PAUSE_MS, AbortSignal.timeout(1000))
    }
    const until = performance.now() + CHANGE_LIMIT_MS
    while (all.length < CHANGES && performance.now() < until) await pause(50, AbortSignal.timeout(1000))
    return { each, all, missed: CHANGES * (count - 1) - each.length }
  })
}

interface Heard { sent: number, verified: number, overBudget: number, cpu: number }

/** What one node checks per second of what simulated publishers send through its neighbours. */
async function publishers (perSecond: number): Promise<Heard> {
  const keys = await Promise.all(Array.from({ length: PUBLISHERS }, async () => await generateKeyPair('Ed25519')))
  const total = Math.ceil(perSecond * TALK_MS / 1000)
  const now = Date.now()
  const bulletins = await Promise.all(Array.from({ length: total }, async (_, i) => {
    const key = keys[i % PUBLISHERS] as typeof keys[number]
    const sequence = now + i
    return await sealBulletin(key, { version: 1, network: NETWORK, peer: peerIdFromPrivateKey(key).toString(), sequence, issued: now, expires: now + BULLETIN_VALIDITY_MS, price: '5', unit: 'credit', draining: false, load: { slots: 2, busy: 1, loopDelayMs: 2 } })
  }))
  return await withNodes(RELAYS + 1, undefined, async members => {
    const [observer, ...others] = members
    if (observer == null) throw new Error('no observer')
    // One that is no neighbour of the observer would need another to pass it on.
    const relays = others.filter(({ node }) => node.network.gossip.subscribers(TOPIC).some(peer => peer.equals(observer.node.identity.peerId)))
    // Relays only send: what they check would be on the same core.
    for (const { gossip } of relays) await gossip.stop()
    const from = performance.now()
    let [cpu, at, before] = [process.cpuUsage(), from, { ...observer.gossip.tally }]
    const first = Math.floor(total * COUNTED_FROM)
    for (const [i, bulletin] of bulletins.entries()) {
      const late = from + i * 1000 / perSecond - performance.now()
      if (late > 0) await pause(late, AbortSignal.timeout(TALK_MS))
      if (i === first) [cpu, at, before] = [process.cpuUsage(), performance.now(), { ...observer.gossip.tally }]
      await relays[i % relays.length]?.node.network.gossip.publish(TOPIC, bulletin)
    }
    await pause(1000 / perSecond, AbortSignal.timeout(1000))
    const seconds = (performance.now() - at) / 1000
    const { user, system } = process.cpuUsage(cpu)
    const { verified, overBudget } = observer.gossip.tally
    return { sent: (total - first) / seconds, verified: (verified - before.verified) / seconds, overBudget: (overBudget - before.overBudget) / seconds, cpu: (user + system) / 1e4 / seconds }
  })
}

export async function run ({ log, report }: BenchOptions): Promise<Record<string, Figure>> {
  const results: Record<string, Figure> = {}
  const rows: string[] = []
  for (const count of SIZES) {
    const full = await cost(count, FULL_INTERVAL_MS, FULL_MS)
    log(`${count} nodes, ${CADENCE_PER_SECOND} bulletins per second: ${full.busy.toFixed(2)} % of a core per node (idle ${full.idle.toFixed(2)}), ${full.perBulletinMs.toFixed(2)} ms per bulletin heard`)
    rows.push(`| ${count} | ${full.idle.toFixed(2)} | ${full.busy.toFixed(2)} | ${full.perBulletinMs.toFixed(2)} |`)
    results[`cpu_percent_${count}_full`] = figure([Math.max(0, full.busy - full.idle)], '%')
  }
  const real = await cost(SIZES.at(-1) ?? 20, undefined, REAL_MS)
  log(`20 nodes at the real cadence: ${real.busy.toFixed(2)} % of a core per node, idle ${real.idle.toFixed(2)}`)
  results.cpu_percent_20 = figure([Math.max(0, real.busy - real.idle)], '%')
  const { each, all, missed } = await delays(SIZES.at(-1) ?? 20)
  log(`${CHANGES} changes at 20 nodes: p50 ${quantile(each, 0.5).toFixed(1)} ms, p99 ${quantile(each, 0.99).toFixed(1)} ms, all p99 ${quantile(all, 0.99).toFixed(1)} ms, ${missed} not within ${CHANGE_LIMIT_MS} ms`)
  results.change_ms_p50 = figure([quantile(each, 0.5)], 'ms')
  results.change_ms_p99 = figure([quantile(each, 0.99)], 'ms')
  results.change_all_ms_p99 = figure([quantile(all, 0.99)], 'ms')
  results.change_missed = figure([missed], '')
  for (const [name, perSecond] of [['cadence', CADENCE_PER_SECOND], ['flood', FLOOD_PER_SECOND]] as const) {
    const heard = await publishers(perSecond)
    log(`${PUBLISHERS} publishers, ${name}: ${heard.sent.toFixed(0)} sent, ${heard.verified.toFixed(1)} checked, ${heard.overBudget.toFixed(1)} not looked at per second; ${heard.cpu.toFixed(1)} % of a core with the senders`)
    results[`verified_per_second_${name}`] = figure([heard.verified], '1/s')
  }
  report(['| nodes | idle, % of a core per node | at 5 bulletins per second | CPU ms per bulletin heard |', '|---|---|---|---|', ...rows].join('\n'))
  return results
}
