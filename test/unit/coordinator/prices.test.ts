import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Block } from '../../../daemon/coordinator/block-table.ts'
import { FIRST_BLOCKS, JOB_LIMITS, NOTICE_EVERY_MS, SEARCH_EVERY_MS } from '../../../daemon/coordinator/constants.ts'
import { deal } from '../../../daemon/coordinator/planner.ts'
import { cheapestFirst, limitOf, nobodyWithin, parsePrice, tooDear, type Asked } from '../../../daemon/coordinator/prices.ts'
import { ReadyQueue } from '../../../daemon/coordinator/ready-queue.ts'
import { WorkerTable, type WorkerEntry } from '../../../daemon/coordinator/worker-table.ts'
import type { JobEventIn } from '../../../daemon/coordinator/machine-types.ts'
import { joined, last, ok, Rig } from './rig.ts'

const credit = (price: string): Asked => ({ price, unit: 'credit' })
const asks = (worker: string, slots: number, price: string, unit = 'credit'): JobEventIn => ({ type: 'joined', worker, kind: 'remote', slots, asked: { price, unit } })
const priced = (worker: string, price: string, unit = 'credit'): JobEventIn => ({ type: 'priced', worker, asked: { price, unit } })

const price = fc.bigInt({ min: 0n, max: 10n ** 19n - 1n }).map(String)

describe('coordinator/prices', () => {
  it('reads whole numbers of at most 19 digits, and nothing else', () => {
    fc.assert(fc.property(price, text => { assert.equal(String(parsePrice(text)), text) }))
    for (const text of ['', '-1', '+1', '01', '1.5', '1e3', ' 1', '1 ', '0x1', '١', '1'.repeat(20), 'many']) assert.equal(parsePrice(text), undefined, text)
  })

  it('compares exactly, also where a number would round, and never across units', () => {
    fc.assert(fc.property(price, price, (asked, most) => {
      assert.equal(tooDear(credit(asked), limitOf(most, 'credit')) == null, BigInt(asked) <= BigInt(most))
    }))
    assert.equal(tooDear(credit('9007199254740993'), limitOf('9007199254740992', 'credit')), 'it asks 9007199254740993 microcredit per resource hour, the limit is 9007199254740992')
    assert.equal(tooDear({ price: '0', unit: 'euro' }, limitOf('5', 'credit')), 'it asks 0 microeuro per resource hour, the limit is in credit, and units are not compared')
    assert.equal(tooDear({ price: '9', unit: 'euro' }, limitOf(undefined, 'credit')), undefined)
    // What a peer says may be anything.
    assert.ok(tooDear(credit('1'.repeat(100)), limitOf('9'.repeat(19), 'credit')) != null)
    assert.equal(nobodyWithin(limitOf('5', 'credit'), 1), 'nobody offers this conversion for at most 5 microcredit per resource hour: 1 provider was left out for the price')
  })

  it('orders by price, keeps the order of equal ones, and puts what cannot be compared last', () => {
    const asked = fc.oneof(fc.constant(undefined), fc.record({ price: fc.oneof(fc.constantFrom('0', '1', '5', 'x'), price), unit: fc.constantFrom('credit', 'credit', 'euro') }))
    const amount = (worker: { asked: Asked | undefined }): bigint | undefined => worker.asked == null ? 0n : worker.asked.unit === 'credit' ? parsePrice(worker.asked.price) : undefined
    fc.assert(fc.property(fc.array(asked, { maxLength: 30 }), list => {
      const workers = list.map((asked, i) => ({ asked, i }))
      const sorted = cheapestFirst(workers, 'credit')
      assert.deepEqual(sorted.map(({ worker }) => worker.i).toSorted((a, b) => a - b), workers.map(({ i }) => i))
      for (const [i, { worker, rank }] of sorted.entries()) {
        const before = sorted[i - 1]
        if (before == null) {
          assert.equal(rank, 0)
          continue
        }
        const [a, b] = [amount(before.worker), amount(worker)]
        assert.equal(rank - before.rank, a === b ? 0 : 1)
        if (a === b) assert.ok(before.worker.i < worker.i)
        else assert.ok(a != null && (b == null || a < b))
      }
    }))
  })
})

describe('coordinator/planner and prices', () => {
  const table = (workers: Array<[id: string, slots: number, price: string]>, maxPrice?: string): WorkerTable => {
    const made = new WorkerTable(limitOf(maxPrice, 'credit'))
    for (const [id, slots, price] of workers) {
      const entry = made.obtain(id, id.startsWith('local') ? 'local' : 'remote')
      entry.join(entry.kind, slots, undefined)
      made.price(entry, credit(price))
    }
    return made
  }
  const dealt = (sizes: number[], workers: WorkerTable, splitEnded = false, prepare: (blocks: Block[]) => void = () => {}): string[] => {
    const queue = new ReadyQueue()
    const blocks = sizes.map((size, i) => new Block(i, size))
    prepare(blocks)
    for (const block of blocks) queue.push(block)
    const orders: string[] = []
    deal(queue, workers.byPrice, { now: 0, splitEnded }, (block, to) => {
      orders.push(`${to.id}${block.index}`)
      to.give({ open: true } as never, block.size, 0)
    })
    return orders
  }

  it('fills the cheapest first, in turn among equals, then the next', () => {
    const workers = table([['dear', 2, '9'], ['a', 2, '3'], ['b', 2, '3'], ['free', 1, '0']])
    assert.deepEqual(dealt([1, 1, 1, 1, 1, 1, 1, 1], workers), ['free0', 'a1', 'b2', 'a3', 'b4', 'dear5', 'dear6'])
  })

  it('takes work of this node for free, whatever it asks of others', () => {
    assert.deepEqual(dealt([1, 1, 1], table([['a', 2, '1'], ['local', 2, '1000']], '0')), ['local0', 'local1'])
    assert.deepEqual(dealt([1, 1, 1], table([['a', 2, '1'], ['local', 2, '1000']])), ['local0', 'local1', 'a2'])
  })

  it('gives a block that failed on the cheapest to the next, not to the fastest', () => {
    const workers = table([['dear', 2, '9'], ['mid', 2, '5'], ['cheap', 2, '1']])
    const [cheap] = workers.byPrice as [WorkerEntry]
    assert.deepEqual(dealt([1, 1], workers, false, ([first]) => { first!.shun(cheap) }), ['mid0', 'cheap1'])
  })

  it('asks who is fastest at the tail, and for the price between equals', () => {
    const workers = new WorkerTable(limitOf(undefined, 'credit'))
    for (const [id, rate, price] of [['dear', 1000, '9'], ['slow', 10, '1'], ['cheap', 1000, '5']] as const) {
      const entry = workers.obtain(id, 'remote')
      entry.join('remote', 1, rate)
      workers.price(entry, credit(price))
    }
    assert.deepEqual(dealt([100, 100], workers, true), ['cheap0', 'dear1'])
  })

  it('never gives anything to who asks too much, and all else its room', () => {
    const asked = fc.record({ slots: fc.integer({ min: 0, max: 3 }), price: fc.constantFrom('0', '1', '5', '7', '100'), slow: fc.boolean() })
    fc.assert(fc.property(fc.array(asked, { maxLength: 8 }), fc.constantFrom(undefined, '0', '5', '50'), fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 20 }), (list, most, sizes) => {
      const workers = new WorkerTable(limitOf(most, 'credit'))
      let room = 0
      for (const [i, { slots, price, slow }] of list.entries()) {
        const entry = workers.obtain(`${i}:`, 'remote')
        entry.join('remote', slots, slow ? 1 : 100)
        workers.price(entry, credit(price))
        if (most == null || Number(price) <= Number(most)) room += Math.min(slots, FIRST_BLOCKS)
      }
      const orders = dealt(sizes, workers)
      assert.equal(orders.length, Math.min(room, sizes.length))
      const ranks = orders.map(order => Number(list[Number(order.split(':')[0])]!.price))
      assert.deepEqual(ranks, ranks.toSorted((a, b) => a - b))
      if (most != null) assert.ok(ranks.every(price => price <= Number(most)))
    }))
  })
})

describe('coordinator/machine and prices', () => {
  const rig = (workers: JobEventIn[], blocks: number, maxPrice?: string): Rig => {
    const made = new Rig({ maxPrice, priceUnit: 'credit', limits: { noneMs: 1000, rejoinMs: 15_000, priceMs: 6000 } })
    made.step()
    made.step(...workers, { type: 'settled', count: workers.length })
    made.step({ type: 'split', sizes: new Array<number>(blocks).fill(5) })
    return made
  }
  const news = (made: Rig): string[] => made.of('news').flatMap(({ news }) => news.type === 'worker' ? [`${news.peer} ${news.change}${news.reason == null ? '' : `: ${news.reason}`}`] : [])

  it('a price that rises over the limit: nothing more, but what it has it finishes; when it falls back, blocks again', () => {
    const made = rig([asks('a', 2, '10'), asks('b', 1, '20')], 8, '50')
    assert.deepEqual(made.orders().toSorted(), ['a:0/1', 'a:1/1', 'b:2/1'])
    made.effects = []
    const effects = made.step(priced('a', '51'))
    assert.ok(!effects.some(({ type }) => type === 'cancel' || type === 'release'), 'it finishes what it has')
    assert.deepEqual(news(made), ['a refused: price: it asks 51 microcredit per resource hour, the limit is 50'])
    made.step(ok('a', 0), ok('a', 1), ok('b', 2))
    assert.deepEqual(made.orders(), ['b:3/1'])
    assert.equal(made.machine.counts().workersLive, 1)
    assert.deepEqual(made.machine.counts().workers.map(({ id, blocks, asked }) => [id, blocks, asked?.price]), [['a', 2, '51'], ['b', 1, '20']])
    made.effects = []
    made.step(priced('a', '60'))
    assert.deepEqual(news(made), [], 'it was said already')
    made.now = NOTICE_EVERY_MS
    made.step(priced('a', '50'))
    assert.deepEqual(news(made), ['a joined: its price is within the limit again'])
    assert.deepEqual(made.orders(), ['a:4/1', 'a:5/1'])
  })

  it('the order of dealing follows the prices while the job runs', () => {
    const made = rig([asks('a', 1, '10'), asks('b', 1, '20')], 0)
    made.step({ type: 'split', sizes: [5] })
    assert.deepEqual(made.orders(), ['a:0/1'])
    made.step(ok('a', 0), priced('b', '9'), { type: 'split', sizes: [5] })
    assert.deepEqual(made.orders(), ['b:1/1'])
    made.step(ok('b', 1), priced('b', '9', 'euro'), { type: 'split', sizes: [5] })
    assert.deepEqual(made.orders(), ['a:2/1'], 'another unit comes last')
  })

  it('another unit is left out where there is a limit', () => {
    const made = rig([asks('a', 1, '10'), asks('b', 1, '10', 'euro')], 3, '50')
    assert.deepEqual(made.orders(), ['a:0/1'])
    made.step(priced('a', '10', 'euro'), priced('b', '10'), ok('a', 0))
    assert.deepEqual(made.orders(), ['b:1/1'])
  })

  it('fails after a while where everybody asks too much, and says so', () => {
    const made = rig([asks('a', 1, '10'), asks('b', 1, '20')], 3, '50')
    assert.equal(made.orders().length, 2)
    made.step(priced('a', '51'), priced('b', '51'))
    made.now = 5000
    made.step({ type: 'tick' })
    assert.equal(made.machine.state, 'running', 'what they have is still coming')
    made.step(ok('a', 0), ok('b', 1))
    assert.equal(last(made.of('timer')).at, 11_000)
    made.now = 10_999
    made.step({ type: 'tick' })
    assert.equal(made.machine.state, 'running', 'a lower price may be on its way')
    made.now = 11_000
    made.step({ type: 'tick' })
    made.step({ type: 'aborted' })
    const { error } = last(made.of('end'))
    assert.deepEqual(error, { code: 'no-provider', message: 'nobody offers this conversion for at most 50 microcredit per resource hour: 2 providers were left out for the price', details: { tooDear: ['a', 'b'], workers: ['a', 'b'].map(peer => ({ peer, reason: 'price', message: 'it asks 51 microcredit per resource hour, the limit is 50' })) } })
  })

  it('does not fail if one of them becomes cheaper in time, or somebody lost may return', () => {
    const made = rig([asks('a', 1, '51')], 1, '50')
    made.now = 5999
    made.step({ type: 'tick' })
    made.step(priced('a', '50'))
    assert.deepEqual(made.orders(), ['a:0/1'])
    const other = rig([asks('a', 1, '51'), asks('b', 1, '1')], 1, '50')
    other.step({ type: 'lost', worker: 'b', reason: 'gone' })
    other.now = 14_999
    other.step({ type: 'tick' })
    assert.equal(other.machine.state, 'running')
    other.step(asks('b', 1, '1'))
    assert.deepEqual(other.orders(), ['b:0/1', 'b:0/2'])
  })

  it('waits for a lower price longer than the next search takes, also for one that was lost meanwhile; not for who was excluded', () => {
    assert.ok(JOB_LIMITS.priceMs > SEARCH_EVERY_MS)
    const left = (then: JobEventIn[]): string => {
      const made = rig([asks('a', 1, '51')], 1, '50')
      made.step(...then)
      made.now = 5999
      made.step({ type: 'tick' })
      return made.machine.state
    }
    assert.equal(left([]), 'running')
    assert.equal(left([{ type: 'lost', worker: 'a', reason: 'gone' }]), 'running')
    assert.equal(left([{ type: 'distrusted', worker: 'a', reason: 'lied' }]), 'failed')
  })

  it('a price that flaps with every bulletin is told once a second, and as it is in the end', () => {
    const made = rig([asks('a', 1, '10'), asks('b', 1, '10')], 100, '50')
    made.effects = []
    const toldAt: Record<string, number> = {}
    for (let turn = 0; turn < 1001; turn++) {
      made.now = 10 * turn
      const said = news(made).length
      // The other one flaps, too, and begins half a second later: its notices are no reason for more of the first.
      made.step(priced('a', turn % 2 === 0 ? String(51 + turn) : '10'), ...(turn < 50 ? [] : [priced('b', turn % 2 === 0 ? '10' : String(51 + turn))]))
      for (const notice of news(made).slice(said)) {
        const peer = notice.slice(0, 1)
        assert.ok(made.now - (toldAt[peer] ?? -Infinity) >= NOTICE_EVERY_MS, `${notice} at ${made.now}, the last at ${toldAt[peer]}`)
        toldAt[peer] = made.now
      }
    }
    made.step(priced('b', '10'))
    assert.deepEqual(Object.keys(toldAt), ['a', 'b'])
    // What was left unsaid is said when its time has come, as it is then.
    const settled = (peer: string): string | undefined => {
      for (let ticks = 0; ticks < 4; ticks++) {
        made.now = Math.max(made.now, toldAt[peer]!) + NOTICE_EVERY_MS
        made.step({ type: 'tick' })
      }
      return news(made).findLast(notice => notice.startsWith(peer))
    }
    const at = last(made.of('timer')).at
    assert.ok(at != null && at <= made.now + NOTICE_EVERY_MS)
    assert.match(settled('a') ?? '', /^a refused: price: it asks 1051 /)
    made.step(priced('a', '10'))
    assert.equal(settled('a'), 'a joined: its price is within the limit again')
  })

  it('one that comes back asks what it asked, unless it says otherwise', () => {
    const made = rig([asks('a', 1, '51'), asks('b', 1, '1')], 4, '50')
    assert.deepEqual(made.orders(), ['b:0/1'])
    made.step({ type: 'lost', worker: 'a', reason: 'gone' }, joined('a'))
    assert.deepEqual(made.orders(), [])
    made.step({ type: 'lost', worker: 'a', reason: 'gone' }, priced('a', '2'), joined('a'))
    assert.deepEqual(made.orders(), ['a:1/1'])
  })

  it('does not wait at the tail for one that gets nothing more', () => {
    const made = rig([asks('fast', 1, '1'), asks('slow', 1, '2')], 2, '50')
    made.now = 10
    made.step(ok('fast', 0))
    made.now = 10_000
    made.step(ok('slow', 1), { type: 'split', sizes: [5] })
    assert.deepEqual(made.orders(), ['fast:0/1', 'slow:1/1', 'fast:2/1'])
    made.step(priced('fast', '51'), { type: 'split', sizes: [5] }, { type: 'split-ended' })
    assert.deepEqual(made.orders(), ['slow:3/1'])
  })

  it('a price of nobody it knows, or of this node itself, changes nothing', () => {
    const made = new Rig({ maxPrice: '1', priceUnit: 'credit' })
    made.step()
    made.step(priced('nobody', '9'), joined('local', 1, 'local'), priced('local', '9'), { type: 'settled', count: 1 })
    made.step({ type: 'split', sizes: [5] })
    assert.deepEqual(made.orders(), ['local:0/1'])
    assert.deepEqual(made.machine.counts().workers.map(({ id }) => id), ['local'])
  })
})
