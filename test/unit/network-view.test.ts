import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { isWithin } from '../../daemon/config/index.ts'
import type { ProviderView } from '../../daemon/dht-registry/index.ts'
import { createNetworkApi, isOpen, nodeViewOf, type NetworkApiComponents } from '../../daemon/network-view.ts'
import type { Ban, PeerView } from '../../daemon/network/index.ts'

const NOW = Date.UTC(2024, 0, 3, 12) // a Wednesday
const peer = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
const other = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))

function provider (changes: Partial<ProviderView> = {}, advert: Partial<ProviderView['advert']> = {}): ProviderView {
  return {
    peer: other,
    source: 'direct',
    seen: NOW - 5000,
    connected: true,
    facts: { price: { source: 'gossip', seen: NOW - 700 } },
    advert: {
      version: 1, network: 'testnet-x', peer: other.toString(), operator: 'did:key:z6MkX', delegation: new Uint8Array(), addresses: ['/ip4/127.0.0.1/tcp/1'], sequence: 1, issued: 0, expires: NOW + 1,
      resources: { cores: 4, memoryBytes: 8e9, diskBytes: 1e10, slots: 2 },
      converters: [{ id: 'table/csv-parquet', version: '1', from: 'text/csv', to: 'application/vnd.apache.parquet', bytesPerSecond: 2 ** 30 }, { id: 'x', version: '1', from: 'text/csv', to: 'text/plain', bytesPerSecond: 0 }],
      price: '3600', unit: 'credit', roles: ['worker'], draining: false, policy: { hours: [], maxLeases: 3, everyone: true },
      ...advert
    },
    ...changes
  }
}

const connection: PeerView = { peer: other.toString(), operator: 'did:key:z6MkX', agent: 'weft', roles: [], address: '/ip4/127.0.0.1/tcp/1', direction: 'inbound', since: 1, rttMs: 4.4999, band: 'metro' }

/** The network side of the API over parts that are made up. */
function api ({ views = [provider()], connect, bans = [] }: { views?: ProviderView[], connect?: NetworkApiComponents['network']['connect'], bans?: Ban[] } = {}) {
  return createNetworkApi({
    identity: { peerId: peer },
    registry: { view: () => views },
    network: { peerViews: () => [connection], bans: () => bans, ban: async () => { throw new Error('1024 are banned already') }, unban: async () => false, connect },
    executor: { slots: 8, busy: 3 },
    posted: () => ({ price: '1', unit: 'euro' }),
    setPrice: async () => {}
  } as unknown as NetworkApiComponents)
}

describe('the network, as the API shows it', () => {
  it('each fact has its age and origin', () => {
    const view = nodeViewOf(provider({ source: 'dht', facts: { price: { source: 'gossip', seen: NOW - 700 }, load: { slots: 2, busy: 1, loopDelayMs: 3, source: 'gossip', seen: NOW + 50 } } }), { at: NOW, self: false, connection })
    assert.deepEqual([view.ageMs, view.source, view.rttMs, view.latencyBand], [5000, 'dht', 4.5, 'metro'])
    assert.deepEqual(view.facts, { price: { source: 'gossip', ageMs: 700 }, load: { slots: 2, busy: 1, loopDelayMs: 3, source: 'gossip', ageMs: 0 } }, 'a clock of another node does not make an age negative')
    assert.deepEqual(view.policy, { hours: [], maxLeases: 3, everyone: true, open: true })
    assert.deepEqual(view.resourceTypes, ['CPU'])
  })

  it('this node is near itself, who is not connected is of no known distance, who converts nothing offers nothing', () => {
    const own = nodeViewOf(provider({ peer, source: 'self' }), { at: NOW, self: true, connection: undefined })
    assert.deepEqual([own.self, own.rttMs, own.latencyBand], [true, 0, 'lan'])
    const far = nodeViewOf(provider({ connected: false }, { converters: [] }), { at: NOW, self: false, connection: undefined })
    assert.deepEqual(api({ views: [provider({ peer })] }).network().nodes[0]?.facts.load, { slots: 8, busy: 3, source: 'self', ageMs: 0 })
    assert.deepEqual([far.rttMs, far.latencyBand, far.resourceTypes], [undefined, 'unknown', []])
  })

  it('prices per gibibyte are derived where a speed was measured', async () => {
    const { nodes } = await api().nodes({})
    assert.deepEqual(nodes[0]?.converters.map(({ id, pricePerGib }) => [id, pricePerGib]), [['table/csv-parquet', '1'], ['x', undefined]])
    assert.equal(api().network({ derived: true }).nodes[0]?.converters[0]?.pricePerGib, '1')
    assert.equal(api().network().nodes[0]?.converters[0]?.pricePerGib, undefined)
  })

  it('types are named as users name them; a wrong one is theirs to mend', async () => {
    assert.equal((await api().nodes({ from: 'csv', to: 'parquet' })).total, 1)
    assert.equal((await api().nodes({ to: 'ndjson' })).total, 0)
    await assert.rejects(api().nodes({ to: 'paquet' }), { status: 400, code: 'usage', message: /paquet/ })
  })

  it('a price limit is in the unit of this node unless one is given', async () => {
    assert.equal((await api().nodes({ max_price: '9999' })).total, 0)
    assert.equal((await api().nodes({ max_price: '9999', unit: 'credit' })).total, 1)
  })

  it('the hours of a policy are those of the configuration', () => {
    const week = Array.from({ length: 7 * 24 }, (_, hour) => NOW + hour * 3600_000)
    for (const [from, to] of [[0, 60], [9 * 60, 17 * 60], [6 * 1440 + 1380, 7 * 1440], [6 * 1440 + 1200, 120]] as Array<[number, number]>) {
      const span: [number, number] = [from, to <= from ? to + 7 * 1440 : to]
      for (const at of week) assert.equal(isOpen([[from, to]], at), isWithin([span], at), `${from} to ${to} at ${new Date(at).toISOString()}`)
    }
    assert.equal(isOpen([], NOW), true)
  })

  it('connecting: who was greeted, or why nobody was', async () => {
    const greeted = await api({ connect: async () => ({ peer: other }) as never }).connect('x', { signal: new AbortController().signal })
    assert.deepEqual(greeted, { ...connection, rttMs: 4.5 })
    const refused = api({ connect: async () => { throw new Error('connection refused') } })
    await assert.rejects(refused.connect('/ip4/1', { signal: new AbortController().signal }), { status: 502, code: 'not-reached', message: 'cannot connect to /ip4/1: connection refused' })
    const silent = api({ connect: async (_, { signal }) => { await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason as Error) }) }); throw new Error('unreached') } })
    const late = new AbortController()
    const dialled = silent.connect('/ip4/1', { signal: late.signal })
    late.abort(new DOMException('out of time', 'TimeoutError'))
    await assert.rejects(dialled, { status: 502, message: /it did not answer in time/ })
    const gone = api({ connect: async () => ({ peer }) as never })
    await assert.rejects(gone.connect('x', { signal: new AbortController().signal }), { status: 502, message: /closed at once/ })
  })

  it('a ban that is refused says why; bans are in the order they were made', async () => {
    await assert.rejects(api().ban('x', 'y'), { status: 409, code: 'ban-refused', message: /1024 are banned already/ })
    assert.deepEqual(api({ bans: [{ subject: 'b', reason: '', since: 2 }, { subject: 'a', reason: '', since: 1 }] }).bans().map(({ subject }) => subject), ['a', 'b'])
  })
})
