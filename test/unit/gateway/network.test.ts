import assert from 'node:assert/strict'
import type { InjectOptions } from 'fastify'
import { BAN_REASON_MAX, GATHERED_ROWS_MAX } from '../../../daemon/gateway/constants.ts'
import { createGateway } from '../../../daemon/gateway/gateway.ts'
import type { Capabilities, Discovery, NodePage, ProviderList, SpotPrices } from '../../../daemon/gateway/network-types.ts'
import { selectNodes } from '../../../daemon/gateway/view/select.ts'
import { silentLog } from '../../../daemon/log.ts'
import { FakeNode, nodeView, OPERATOR, PEER, peerInfo } from './fake-node.ts'

const OTHER = '12D3KooWRdRzYVDPHuUWXeR38mEqC4bWgqqzRff5YjgNGGHLsqDZ'
const STRANGER = 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'

interface Refusal { code: string, detail: string, details: { field: string, in: string } }

describe('gateway: the network', () => {
  let node: FakeNode
  let gateway: ReturnType<typeof createGateway>

  beforeEach(() => {
    node = new FakeNode()
    node.view = { at: 5, unit: 'credit', nodes: [nodeView(PEER, { self: true, rttMs: 0, latencyBand: 'lan' }), nodeView(OTHER, { price: '250000', rttMs: 5, latencyBand: 'metro' })] }
    gateway = createGateway({ node, log: silentLog }, { host: '127.0.0.1', port: 0, token: 't', roots: [] })
  })

  afterEach(async () => { await gateway.stop() })

  async function call<T = Refusal> (method: 'GET' | 'POST' | 'DELETE' | 'PUT', url: string, body?: object): Promise<{ status: number, body: T }> {
    const options: InjectOptions = { method, url, headers: { host: 'localhost', authorization: 'Bearer t' }, ...(body != null ? { payload: body } : {}) }
    const response = await gateway.server.inject(options)
    return { status: response.statusCode, body: (response.body === '' ? undefined : response.json()) as T }
  }

  describe('nodes', () => {
    it('takes every filter of the contract, as numbers and amounts', async () => {
      const query = 'resource_type=GPU_A&max_price=2.50&latency_band=Metro&min_memory_gb=24&gpu_hours=1000&sort=price_asc&converter=table/csv-parquet&from=csv&to=parquet&unit=credit&limit=5'
      for (const path of ['/nodes', '/discover']) assert.equal((await call('GET', `${path}?${query}`)).status, 200)
      const filter = { resource_type: 'GPU_A', max_price: '2500000', latency_band: 'metro', min_memory_gb: 24, gpu_hours: 1000, sort: 'price_asc', converter: 'table/csv-parquet', from: 'csv', to: 'parquet', unit: 'credit', limit: 5 }
      assert.deepEqual(node.filters, [filter, { ...filter, available: true }])
    })

    it('what nobody offers yet is an empty list, not an error', async () => {
      for (const query of ['gpu_hours=1', 'resource_type=GPU_B', 'gpu_hours=1000&min_memory_gb=24&max_price=1.00&sort=price_asc']) {
        const { status, body } = await call<NodePage>('GET', `/nodes?${query}`)
        assert.equal(status, 200)
        assert.deepEqual([body.nodes, body.total, body.view.known], [[], 0, 2])
      }
    })

    it('pages, with a cursor that goes into the next question as it is', async () => {
      const first = (await call<NodePage>('GET', '/nodes?limit=1&sort=price_desc')).body
      assert.deepEqual([first.nodes.map(({ peer }) => peer), first.total], [[OTHER], 2])
      const second = (await call<NodePage>('GET', `/nodes?limit=1&sort=price_desc&cursor=${first.cursor ?? ''}`)).body
      assert.deepEqual([second.nodes.map(({ peer }) => peer), second.cursor], [[PEER], undefined])
    })

    it('says of each node how old is what it says, and where it came from', async () => {
      const { body } = await call<NodePage>('GET', '/nodes?max_price=250000&latency_band=metro&sort=latency_desc&limit=1')
      const [other] = body.nodes
      assert.deepEqual([other?.source, other?.ageMs, other?.facts, other?.rttMs, other?.latencyBand], ['direct', 1000, { price: { source: 'gossip', ageMs: 500 } }, 5, 'metro'])
      assert.deepEqual(body.view, { at: 5, known: 2, connected: 2, adverts: { median: 1000, oldest: 1000 }, prices: { median: 500, oldest: 500 } })
    })

    const wrong: Array<[string, string, RegExp]> = [
      ['limit=x', 'limit', /expected a whole number/], ['limit=0', 'limit', /./], ['limit=', 'limit', /./], ['limit=100000', 'limit', /./], ['limit=1&limit=2', 'limit', /./],
      ['form=csv', 'form', /unknown key, see \/openapi\.json/],
      ['max_price=cheap', 'max_price', /expected a whole number of 10\^-6 units, like 250000, or units with a decimal point, like 0\.25/], ['max_price=-1', 'max_price', /expected/], ['max_price=', 'max_price', /expected/],
      ['latency_band=near', 'latency_band', /expected one of lan, metro, regional, global, far/],
      ['min_memory_gb=much', 'min_memory_gb', /expected a number, 0 or more/], ['min_memory_gb=-1', 'min_memory_gb', /./], ['gpu_hours=NaN', 'gpu_hours', /expected a number/],
      ['sort=age_up', 'sort', /expected one of peer, price, speed, latency, age, or one of them with _asc or _desc/],
      ['resource_type=%20', 'resource_type', /like CPU/], ['unit=1', 'unit', /like "credit"/], ['cursor=nonsense', 'cursor', /none that this API gave; leave it out/], ['cursor=', 'cursor', /./]
    ]
    for (const [query, field, words] of wrong) {
      it(`refuses ${query} in one line that names '${field}'`, async () => {
        for (const path of ['/nodes', '/discover']) {
          const { status, body } = await call('GET', `${path}?${query}`)
          assert.equal(status, 400)
          assert.deepEqual([body.code, body.details.field, body.details.in], ['bad-request', field, 'querystring'])
          assert.match(body.detail, words)
          assert.ok(body.detail.startsWith(`querystring '${field}': `) && !body.detail.includes('\n'), body.detail)
        }
      })
    }
  })

  it('discover, providers, capabilities and spot prices answer from the same view', async () => {
    const [discovery, providers, capabilities, prices] = await Promise.all([call<Discovery>('GET', '/discover?sort=price'), call<ProviderList>('GET', '/providers'), call<Capabilities>('GET', '/capabilities'), call<SpotPrices>('GET', '/prices/spot')])
    assert.deepEqual(discovery.body.options.map(({ node, price }) => [node, price]), [[PEER, '0'], [OTHER, '250000']])
    assert.deepEqual(providers.body.providers.map(({ operator, hosts }) => [operator, hosts]), [[OPERATOR, 2]])
    assert.equal(capabilities.body.resource_profiles.CPU?.nodes, 2)
    assert.deepEqual(prices.body.resources, [{ resource_type: 'CPU', unit: 'credit', count: 2, min: '0', median: '0', max: '250000' }])
    for (const { body } of [discovery, providers, capabilities, prices]) assert.deepEqual(body.view, { at: 5, known: 2, connected: 2, adverts: { median: 1000, oldest: 1000 }, prices: { median: 500, oldest: 500 } })
  })

  it('discover offers nobody who drains, and none of its answers grows without bound', async () => {
    node.view.nodes = [nodeView('a', { draining: true }), nodeView('b')]
    assert.deepEqual((await call<Discovery>('GET', '/discover')).body.options.map(({ node }) => node), ['b'])
    node.view.nodes = Array.from({ length: GATHERED_ROWS_MAX + 3 }, (_, index) => nodeView(`p${index}`, { operator: `did:key:z6Mk${index}` }))
    const { providers, left_out: leftOut } = (await call<ProviderList>('GET', '/providers')).body
    assert.deepEqual([providers.length, leftOut], [GATHERED_ROWS_MAX, 3])
  })

  it('discover shows the converters that were asked for, whatever their types were called', async () => {
    const { converters: [table] } = nodeView('a')
    node.view.nodes = [nodeView('a', { converters: [table!, { ...table!, id: 'text/x', to: 'text/plain' }] })]
    node.nodes = async filter => selectNodes(node.view, { ...filter, to: 'application/vnd.apache.parquet' })
    const { options } = (await call<Discovery>('GET', '/discover?to=parquet')).body
    assert.deepEqual(options.map(({ converters }) => converters.map(({ converter }) => converter)), [['table/csv-parquet']])
  })

  describe('the price of this node', () => {
    it('is changed while it runs; without a unit that stays', async () => {
      node.posted = { price: '0', unit: 'euro' }
      assert.deepEqual((await call('PUT', '/prices/posted', { price: '250000' })).body, { price: '250000', unit: 'euro' })
      assert.deepEqual((await call('PUT', '/prices/posted', { price: '5', unit: 'credit' })).body, { price: '5', unit: 'credit' })
      assert.deepEqual((await call('GET', '/prices/posted')).body, { price: '5', unit: 'credit' })
    })

    const wrong: Array<[object, string]> = [[{}, 'price'], [{ price: 5 }, 'price'], [{ price: '0.25' }, 'price'], [{ price: '-1' }, 'price'], [{ price: '007' }, 'price'], [{ price: '1'.repeat(20) }, 'price'], [{ price: '1', unit: '' }, 'unit'], [{ price: '1', per: 'h' }, 'per']]
    for (const [body, field] of wrong) {
      it(`refuses ${JSON.stringify(body)}`, async () => {
        const answer = await call('PUT', '/prices/posted', body)
        assert.deepEqual([answer.status, answer.body.details.field, node.posted], [400, field, { price: '0', unit: 'credit' }])
      })
    }
  })

  describe('peers', () => {
    it('are listed, and connected to by address or id', async () => {
      node.connections = [peerInfo(PEER)]
      assert.deepEqual((await call('GET', '/peers')).body, { peers: [peerInfo(PEER)] })
      const made = await call('POST', '/peers', { address: `/ip4/127.0.0.1/tcp/4001/p2p/${OTHER}` })
      assert.deepEqual([made.status, made.body], [200, peerInfo(OTHER)])
      assert.equal((await call('POST', '/peers', { address: OTHER })).status, 200)
    })

    it('that cannot be reached are told with the reason', async () => {
      const address = `/ip4/127.0.0.1/tcp/1/p2p/${OTHER.slice(0, -1)}E`
      const { status, body } = await call('POST', '/peers', { address })
      assert.deepEqual([status, body.code, body.detail], [502, 'not-reached', `cannot connect to ${address}: connection refused`])
    })

    for (const address of ['', 'localhost', '/ip4/127.0.0.1/tcp/4001', `/ip4/1.2.3.4/tcp/1/p2p/${OTHER} x`, `http://x/p2p/${OTHER}`, 'x'.repeat(5000)]) {
      it(`cannot be connected to at ${JSON.stringify(address.slice(0, 40))}`, async () => {
        const { status, body } = await call('POST', '/peers', { address })
        assert.deepEqual([status, body.details.field], [400, 'address'])
      })
    }

    it('are banned and let in again, by peer and by operator', async () => {
      const banned = await call('POST', '/peers/bans', { subject: OTHER, reason: 'lies' })
      assert.deepEqual([banned.status, banned.body], [201, { subject: OTHER, reason: 'lies', since: 5 }])
      assert.equal((await call('POST', '/peers/bans', { subject: STRANGER })).status, 201)
      assert.deepEqual((await call<{ bans: unknown[] }>('GET', '/peers/bans')).body.bans, [{ subject: OTHER, reason: 'lies', since: 5 }, { subject: STRANGER, reason: 'banned by the owner of this node', since: 5 }])
      assert.equal((await call('DELETE', `/peers/bans/${encodeURIComponent(STRANGER)}`)).status, 204)
      const again = await call('DELETE', `/peers/bans/${encodeURIComponent(STRANGER)}`)
      assert.deepEqual([again.status, again.body.code], [404, 'not-banned'])
      assert.deepEqual(node.banned.map(({ subject }) => subject), [OTHER])
    })

    it('this node and its operator cannot be banned', async () => {
      for (const subject of [PEER, OPERATOR]) {
        const { status, body } = await call('POST', '/peers/bans', { subject })
        assert.deepEqual([status, body.code], [400, 'usage'])
      }
      assert.deepEqual(node.banned, [])
    })

    const wrong: Array<[object, string]> = [[{}, 'subject'], [{ subject: 'n1' }, 'subject'], [{ subject: '../node.key' }, 'subject'], [{ subject: OTHER, reason: '' }, 'reason'], [{ subject: OTHER, reason: 'x'.repeat(BAN_REASON_MAX + 1) }, 'reason'], [{ subject: OTHER, until: 1 }, 'until']]
    for (const [body, field] of wrong) {
      it(`a ban of ${JSON.stringify(body).slice(0, 60)} is refused`, async () => {
        const answer = await call('POST', '/peers/bans', body)
        assert.deepEqual([answer.status, answer.body.details.field], [400, field])
      })
    }
  })

  it('doctor tells what the node found', async () => {
    node.report = { checks: [{ name: 'listen', state: 'warning', says: 'on loopback only', mend: 'set listen' }] }
    assert.deepEqual((await call('GET', '/doctor')).body, node.report)
  })
})
