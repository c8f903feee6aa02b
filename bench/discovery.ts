/**
 * How long it takes to find a provider among 50 nodes (one process, loopback TCP), and a model of what many providers of one conversion cost those who
 * hold their records: seeded, by the production rules, up to 100,000.
 */
import { createHash } from 'node:crypto'
import { SearchPlan } from '../daemon/dht-registry/shards.ts'
import { ADVERT_RENEW_MS, FIND_CANDIDATES_MAX } from '../daemon/dht-registry/constants.ts'
import { DHT_REPLICAS } from '../daemon/network/constants.ts'
import { pause } from '../daemon/network/index.ts'
import { content, startNode } from '../test/integration/registry/node.ts'
import { ShardModel } from '../test/unit/dht-registry/shard-model.ts'
import { figure, type BenchOptions, type Figure } from './figure.ts'
import { draws, quantile, startNodes } from './nodes.ts'

const NODES = 50
const PROVIDERS = 10
const SEARCHES = 25
const FIND_LIMIT_MS = 15_000

/** Microseconds of CPU in a second below which it is quiet, and milliseconds to wait for that at most. */
const QUIET_CPU_US = 300_000
const QUIET_LIMIT_MS = 15_000

const MODEL_SIZES = [1_000, 10_000, 100_000]
const SEED = 11

/** Searches of the model: every node one in ADVERT_RENEW_MS, so many of a hundred by somebody who never searched for this before. */
const FRESH_OF_100 = 10

const edge = (i: number): [from: string, to: string] => ['text/csv', `application/x-bench-${i}`]

/** A node that knows one member and nobody's advert; milliseconds until it found a provider: from its search, and from its start. */
async function search (bootstrap: string, i: number): Promise<{ warm: number, cold: number } | undefined> {
  const from = performance.now()
  await using requester = await startNode({ bootstrap: [bootstrap], dhtMode: 'client' })
  await requester.network.joined({ signal: AbortSignal.timeout(FIND_LIMIT_MS) })
  const joined = performance.now()
  const [source, target] = edge(i)
  for await (const { connected } of requester.registry.find({ from: source, to: target }, { signal: AbortSignal.timeout(FIND_LIMIT_MS) })) {
    if (connected) return { warm: performance.now() - joined, cold: performance.now() - from }
  }
  return undefined
}

/** Waits until the nodes have told one another what they have to: they share one core. */
async function quiet (): Promise<void> {
  const until = performance.now() + QUIET_LIMIT_MS
  while (performance.now() < until) {
    const cpu = process.cpuUsage()
    await pause(1000, AbortSignal.timeout(2000))
    const { user, system } = process.cpuUsage(cpu)
    if (user + system < QUIET_CPU_US) return
  }
}

async function network (log: (line: string) => void): Promise<Record<string, Figure>> {
  await using all = new AsyncDisposableStack()
  const nodes = await startNodes(NODES, draws(SEED), node => all.use(node))
  const providers = nodes.slice(NODES - PROVIDERS)
  for (const [i, node] of providers.entries()) await node.registry.publish(content([edge(i)]))
  const [warm, cold] = [[] as number[], [] as number[]]
  let missed = 0
  await quiet()
  for (let i = 0; i < SEARCHES; i++) {
    const found = await search(nodes[i % (NODES - PROVIDERS)]?.address ?? '', i % PROVIDERS)
    if (found == null) missed++
    else {
      warm.push(found.warm)
      cold.push(found.cold)
    }
  }
  log(`${NODES} nodes: a provider found in p50 ${quantile(warm, 0.5).toFixed(0)} ms, p99 ${quantile(warm, 0.99).toFixed(0)} ms; from the start of the node p50 ${quantile(cold, 0.5).toFixed(0)} ms; ${missed} of ${SEARCHES} not found`)
  return {
    find_ms_p50: figure([quantile(warm, 0.5)], 'ms'),
    find_ms_p99: figure([quantile(warm, 0.99)], 'ms'),
    join_and_find_ms_p50: figure([quantile(cold, 0.5)], 'ms'),
    find_missed: figure([missed], '')
  }
}

/** Who holds the records of a key among nodes of random ids: the eight nearest by exclusive or. */
class Ring {
  readonly #ids: Uint32Array

  constructor (nodes: number) {
    this.#ids = Uint32Array.from({ length: nodes }, (_, i) => createHash('sha256').update(`node/${SEED}/${i}`).digest().readUInt32BE(0)).sort()
  }

  holders (shard: number): number[] {
    const key = createHash('sha256').update(`key/${shard}`).digest().readUInt32BE(0)
    // The smallest subtree around the key that has enough nodes has the nearest ones.
    for (let bits = 32; bits >= 0; bits--) {
      const size = 2 ** (32 - bits)
      const first = Math.floor(key / size) * size
      const [from, to] = [this.#at(first), this.#at(first + size)]
      if (to - from >= DHT_REPLICAS || bits === 0) {
        return Array.from({ length: to - from }, (_, i) => from + i).sort((a, b) => this.#distance(a, key) - this.#distance(b, key)).slice(0, DHT_REPLICAS)
      }
    }
    return []
  }

  #distance (index: number, key: number): number {
    return ((this.#ids[index] ?? 0) ^ key) >>> 0
  }

  /** Nodes with a lower id. */
  #at (id: number): number {
    let [low, high] = [0, this.#ids.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#ids[middle] ?? 0) < id) low = middle + 1
      else high = middle
    }
    return low
  }
}

interface Load { records: number, perSecond: number, keysPerSearch: number, messagesPerSearch: number, oneKeyRecords: number, oneKeyPerSecond: number }

function model (size: number): Load {
  const shards = new ShardModel()
  shards.add(SEED, size)
  // From nothing: everybody announces until nobody moves any more.
  for (let round = 0; round < 6; round++) if (shards.announce() === 0) break
  shards.looks.clear()
  shards.entries.clear()
  shards.announce()
  const draw = draws(SEED)
  let asked = 0
  const searched = new Map<number, number>()
  let depth = 0
  for (let i = 0; i < size; i++) {
    const plan = new SearchPlan(i % 100 < FRESH_OF_100 ? 0 : depth, draw)
    asked += shards.search(plan, searched, FIND_CANDIDATES_MAX).size
    depth = plan.depth
  }
  const ring = new Ring(size)
  const [records, messages] = [new Map<number, number>(), new Map<number, number>()]
  const bump = (counts: Map<number, number>, holder: number, by: number): void => { counts.set(holder, (counts.get(holder) ?? 0) + by) }
  for (const shard of new Set([...shards.keys.keys(), ...searched.keys(), ...shards.looks.keys()])) {
    // As if each holder were asked every time: in truth the first that lists eight ends a query.
    const load = (shards.entries.get(shard) ?? 0) + (shards.looks.get(shard) ?? 0) + (searched.get(shard) ?? 0)
    for (const holder of ring.holders(shard)) {
      bump(records, holder, shards.keys.get(shard)?.listed ?? 0)
      bump(messages, holder, load)
    }
  }
  const seconds = ADVERT_RENEW_MS / 1000
  // One step of a query halves the distance by the width of a bucket; then the holders are asked.
  const lookup = Math.ceil(Math.log2(size / DHT_REPLICAS) / Math.log2(DHT_REPLICAS)) + DHT_REPLICAS
  return {
    records: Math.max(...records.values()),
    perSecond: Math.max(...messages.values()) / seconds,
    keysPerSearch: asked / size,
    messagesPerSearch: asked / size * lookup,
    oneKeyRecords: size,
    oneKeyPerSecond: 2 * size / seconds
  }
}

export async function run ({ log, report }: BenchOptions): Promise<Record<string, Figure>> {
  const results = await network(log)
  const rows: string[] = []
  for (const size of MODEL_SIZES) {
    const load = model(size)
    log(`model, ${size} providers: ${load.records} records and ${load.perSecond.toFixed(2)} messages per second at the most loaded holder (one key: ${load.oneKeyRecords}, ${load.oneKeyPerSecond.toFixed(1)}); ${load.keysPerSearch.toFixed(2)} keys per search`)
    rows.push(`| ${size} | ${load.records} | ${load.perSecond.toFixed(2)} | ${load.oneKeyRecords} | ${load.oneKeyPerSecond.toFixed(1)} | ${load.keysPerSearch.toFixed(1)} | ${load.messagesPerSearch.toFixed(0)} |`)
    results[`holder_records_${size}`] = figure([load.records], '', [load.oneKeyRecords])
    results[`holder_messages_per_second_${size}`] = figure([load.perSecond], '1/s', [load.oneKeyPerSecond])
    results[`messages_per_search_${size}`] = figure([load.messagesPerSearch], '')
  }
  report(['| providers | records at the most loaded holder | messages per second there | with one key: records | messages per second | keys per search | messages per search, about |', '|---|---|---|---|---|---|---|', ...rows].join('\n'))
  return results
}
