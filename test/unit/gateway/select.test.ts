import assert from 'node:assert/strict'
import fc from 'fast-check'
import { SORTS, type NetworkView, type NodeFilter, type NodeView, type Sort } from '../../../daemon/gateway/network-types.ts'
import { PAGE_MAX } from '../../../daemon/gateway/constants.ts'
import { selectNodes } from '../../../daemon/gateway/view/select.ts'
import { amountInFull, amountText, compareAmounts, inUnits, parseAmount } from '../../../daemon/gateway/view/money.ts'
import { nodeView } from './fake-node.ts'

const CSV = 'text/csv'
const PARQUET = 'application/vnd.apache.parquet'
const converter = (id: string, from: string, to: string, bytesPerSecond = 0): NodeView['converters'][number] => ({ id, version: '1', from, to, bytesPerSecond })
const view = (nodes: NodeView[]): NetworkView => ({ at: 1_000_000, unit: 'credit', nodes })
const peers = (nodes: NodeView[], filter: NodeFilter): string[] => selectNodes(view(nodes), filter).nodes.map(({ peer }) => peer)

const ALL_SORTS = SORTS.flatMap((sort): Sort[] => [sort, `${sort}_asc`, `${sort}_desc`])

const anyNode = fc.record({
  price: fc.oneof(fc.constant('0'), fc.bigInt(0n, 10n ** 29n).map(String), fc.nat(3).map(String)),
  unit: fc.constantFrom('credit', 'euro', '…ünit"\\'),
  speed: fc.constantFrom(0, 1, 1000, 5e8),
  rttMs: fc.option(fc.constantFrom(0, 0.4, 12, 250), { nil: undefined }),
  ageMs: fc.constantFrom(0, 1, 5000),
  memoryBytes: fc.constantFrom(0, 8e9, 64e9),
  draining: fc.boolean()
}).map(({ speed, rttMs, memoryBytes, ...changes }) => ({
  ...changes,
  converters: [converter('table/csv-parquet', CSV, PARQUET, speed)],
  resources: { cores: 1, memoryBytes, diskBytes: 0, slots: 1 },
  ...(rttMs != null ? { rttMs, latencyBand: rttMs < 3 ? 'lan' : rttMs < 30 ? 'regional' : 'far' } as const : {})
}))
/** Peers of names whose order is not that of the list. */
const anyNodes = fc.array(anyNode, { maxLength: 30 }).map(list => list.map((changes, index) => nodeView(`p${(index * 7) % 31}`, changes)))

const anyFilter = fc.record({
  sort: fc.constantFrom(...ALL_SORTS), max_price: fc.constantFrom('0', '2', '100000000000'), latency_band: fc.constantFrom('lan', 'regional', 'far'), min_memory_gb: fc.constantFrom(0, 8), available: fc.boolean()
}, { requiredKeys: [] }) as fc.Arbitrary<NodeFilter>

describe('nodes of the network, chosen', () => {
  describe('filters', () => {
    it('conversion: one converter must do all of what is asked', () => {
      const both = nodeView('a', { converters: [converter('x', CSV, PARQUET)] })
      const apart = nodeView('b', { converters: [converter('y', CSV, 'text/plain'), converter('z', 'text/plain', PARQUET)] })
      assert.deepEqual(peers([both, apart], { from: CSV, to: PARQUET }), ['a'])
      assert.deepEqual(peers([both, apart], { from: CSV }), ['a', 'b'])
      assert.deepEqual(peers([both, apart], { converter: 'z', from: CSV }), [])
      assert.deepEqual(peers([both, apart], { converter: 'z' }), ['b'])
    })

    it('resource type, in any case; nobody has others than CPU', () => {
      const nodes = [nodeView('a'), nodeView('b', { resourceTypes: [] })]
      assert.deepEqual(peers(nodes, { resource_type: 'cpu' }), ['a'])
      assert.deepEqual(peers(nodes, { resource_type: 'CPU' }), ['a'])
      assert.deepEqual(peers(nodes, { resource_type: 'GPU_A' }), [])
    })

    it('price: in this node\'s unit or the one that is given; other units say nothing, free is free', () => {
      const nodes = [nodeView('a', { price: '99' }), nodeView('b', { price: '100' }), nodeView('c', { price: '101' }), nodeView('d', { price: '1', unit: 'euro' }), nodeView('e', { unit: 'euro' })]
      assert.deepEqual(peers(nodes, { max_price: '100' }), ['a', 'b', 'e'])
      assert.deepEqual(peers(nodes, { max_price: '100', unit: 'euro' }), ['d', 'e'])
      assert.deepEqual(peers(nodes, { max_price: '0' }), ['e'])
      assert.deepEqual(peers(nodes, { unit: 'euro' }), ['d', 'e'])
    })

    it('latency band: this one or a nearer, and only what was measured', () => {
      const nodes = (['lan', 'metro', 'regional', 'global', 'far', 'unknown'] as const).map(latencyBand => nodeView(latencyBand, { latencyBand }))
      assert.deepEqual(peers(nodes, { latency_band: 'metro' }), ['lan', 'metro'])
      assert.deepEqual(peers(nodes, { latency_band: 'far' }), ['far', 'global', 'lan', 'metro', 'regional'])
    })

    it('memory in 10^9 bytes; GPUs are not there; availability', () => {
      const nodes = [nodeView('a', { draining: true }), nodeView('b', { policy: { hours: [[0, 1]], maxLeases: 1, everyone: true, open: false } }), nodeView('c', { resources: { cores: 1, memoryBytes: 16e9, diskBytes: 0, slots: 1 } })]
      assert.deepEqual(peers(nodes, { min_memory_gb: 16 }), ['c'])
      assert.deepEqual(peers(nodes, { min_memory_gb: 16.1 }), [])
      assert.deepEqual(peers(nodes, { gpu_hours: 1000 }), [])
      assert.deepEqual(peers(nodes, { gpu_hours: 0 }), ['a', 'b', 'c'])
      assert.deepEqual(peers(nodes, { available: true }), ['c'])
    })
  })

  describe('order', () => {
    it('price: cheapest first within a unit, the own unit first; large amounts are not rounded', () => {
      const nodes = [nodeView('a', { price: '9007199254740993' }), nodeView('b', { price: '9007199254740992' }), nodeView('c', { price: '5', unit: 'euro' }), nodeView('d', { unit: 'euro' }), nodeView('e', { price: '10' })]
      assert.deepEqual(peers(nodes, { sort: 'price' }), ['d', 'e', 'b', 'a', 'c'])
      assert.deepEqual(peers(nodes, { sort: 'price_desc' }), ['a', 'b', 'e', 'd', 'c'])
      assert.deepEqual(peers(nodes, { sort: 'price', unit: 'euro', max_price: '5' }), ['d', 'c'])
    })

    it('speed: that of the wanted conversion, fastest first, not measured last', () => {
      const nodes = [
        nodeView('a', { converters: [converter('x', CSV, PARQUET, 100), converter('y', PARQUET, CSV, 900)] }),
        nodeView('b', { converters: [converter('x', CSV, PARQUET, 500)] }),
        nodeView('c', { converters: [converter('x', CSV, PARQUET)] })
      ]
      assert.deepEqual(peers(nodes, { sort: 'speed', to: PARQUET }), ['b', 'a', 'c'])
      assert.deepEqual(selectNodes(view(nodes), { to: PARQUET }).nodes.map(({ speed }) => speed), [100, 500, 0])
      assert.deepEqual(selectNodes(view(nodes), {}).nodes.map(({ speed }) => speed), [undefined, undefined, undefined])
      assert.deepEqual(peers(nodes, { sort: 'speed' }), ['a', 'b', 'c'])
      assert.deepEqual(peers(nodes, { sort: 'speed_asc', to: PARQUET }), ['a', 'b', 'c'])
    })

    it('latency and age: nearest and freshest first, not measured last either way', () => {
      const nodes = [nodeView('a', { ageMs: 10 }), nodeView('b', { rttMs: 20, ageMs: 5 }), nodeView('c', { rttMs: 3, ageMs: 7 })]
      assert.deepEqual(peers(nodes, { sort: 'latency' }), ['c', 'b', 'a'])
      assert.deepEqual(peers(nodes, { sort: 'latency_desc' }), ['b', 'c', 'a'])
      assert.deepEqual(peers(nodes, { sort: 'age' }), ['b', 'c', 'a'])
      assert.deepEqual(peers(nodes, { sort: 'age_desc' }), ['a', 'c', 'b'])
      assert.deepEqual(peers(nodes, { sort: 'peer_desc' }), ['c', 'b', 'a'])
    })
  })

  describe('pages', () => {
    it('put together they are the whole list, whatever the filter, order and size', () => {
      fc.assert(fc.property(anyNodes, anyFilter, fc.integer({ min: 1, max: 9 }), (nodes, filter, limit) => {
        const whole = selectNodes(view(nodes), filter)
        assert.equal(whole.cursor, undefined)
        assert.equal(whole.total, whole.nodes.length)
        const together: NodeView[] = []
        let cursor: string | undefined
        do {
          const page = selectNodes(view(nodes), { ...filter, limit, ...(cursor != null ? { cursor } : {}) })
          assert.ok(page.nodes.length === limit || page.cursor == null)
          assert.equal(page.total, whole.total)
          together.push(...page.nodes)
          cursor = page.cursor
        } while (cursor != null)
        assert.deepEqual(together, whole.nodes)
      }))
    })

    it('nodes that come and go between two pages move no other: none twice, and none of those that stayed is missed', () => {
      fc.assert(fc.property(anyNodes, anyNodes, anyFilter, fc.integer({ min: 1, max: 9 }), (before, more, filter, limit) => {
        const after = [...before.filter((_, index) => index % 3 !== 0), ...more.map(node => ({ ...node, peer: `q${node.peer}` }))]
        const first = selectNodes(view(before), { ...filter, limit })
        if (first.cursor == null) return
        // Later, so that ages have grown.
        const later: NetworkView = { ...view(after.map(node => ({ ...node, ageMs: node.ageMs + 700 }))), at: 1_000_700 }
        const rest = selectNodes(later, { ...filter, cursor: first.cursor })
        const seen = [...first.nodes, ...rest.nodes].map(({ peer }) => peer)
        assert.equal(new Set(seen).size, seen.length)
        const stayed = new Set(after.map(({ peer }) => peer))
        const expected = selectNodes(view(before), filter).nodes.map(({ peer }) => peer).filter(peer => stayed.has(peer))
        assert.deepEqual(expected.filter(peer => !seen.includes(peer)), [])
      }))
    })

    it('have a limit of their own', () => {
      const nodes = Array.from({ length: PAGE_MAX + 1 }, (_, index) => nodeView(`p${index}`))
      for (const filter of [{}, { limit: 10 * PAGE_MAX }]) {
        const page = selectNodes(view(nodes), filter)
        assert.equal(page.nodes.length, PAGE_MAX)
        assert.ok(page.cursor != null)
      }
    })

    it('a cursor that is none, or of another order, is refused in words; a forged one breaks nothing', () => {
      const nodes = [nodeView('a'), nodeView('b')]
      const { cursor } = selectNodes(view(nodes), { sort: 'price', limit: 1 })
      assert.throws(() => selectNodes(view(nodes), { sort: 'age', cursor: cursor as string }), { status: 400, message: /'cursor': it is of a list sorted by price, and this one is by age; leave it out/ })
      for (const wrong of ['abc', '', Buffer.from('{}').toString('base64url'), Buffer.from('["peer",{}]').toString('base64url'), Buffer.from('["peer"]').toString('base64url')]) {
        assert.throws(() => selectNodes(view(nodes), { cursor: wrong }), { status: 400, code: 'bad-request', message: /'cursor': it is none that this API gave/ })
      }
      fc.assert(fc.property(fc.array(fc.oneof(fc.string(), fc.double(), fc.constantFrom(...ALL_SORTS)), { maxLength: 7 }), fc.constantFrom(...ALL_SORTS), (parts, sort) => {
        const forged = Buffer.from(JSON.stringify([sort, ...parts])).toString('base64url')
        try {
          assert.ok(selectNodes(view(nodes), { sort, cursor: forged }).nodes.length <= 2)
        } catch (error) {
          assert.equal((error as { status?: number }).status, 400)
        }
      }))
    })
  })

  it('freshness: of the others, by their adverts and prices', () => {
    const nodes = [
      nodeView('a', { self: true, ageMs: 900_000 }), nodeView('b', { ageMs: 10, facts: { price: { source: 'gossip', ageMs: 4 } } }),
      nodeView('c', { ageMs: 30, connected: false, facts: { price: { source: 'dht', ageMs: 30 } } }), nodeView('d', { ageMs: 20, facts: { price: { source: 'gossip', ageMs: 2 } } })
    ]
    assert.deepEqual(selectNodes(view(nodes), {}).view, { at: 1_000_000, known: 4, connected: 3, adverts: { median: 20, oldest: 30 }, prices: { median: 4, oldest: 30 } })
    assert.deepEqual(selectNodes(view([]), {}).view, { at: 1_000_000, known: 0, connected: 0 })
  })
})

describe('amounts of money', () => {
  it('are whole numbers of 10^-6, or units with a point', () => {
    for (const [text, amount] of [['0', '0'], ['250000', '250000'], ['0.25', '250000'], ['2.50', '2500000'], ['1.0', '1000000'], ['1', '1'], ['007', '7'], ['0.000001', '1'], ['12345678901234567890.5', '12345678901234567890500000']] as const) {
      assert.equal(parseAmount(text), amount, text)
    }
    for (const text of ['', '-1', '1e3', '0.0000001', '.5', '1.', '1,5', '0x10', ' 1', '1 credit', 'NaN', '9'.repeat(31)]) assert.equal(parseAmount(text), undefined, text)
  })

  it('are read back as they were written', () => {
    fc.assert(fc.property(fc.bigInt(0n, 10n ** 29n).map(String), amount => {
      const units = inUnits(amount)
      assert.equal(parseAmount(units.includes('.') ? units : `${units}.0`), amount)
    }))
  })

  it('compare as numbers', () => {
    fc.assert(fc.property(fc.bigInt(0n, 10n ** 29n), fc.bigInt(0n, 10n ** 29n), (a, b) => {
      assert.equal(Math.sign(compareAmounts(String(a), String(b))), a < b ? -1 : a > b ? 1 : 0)
    }))
  })

  it('for people', () => {
    assert.deepEqual(['0', '5', '999', '1000', '250000', '12000000'].map(amount => amountText(amount, 'credit')), ['free', '5 µcredit', '999 µcredit', '0.001 credit', '0.25 credit', '12 credit'])
    assert.equal(amountInFull('250000', 'credit'), '0.25 credit (250000 µcredit)')
    assert.equal(amountInFull('0', 'credit'), 'nothing')
  })
})
