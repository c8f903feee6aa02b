import assert from 'node:assert/strict'
import { createWorkerSource, type Asked, type WorkerFacts, type WorkerRequest, type WorkerSourceComponents } from '../../../daemon/coordinator/index.ts'
import { silentLog } from '../../../daemon/log.ts'
import type { ProviderView } from '../../../daemon/dht-registry/index.ts'
import type { Offer, TaskClient, Worker } from '../../../daemon/task-protocol/index.ts'

const offer: Offer = { job: 'j', converter: 'c', version: '1', parameters: {}, deadline: 0, outputBytes: 1, price: '0', unit: 'credit' }

interface Peer { id: string, price?: string, unit?: string, operator?: string, source?: ProviderView['source'], draining?: boolean }

function view ({ id, price = '0', unit = 'credit', operator = '', source = 'direct', draining = false }: Peer): ProviderView {
  return { peer: { toString: () => id }, source, advert: { price, unit, operator, draining, converters: [{ id: 'c', version: '1', from: 'a', to: 'b' }] } } as unknown as ProviderView
}

/** One search over a registry that knows these; everything it does is written down, in order. */
class Bench {
  readonly said: string[] = []
  readonly offers: Offer[] = []
  readonly #registry = new EventTarget()
  readonly #stop = new AbortController()
  readonly #settled = Promise.withResolvers<void>()
  readonly #run: Promise<void>
  /** Attaches wait for it. */
  gate: Promise<void> = Promise.resolve()

  constructor (known: Peer[], request: WorkerRequest = {}, more: Partial<WorkerSourceComponents> & { leftOut?: (id: string, operator?: string) => string | undefined } = {}) {
    const { leftOut, ...components } = more
    const source = createWorkerSource({
      registry: { events: this.#registry as never, find: async function * () { for (const peer of known) yield view(peer) } },
      client: {
        attach: async (peer, offered): ReturnType<TaskClient['attach']> => {
          this.offers.push(offered)
          await this.gate
          return { ok: true, worker: { id: peer.toString() } as Worker }
        }
      },
      self: 'me',
      distrusted: () => undefined,
      log: silentLog,
      ...components
    })
    this.#run = source.workers(offer, { from: 'a', to: 'b' }, { place: 'remote', ...request }, {
      events: () => ({ outcomes: () => {}, lost: () => {}, slots: () => {} }),
      found: ({ id }: Worker, facts: WorkerFacts = {}) => { this.said.push(`found ${id} ${told(facts.asked)}${facts.operator == null ? '' : ` of ${facts.operator}`}`) },
      priced: (id, asked) => { this.said.push(`priced ${id} ${told(asked)}`) },
      refused: (id, reason, message) => { this.said.push(`refused ${id}: ${reason}: ${message}`) },
      settled: count => {
        this.said.push(`settled ${count}`)
        this.#settled.resolve()
      },
      ...(leftOut != null ? { leftOut } : {})
    }, { signal: this.#stop.signal })
  }

  async settled (): Promise<void> { await this.#settled.promise }

  hear (peer: Peer): void { this.#registry.dispatchEvent(new CustomEvent('advert', { detail: view(peer) })) }

  /** Ends the search and everything it began. */
  async end (): Promise<string[]> {
    this.#stop.abort()
    await this.#run
    return this.said
  }
}

const told = (asked: Asked | undefined): string => asked == null ? '?' : `${asked.price} ${asked.unit}`

describe('coordinator/worker-source and prices', () => {
  it('offers each peer what it posted, and tells what it asks', async () => {
    const bench = new Bench([{ id: 'p', price: '7' }, { id: 'q', price: '9', unit: 'euro' }])
    await bench.settled()
    assert.deepEqual(await bench.end(), ['found p 7 credit', 'found q 9 euro', 'settled 2'])
    assert.deepEqual(bench.offers, [{ ...offer, price: '7' }, { ...offer, price: '9', unit: 'euro' }])
  })

  it('does not even ask one that asks too much, or in another unit, and asks it when its price falls', async () => {
    const bench = new Bench([{ id: 'p', price: '7' }, { id: 'q', unit: 'euro' }], { maxPrice: '5' })
    await bench.settled()
    bench.hear({ id: 'p', price: '6' })
    bench.hear({ id: 'p', price: '5' })
    bench.hear({ id: 'q', unit: 'credit' })
    assert.deepEqual(await bench.end(), [
      'refused p: price: it asks 7 microcredit per resource hour, the limit is 5',
      'refused q: price: it asks 0 microeuro per resource hour, the limit is in credit, and units are not compared',
      'settled 0',
      'refused p: price: it asks 6 microcredit per resource hour, the limit is 5',
      'found p 5 credit',
      'found q 0 credit'
    ])
  })

  it('tells every other price of one that is attached, once', async () => {
    const bench = new Bench([{ id: 'p', price: '3' }], { maxPrice: '5' })
    await bench.settled()
    bench.hear({ id: 'p', price: '3' })
    bench.hear({ id: 'p', price: '70' })
    bench.hear({ id: 'p', price: '70', draining: true })
    bench.hear({ id: 'p', price: '70', unit: 'euro' })
    bench.hear({ id: 'p', price: '3' })
    assert.deepEqual(await bench.end(), ['found p 3 credit', 'settled 1', 'priced p 70 credit', 'priced p 70 euro', 'priced p 3 credit'])
    assert.equal(bench.offers.length, 1)
  })

  it('a price that changed while it was attached is the one it is found with', async () => {
    const bench = new Bench([{ id: 'p', price: '3' }])
    const gate = Promise.withResolvers<void>()
    bench.gate = gate.promise
    while (bench.offers.length === 0) await new Promise(setImmediate)
    bench.hear({ id: 'p', price: '4' })
    gate.resolve()
    await bench.settled()
    assert.deepEqual(await bench.end(), ['priced p 4 credit', 'found p 4 credit', 'settled 1'])
  })
})

describe('coordinator/worker-source and operators', () => {
  it('believes an operator only from the peer itself', async () => {
    const seen: string[] = []
    const bench = new Bench([
      { id: 'direct', operator: 'did:a' }, { id: 'dht', operator: 'did:b', source: 'dht' }, { id: 'greeted', operator: 'did:forged', source: 'dht' }
    ], {}, {
      operatorOf: peer => peer.toString() === 'greeted' ? 'did:c' : undefined,
      distrusted: ({ peer }, operator) => {
        seen.push(`${peer.toString()} ${operator}`)
        return undefined
      }
    })
    await bench.settled()
    assert.deepEqual(seen, ['direct did:a', 'dht undefined', 'greeted did:c'])
    assert.deepEqual((await bench.end()).toSorted(), ['found dht 0 credit', 'found direct 0 credit of did:a', 'found greeted 0 credit of did:c', 'settled 3'])
  })

  it('does not ask a node whose operator was caught, whatever its key', async () => {
    const bench = new Bench([{ id: 'rotated', operator: 'did:a' }, { id: 'other', operator: 'did:b' }], {}, { leftOut: (_id, operator) => operator === 'did:a' ? 'caught' : undefined })
    await bench.settled()
    assert.deepEqual((await bench.end()).toSorted(), ['found other 0 credit of did:b', 'refused rotated: policy: caught', 'settled 1'])
  })
})
