import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import { capabilitiesText } from '../../../cli/capabilities.ts'
import type { Client } from '../../../cli/lib/client.ts'
import { writeConfigValues } from '../../../cli/lib/config-file.ts'
import { fittedTable, widthOf } from '../../../cli/lib/fitted-table.ts'
import { freshnessText } from '../../../cli/lib/freshness.ts'
import { subjectOf } from '../../../cli/lib/known-peers.ts'
import { formatAge, formatRtt } from '../../../cli/lib/units.ts'
import { nodeTable } from '../../../cli/nodes.ts'
import { banTable, peerTable } from '../../../cli/peers.ts'
import { pricesText } from '../../../cli/prices.ts'
import type { NodeView } from '../../../daemon/gateway/index.ts'
import { capabilitiesOf } from '../../../daemon/gateway/view/capabilities.ts'
import { spotPricesOf } from '../../../daemon/gateway/view/prices.ts'
import { nodeView, OPERATOR, PEER, peerInfo } from '../gateway/fake-node.ts'

const OTHER = '12D3KooWRdRzYVDPHuUWXeR38mEqC4bWgqqzRff5YjgNGGHLsqDZ'
const lines = (text: string): string[] => stripVTControlCharacters(text).split('\n')
const longest = (text: string): number => Math.max(...lines(text).map(line => line.length))

/** Everything as long as it gets. */
const wide: NodeView[] = [
  nodeView(PEER, { self: true, price: '250000', rttMs: 0, latencyBand: 'lan', source: 'self', facts: { price: { source: 'self', ageMs: 0 } } }),
  nodeView(OTHER, {
    price: '123456789', unit: 'credit', rttMs: 123.4, ageMs: 99 * 60_000, source: 'memory', resources: { cores: 128, memoryBytes: 999e9, diskBytes: 1, slots: 128 },
    converters: [{ id: 'table/csv-parquet', version: '1', from: 'text/csv', to: 'application/vnd.apache.parquet', bytesPerSecond: 123e6, pricePerGib: '299' }],
    facts: { price: { source: 'gossip', ageMs: 99_000 }, load: { slots: 128, busy: 100, loopDelayMs: 1, source: 'gossip', ageMs: 1 } }
  }),
  nodeView('12D3KooWChqEPWRcahuAPBGkSWqjn6aRS3FKDePJnZcXeq53q7AQ', { connected: false, source: 'dht', resources: { cores: 0, memoryBytes: 0, diskBytes: 0, slots: 0 } })
]

const usual: NodeView[] = [
  wide[0] as NodeView,
  nodeView(OTHER, { price: '250000', rttMs: 1.2, ageMs: 75_000, facts: { price: { source: 'gossip', ageMs: 12_000 }, load: { slots: 16, busy: 12, loopDelayMs: 1, source: 'gossip', ageMs: 1 } } })
]

describe('the network on a terminal', () => {
  it('nodes fit 100 columns with everything, 80 with what matters', () => {
    for (const wanted of [false, true]) {
      const full = nodeTable(usual, { width: 100, wanted })
      assert.ok(longest(full) <= 100, full)
      assert.match(lines(full)[0] ?? '', /^PEER +STATE +LATENCY +BUSY +MEMORY +PRICE\/H +(CONVERTS|SPEED) +ADVERT +PRICED$/)
      for (const width of [80, 100]) {
        const text = nodeTable(wide, { width, wanted })
        assert.ok(longest(text) <= width, text)
        assert.match(lines(text)[0] ?? '', /^PEER +STATE +LATENCY +BUSY +(MEMORY +)?PRICE\/H +.*ADVERT/)
      }
    }
  })

  it('nodes: short ids, and how old is what is known', () => {
    const [, self, other, stranger] = lines(nodeTable(wide, { width: 120 }))
    assert.match(self ?? '', /^…Xb3pVb7H +this node +- +\?\/4 +8\.0 GB +0\.25 credit +1 +- +-$/)
    assert.match(other ?? '', /^…GGHLsqDZ +connected +123 ms +100\/128 +999 GB +123\.456789 credit +1 +99 min memory +99 s gossip$/)
    assert.match(stranger ?? '', /^…eq53q7AQ +known +- +- +- +free +1 +1 s dht +0 s gossip$/)
    assert.match(lines(nodeTable(wide, { width: 200, long: true }))[1] ?? '', new RegExp(`^${PEER} `))
    const asked = lines(nodeTable(wide.map((node, index) => ({ ...node, speed: index * 123e6 })), { width: 120, wanted: true }))
    assert.match(asked[1] ?? '', /0\.25 credit +- +- +-$/)
    assert.match(asked[2] ?? '', /123 MB\/s/)
  })

  it('nodes: who takes no work is seen', () => {
    const states = [nodeView('a', { draining: true }), nodeView('b', { policy: { hours: [[0, 1]], maxLeases: 1, everyone: true, open: false } }), nodeView('c')]
    assert.deepEqual(lines(nodeTable(states, { width: 100 })).slice(1).map(line => line.split(/ +/)[1]), ['draining', 'closed', 'connected'])
  })

  it('what other nodes say moves no cursor', () => {
    const text = nodeTable([nodeView('a', { price: '1', unit: '\u001b[2Jx\n' })], { width: 100 })
    assert.equal(lines(text).length, 2)
    assert.ok(text.includes('µ\\x1b[2Jx\\n'))
  })

  it('prices and capabilities fit 80 columns', () => {
    const view = { at: 1, unit: 'credit', nodes: wide }
    const prices = pricesText(spotPricesOf(view), 80)
    assert.ok(longest(prices) <= 80, prices)
    assert.match(prices, /CPU +3 +free +0\.25 credit +123\.456789 credit/)
    assert.match(prices, /table\/csv-parquet +3 +free +0\.25 credit.* 299 µcredit/)
    const capabilities = capabilitiesText(capabilitiesOf(view), 80)
    assert.ok(longest(capabilities) <= 80, capabilities)
    assert.match(capabilities, /^CPU: 3 nodes, 132 cores, 132 slots, 1\.0 TB memory; median price 0\.25 credit\/hr\n/)
    assert.match(capabilities, /table\/csv-parquet +3 +1 +123 MB\/s +123 MB\/s +123 MB\/s +-$/m)
  })

  it('peers and bans fit 80 columns; bans in full', () => {
    const peers = peerTable([peerInfo(OTHER, { since: 0, address: `/ip4/192.168.100.100/tcp/65535/p2p/${OTHER}`, agent: 'weft/10.20.30', direction: 'inbound' }), peerInfo(PEER)], { now: 7200_000, width: 80 })
    assert.ok(longest(peers) <= 80, peers)
    assert.match(peers, /…GGHLsqDZ +…XLt9DoHd +0\.4 ms +2 h +\/ip4\/192\.168\.100\.100\/tcp\/65535$/m)
    const bans = banTable([{ subject: OPERATOR, reason: 'wrong results '.repeat(8), since: 0 }], 60_000, 80)
    assert.ok(longest(bans) <= 80 && bans.includes(OPERATOR), bans)
  })

  it('tables leave out what matters least, then cut, and never lose a row', () => {
    const text = fc.string({ unit: 'grapheme-ascii', maxLength: 40 })
    fc.assert(fc.property(fc.array(fc.tuple(text, text, text), { maxLength: 5 }), fc.integer({ min: 40, max: 140 }), (rows, width) => {
      const columns = [0, 1, 2].map(index => ({ title: `COLUMN${index}`, cell: (row: [string, string, string]) => row[index] as string, right: index === 1, ...(index > 0 ? { spare: index } : {}) }))
      const made = fittedTable(columns, rows, width)
      assert.equal(lines(made).length, rows.length + 1)
      assert.ok(longest(made) <= width, made)
      assert.ok(made.includes('COLUMN0'))
    }))
  })

  it('what is copied from a table is whole, however narrow', () => {
    assert.ok(nodeTable(wide, { long: true, width: 40 }).includes(`${PEER} `))
    assert.ok(peerTable([peerInfo(OTHER)], { long: true, now: 1, width: 40 }).includes(` ${OPERATOR} `))
    assert.ok(banTable([{ subject: OPERATOR, reason: 'x', since: 1 }], 1, 40).includes(`${OPERATOR} `))
  })

  it('without a terminal a table is as wide as usual', () => {
    assert.equal(widthOf({ isTTY: false, columns: 300 } as unknown as NodeJS.WriteStream), 100)
    assert.equal(widthOf({ isTTY: true, columns: 0 } as unknown as NodeJS.WriteStream), 100)
    assert.equal(widthOf({ isTTY: true, columns: 120 } as unknown as NodeJS.WriteStream), 120)
  })

  it('ages and round trips', () => {
    assert.deepEqual([0, 999, 99_999, 100_000, 5_999_000, 6_000_000, 172_799_000, 172_800_000].map(formatAge), ['0 s', '0 s', '99 s', '1 min', '99 min', '1 h', '47 h', '2 d'])
    assert.deepEqual([undefined, 0.04, 9.94, 9.96, 250].map(formatRtt), ['-', '0.0 ms', '9.9 ms', '10 ms', '250 ms'])
    assert.equal(freshnessText({ at: 1, known: 20, connected: 19, adverts: { median: 60_000, oldest: 90_000 }, prices: { median: 3000, oldest: 12_000 } }, 'prices'), '20 nodes known, 19 connected; prices of others: 3 s old in the middle, 12 s at most')
    assert.equal(freshnessText({ at: 1, known: 1, connected: 1 }, 'adverts'), '1 node known, 1 connected')
  })
})

describe('peers as people name them', () => {
  const client = { peers: async () => [peerInfo(OTHER)], nodes: async () => ({ nodes: [nodeView(OTHER), nodeView(PEER)] }), bans: async () => [{ subject: OPERATOR, reason: '', since: 1 }] } as unknown as Client
  it('whole ids are taken as they are, ends are found among those known', async () => {
    assert.equal(await subjectOf(client, '12D3KooWF66GbBgscZgKdyyH2RF9wjzcQqGfJ3rVbTpWLgx1N1vv', 'known'), '12D3KooWF66GbBgscZgKdyyH2RF9wjzcQqGfJ3rVbTpWLgx1N1vv')
    assert.equal(await subjectOf(client, '…GGHLsqDZ', 'known'), OTHER)
    assert.equal(await subjectOf(client, 'pVb7H', 'known'), PEER)
    assert.equal(await subjectOf(client, OPERATOR.slice(-6), 'known'), OPERATOR)
    assert.equal(await subjectOf(client, OPERATOR.slice(-6), 'banned'), OPERATOR)
  })
  it('nobody, and several, are told apart', async () => {
    const several = { ...client, bans: async () => [{ subject: 'xAB' }, { subject: 'yAB' }] } as unknown as Client
    await assert.rejects(subjectOf(client, 'nobody', 'known'), { code: 'usage', message: /'nobody' is no peer id, and no end of a known one: see weft nodes --long/ })
    await assert.rejects(subjectOf(client, '', 'known'), { code: 'usage' })
    await assert.rejects(subjectOf(client, 'n1', 'banned'), { message: /see weft peers bans/ })
    await assert.rejects(subjectOf(several, 'AB', 'banned'), { message: /'AB' is the end of 2 ids: give more of it/ })
  })
})

describe('values written to the configuration file', () => {
  let folder: string
  before(async () => { folder = await mkdtemp(join(tmpdir(), 'weft-config-file-')) })
  after(async () => { await rm(folder, { recursive: true }) })
  const read = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, 'utf8'))

  it('leave the rest alone, and make what is not there', async () => {
    const path = join(folder, 'deep', 'config.json')
    await writeConfigValues(path, { 'prices.perHour': '250000', network: 'lab' })
    await writeConfigValues(path, { 'prices.unit': 'euro' })
    assert.deepEqual(await read(path), { prices: { perHour: '250000', unit: 'euro' }, network: 'lab' })
    assert.equal((await stat(path)).mode & 0o777, 0o600)
  })

  it('are written together or not at all', async () => {
    const path = join(folder, 'config.json')
    await writeConfigValues(path, { 'prices.perHour': '1' })
    await assert.rejects(writeConfigValues(path, { 'prices.perHour': '2', 'prices.unit': '???' }), { name: 'ConfigError', message: /prices\.unit/ })
    assert.deepEqual(await read(path), { prices: { perHour: '1' } })
    await writeFile(path, '{ broken')
    await assert.rejects(writeConfigValues(path, { 'prices.perHour': '2' }), { code: 'usage', message: /config\.json is not valid JSON; mend it first/ })
  })
})
