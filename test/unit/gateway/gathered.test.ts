import assert from 'node:assert/strict'
import fc from 'fast-check'
import { GATHERED_ROWS_MAX, PROVIDER_PEERS_MAX } from '../../../daemon/gateway/constants.ts'
import type { NetworkView, NodeView } from '../../../daemon/gateway/network-types.ts'
import { capabilitiesOf } from '../../../daemon/gateway/view/capabilities.ts'
import { spotPricesOf } from '../../../daemon/gateway/view/prices.ts'
import { discoveryOf, providersOf } from '../../../daemon/gateway/view/providers.ts'
import { selectNodes } from '../../../daemon/gateway/view/select.ts'
import { nodeView } from './fake-node.ts'

const CSV = 'text/csv'
const PARQUET = 'application/vnd.apache.parquet'
type Converter = NodeView['converters'][number]
const converter = (bytesPerSecond = 0, changes: Partial<Converter> = {}): Converter => ({ id: 'table/csv-parquet', version: '1', from: CSV, to: PARQUET, bytesPerSecond, ...changes })
const view = (nodes: NodeView[]): NetworkView => ({ at: 1_000_000, unit: 'credit', nodes })
const rest = { from: CSV, to: PARQUET }

describe('gathered over the network', () => {
  describe('spot prices', () => {
    it('least, median and most by unit; who takes no work asks nothing', () => {
      const prices = spotPricesOf(view([
        nodeView('a', { price: '300000' }), nodeView('b', { price: '100000' }), nodeView('c', { price: '200000' }), nodeView('d', { price: '1000000000000000000000' }),
        nodeView('e', { price: '7', unit: 'euro' }), nodeView('f', { price: '1', draining: true }), nodeView('g', { resourceTypes: [], converters: [] })
      ]))
      assert.deepEqual(prices.resources, [
        { resource_type: 'CPU', unit: 'credit', count: 4, min: '100000', median: '200000', max: '1000000000000000000000' },
        { resource_type: 'CPU', unit: 'euro', count: 1, min: '7', median: '7', max: '7' }
      ])
      assert.deepEqual([prices.unit, prices.p2p_market, prices.traditional], ['credit', { CPU: 0.2 }, {}])
      assert.equal(prices.view.known, 7)
    })

    it('by converter, with the price of a gibibyte over those whose speed was measured', () => {
      const { converters } = spotPricesOf(view([
        nodeView('a', { price: '10', converters: [converter(100, { pricePerGib: '40' }), converter(0, { version: '2' })] }),
        nodeView('b', { price: '20', converters: [converter(200, { pricePerGib: '30' })] }),
        nodeView('c', { price: '30' }),
        nodeView('d', { price: '5', unit: 'euro', converters: [converter(0, { id: 'text/x' })] })
      ]))
      assert.deepEqual(converters, [
        { converter: 'table/csv-parquet', ...rest, unit: 'credit', count: 3, min: '10', median: '20', max: '30', per_gib: { count: 2, min: '30', median: '30', max: '40' } },
        { converter: 'text/x', ...rest, unit: 'euro', count: 1, min: '5', median: '5', max: '5' }
      ])
    })

    it('every node that takes work is counted once, and the median is a price somebody asks', () => {
      const nodes = fc.array(fc.record({ price: fc.bigInt(0n, 10n ** 25n).map(String), unit: fc.constantFrom('credit', 'euro', '["x"]'), draining: fc.boolean() }), { maxLength: 25 })
        .map(list => list.map((changes, index) => nodeView(`p${index}`, changes)))
      fc.assert(fc.property(nodes, nodes => {
        const { resources, converters } = spotPricesOf(view(nodes))
        const offering = nodes.filter(({ draining }) => !draining)
        for (const rows of [resources, converters]) {
          assert.equal(rows.reduce((sum, { count }) => sum + count, 0), offering.length)
          assert.equal(rows.length, new Set(offering.map(({ unit }) => unit)).size)
          for (const { unit, min, median, max } of rows) {
            const asked = offering.filter(node => node.unit === unit).map(({ price }) => BigInt(price)).toSorted((a, b) => a < b ? -1 : a > b ? 1 : 0)
            assert.deepEqual([min, median, max].map(BigInt), [asked[0], asked[Math.floor((asked.length - 1) / 2)], asked.at(-1)])
          }
        }
      }))
    })

    it('strangers who advertise names without end do not make it endless', () => {
      const many = Array.from({ length: GATHERED_ROWS_MAX + 5 }, (_, index) => converter(0, { id: `made-up/${index}` }))
      const nodes = [nodeView('liar', { converters: many }), nodeView('a'), nodeView('b')]
      const prices = spotPricesOf(view(nodes))
      assert.equal(prices.converters.length, GATHERED_ROWS_MAX)
      assert.equal(prices.converters[0]?.converter, 'table/csv-parquet', 'what most offer comes first')
      assert.equal(prices.left_out, 6)
      const capabilities = capabilitiesOf(view(nodes))
      assert.equal(capabilities.resource_profiles.CPU?.converters.length, GATHERED_ROWS_MAX)
      assert.equal(capabilities.left_out, 6)
    })
  })

  it('providers: nodes by operator, the largest first', () => {
    const load = { slots: 4, busy: 3, loopDelayMs: 1, source: 'gossip', ageMs: 1 } as const
    const { endpoint, unified_access: unified, providers } = providersOf(view([
      nodeView('a', { operator: 'did:key:z6MkOne', price: '250000', rttMs: 5, latencyBand: 'metro', ageMs: 50 }),
      nodeView('b', { operator: 'did:key:z6MkTwo', price: '500000', latencyBand: 'regional', facts: { price: { source: 'gossip', ageMs: 1 }, load }, ageMs: 20 }),
      nodeView('c', { operator: 'did:key:z6MkTwo', connected: false, price: '3', unit: 'euro', ageMs: 90 }),
      nodeView('d', { operator: 'did:key:z6MkThree', draining: true }),
      nodeView('e', { operator: 'did:key:z6MkFour', connected: false })
    ]))
    assert.deepEqual([endpoint, unified], ['/providers', true])
    assert.deepEqual(providers.map(({ operator, status, hosts, connected, available_resources: free }) => [operator.slice(-5), status, hosts, connected, free]), [
      ['MkTwo', 'live', 2, 1, 5], ['kFour', 'not_connected', 1, 0, 4], ['MkOne', 'live', 1, 1, 4], ['Three', 'not_offering', 1, 1, 0]
    ])
    const [two] = providers
    assert.deepEqual([two?.price_range, two?.prices.map(({ unit }) => unit), two?.latency_band, two?.memory_gb, two?.cpu_cores, two?.age_ms, two?.payment], ['0.5 credit/hr, 3 µeuro/hr', ['credit', 'euro'], 'regional', 16, 8, 20, []])
    assert.deepEqual(two?.peers, ['b', 'c'])
    const crowd = providersOf(view(Array.from({ length: PROVIDER_PEERS_MAX + 1 }, (_, index) => nodeView(`p${index}`)))).providers[0]
    assert.deepEqual([crowd?.hosts, crowd?.peers.length], [PROVIDER_PEERS_MAX + 1, PROVIDER_PEERS_MAX])
  })

  it('discover: offers with what was asked for, under the names of compute.md', () => {
    const node = nodeView('a', { price: '790000', rttMs: 4, latencyBand: 'metro', converters: [converter(100, { pricePerGib: '9' }), converter(5, { id: 'text/x', to: 'text/plain' })] })
    const filter = { to: PARQUET }
    const { options, total, endpoint } = discoveryOf(selectNodes(view([node]), filter))
    assert.deepEqual([endpoint, total], ['/discover', 1])
    assert.deepEqual(options, [{
      provider: node.operator, node: 'a', resource_type: 'CPU', price: '790000', unit: 'credit', price_per_hour: '0.79 credit/hr', latency_band: 'metro', rtt_ms: 4, cpu_cores: 4, slots: 4, memory_gb: 8,
      converters: [{ converter: 'table/csv-parquet', version: '1', ...rest, bytes_per_second: 100, price_per_gib: '9' }], age_ms: 1000, price_age_ms: 500
    }])
  })

  it('capabilities: measured throughput of the network and of this node', () => {
    const nodes = [nodeView('me', { self: true, converters: [converter(100)], price: '250000' }), nodeView('b', { converters: [converter(300)], price: '5', unit: 'euro' }), nodeView('c')]
    const { resource_profiles: profiles, this_node: self, latency_bands: bands } = capabilitiesOf(view(nodes))
    assert.deepEqual(profiles, {
      CPU: {
        nodes: 3, cpu_cores: 12, slots: 12, memory_gb: 24, typical_price: 'free',
        converters: [{ converter: 'table/csv-parquet', ...rest, nodes: 3, measured: 2, bytes_per_second: { min: 100, median: 100, max: 300 } }]
      }
    })
    assert.equal(self?.peer, 'me')
    assert.deepEqual(self.resource_profiles.CPU?.converters[0]?.bytes_per_second, { min: 100, median: 100, max: 100 })
    assert.equal(self.resource_profiles.CPU.typical_price, '0.25 credit/hr')
    assert.deepEqual(bands, { lan: '0-3ms', metro: '3-10ms', regional: '10-30ms', global: '30-100ms', far: 'above 100ms' })
    assert.equal(capabilitiesOf(view([nodeView('b')])).this_node, undefined)
  })
})
