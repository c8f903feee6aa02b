import assert from 'node:assert/strict'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { once } from 'node:events'
import fc from 'fast-check'
import { DIALBACK_ASKED_MAX, DIALBACK_BYTES_MAX, DIALBACK_DIALLED_MAX, DIALBACK_PER_MINUTE, DIALBACK_PER_PEER_AND_MINUTE, DIALBACK_REASON_CHARS_MAX } from '../../../daemon/network/dialback-constants.ts'
import { DialbackError } from '../../../daemon/network/dialback-errors.ts'
import { decodeDialbackRequest, decodeDialbackResponse, encodeDialbackRequest, encodeDialbackResponse, OUTCOMES } from '../../../daemon/network/dialback-messages.ts'
import { admit, emptyTally, plainIp, planDialback } from '../../../daemon/network/dialback-plan.ts'
import { probe } from '../../../daemon/network/dialback-probe.ts'

const PEER = '12D3KooWRBy97UB99e3J6hiPesre1MZeuNQvfan4gBziswrRJsNK'
const OTHER = '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN'

const word = (maxLength: number): fc.Arbitrary<string> => fc.string({ maxLength, unit: 'grapheme-ascii' })
const outcome = fc.record({ outcome: fc.constantFrom(...OUTCOMES), reason: word(DIALBACK_REASON_CHARS_MAX) }, { noNullPrototype: true })
const response = fc.record({ status: fc.nat(), reason: word(DIALBACK_REASON_CHARS_MAX), observed: word(128), now: fc.integer({ min: 0, max: 8.64e15 }), outcomes: fc.array(outcome, { maxLength: DIALBACK_ASKED_MAX }) }, { noNullPrototype: true })
const ip4 = fc.ipV4().map(plainIp)
const port = fc.integer({ min: 1, max: 65_535 })

describe('network: dial-back messages', () => {
  it('decode to what was encoded, within their limit', () => {
    fc.assert(fc.property(fc.array(word(128), { maxLength: DIALBACK_ASKED_MAX }), addresses => {
      const bytes = encodeDialbackRequest({ addresses })
      assert.ok(bytes.byteLength <= DIALBACK_BYTES_MAX)
      assert.deepEqual(decodeDialbackRequest(bytes), { addresses })
    }))
    fc.assert(fc.property(response, value => {
      const bytes = encodeDialbackResponse(value)
      assert.ok(bytes.byteLength <= DIALBACK_BYTES_MAX)
      assert.deepEqual(decodeDialbackResponse(bytes), value)
    }))
  })

  it('skip fields of later versions', () => {
    const later = Uint8Array.of(0xfa, 0x01, 2, 1, 2)
    assert.deepEqual(decodeDialbackRequest(Uint8Array.of(...later, ...encodeDialbackRequest({ addresses: ['a'] }))), { addresses: ['a'] })
    const value = { status: 0, reason: '', observed: '/ip4/192.0.2.1/tcp/1', now: 5, outcomes: [] }
    assert.deepEqual(decodeDialbackResponse(Uint8Array.of(...later, ...encodeDialbackResponse(value))), value)
  })

  it('refuse what passes a limit, has no kind, or shows no time', () => {
    const value = { status: 0, reason: '', observed: '', now: 0, outcomes: [] }
    const many = <T>(item: T): T[] => new Array<T>(DIALBACK_ASKED_MAX + 1).fill(item)
    assert.throws(() => decodeDialbackRequest(encodeDialbackRequest({ addresses: many('a') })), DialbackError)
    assert.throws(() => decodeDialbackRequest(encodeDialbackRequest({ addresses: ['x'.repeat(129)] })), DialbackError)
    assert.throws(() => decodeDialbackRequest(encodeDialbackRequest({ addresses: ['a\u001b[2J'] })), DialbackError)
    assert.throws(() => decodeDialbackResponse(encodeDialbackResponse({ ...value, outcomes: many({ outcome: 'timeout' as const, reason: '' }) })), DialbackError)
    assert.throws(() => decodeDialbackResponse(new Uint8Array()), DialbackError)
    assert.throws(() => decodeDialbackResponse(Uint8Array.of(8, 0, 42, 2, 8, 99)), DialbackError)
    assert.throws(() => decodeDialbackResponse(Uint8Array.of(8, 0, 33, ...new Array<number>(8).fill(0xff))), DialbackError)
  })
})

describe('network: what is dialled back', () => {
  it('is only the IP address the request came from', () => {
    const address = fc.record({ ip: fc.oneof(ip4, fc.constant('192.0.2.7'), fc.constant('127.0.0.1')), port, peer: fc.constantFrom('', `/p2p/${PEER}`, `/p2p/${OTHER}`) })
    fc.assert(fc.property(fc.constantFrom('192.0.2.7', '127.0.0.1', '10.0.0.3'), fc.array(address, { maxLength: 16 }), (seen, addresses) => {
      const steps = planDialback(`/ip4/${seen}/tcp/50000`, PEER, addresses.map(({ ip, port, peer }) => `/ip4/${ip}/tcp/${port}${peer}`))
      assert.equal(steps.length, addresses.length)
      assert.ok(steps.filter(step => 'dial' in step).length <= DIALBACK_DIALLED_MAX)
      for (const [index, step] of steps.entries()) {
        const asked = addresses[index]!
        if ('dial' in step) assert.deepEqual([step.dial, asked.ip, asked.peer.includes(OTHER)], [{ host: seen, port: asked.port }, seen, false])
        else assert.notEqual(step.reason, '')
      }
      // Whoever asks for one address of its own gets it dialled.
      const own = addresses.find(({ ip, peer }) => ip === seen && !peer.includes(OTHER))
      assert.equal(own != null, steps.some(step => 'dial' in step))
    }))
  })

  it('is no name, no relay, no other transport, no port 0, and nothing unreadable', () => {
    const seen = '/ip4/192.0.2.7/tcp/50000'
    for (const address of ['/dns4/victim.example/tcp/1', '/ip4/192.0.2.7/udp/1/quic-v1', `/ip4/192.0.2.7/tcp/1/p2p/${OTHER}/p2p-circuit`, '/ip4/192.0.2.7/tcp/1/ws', '/ip4/192.0.2.7/tcp/0', '/ip4/192.0.2.7', '/unix/tmp', 'nonsense', '', '/ip4/192.0.2.7/tcp/99999']) {
      const [step] = planDialback(seen, PEER, [address])
      assert.ok(step != null && 'reason' in step, address)
    }
    // A peer behind a relay is seen at the relay's address, which is not its own.
    for (const observed of [`/ip4/192.0.2.9/tcp/4001/p2p/${OTHER}/p2p-circuit/p2p/${PEER}`, '/dns4/x.example/tcp/1', '/memory/x']) {
      const [step] = planDialback(observed, PEER, ['/ip4/192.0.2.9/tcp/4001'])
      assert.ok(step != null && 'reason' in step, observed)
    }
  })

  it('is the same IP address however it is spelled', () => {
    assert.equal(plainIp('::ffff:192.0.2.7'), '192.0.2.7')
    assert.equal(plainIp('::ffff:c000:207'), '192.0.2.7')
    assert.equal(plainIp('2001:DB8:0:0::1'), plainIp('2001:db8::1'))
    assert.equal(plainIp('::1'), '::1')
    assert.ok('dial' in planDialback('/ip6/::ffff:192.0.2.7/tcp/50000', PEER, ['/ip4/192.0.2.7/tcp/4001'])[0]!)
    assert.ok('dial' in planDialback('/ip6/2001:db8::1/tcp/50000', PEER, ['/ip6/2001:DB8:0::1/tcp/4001'])[0]!)
    assert.ok('reason' in planDialback('/ip6/::1/tcp/50000', PEER, ['/ip4/127.0.0.1/tcp/4001'])[0]!)
  })

  it('has a limit per peer and one for all, which pass with the minute', () => {
    const tally = emptyTally()
    for (let i = 0; i < DIALBACK_PER_PEER_AND_MINUTE; i++) assert.equal(admit(tally, 'a', 120_000 + i), undefined)
    assert.match(admit(tally, 'a', 120_100) ?? '', /per minute$/)
    for (let i = DIALBACK_PER_PEER_AND_MINUTE; i < DIALBACK_PER_MINUTE; i++) assert.equal(admit(tally, `p${i}`, 120_200), undefined)
    assert.match(admit(tally, 'late', 120_300) ?? '', /all peers/)
    assert.ok(tally.perPeer.size <= DIALBACK_PER_MINUTE)
    assert.equal(admit(tally, 'late', 180_000), undefined)
    assert.equal(tally.perPeer.size, 1)
  })
})

describe('network: one connection back', () => {
  const servers: Server[] = []
  const signal = new AbortController().signal

  async function listen (answer: (say: (text: string) => void, end: () => void) => void): Promise<number> {
    const server = createServer(socket => {
      socket.on('error', () => { /* the prober goes as soon as it knows */ })
      socket.resume()
      answer(text => { socket.write(Buffer.from(text, 'latin1')) }, () => { socket.end() })
    }).listen(0, '127.0.0.1')
    servers.push(server)
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  const outcomeAt = async (port: number, timeoutMs = 5000): Promise<string> => (await probe({ host: '127.0.0.1', port }, { timeoutMs, signal })).outcome

  afterEach(async () => {
    for (const server of servers.splice(0)) {
      server.close()
      await once(server, 'close')
    }
  })

  it('tells a node from other programs, from nobody, and from silence', async () => {
    assert.equal(await outcomeAt(await listen(say => { for (const part of ['\x13/multi', 'stream/1.0.0\n', 'more']) say(part) })), 'reachable')
    assert.equal(await outcomeAt(await listen(say => { say('SSH-2.0-x\r\n') })), 'foreign')
    assert.equal(await outcomeAt(await listen((_say, end) => { end() })), 'foreign')
    assert.equal(await outcomeAt(await listen(() => {}), 30), 'foreign')
    const gone = await listen(() => {})
    const [server] = servers.splice(-1)
    server?.close()
    await once(server as Server, 'close')
    assert.equal(await outcomeAt(gone), 'refused')
  })

  it('ends with its signal', async () => {
    const stop = new AbortController()
    const port = await listen(() => { stop.abort() })
    assert.equal((await probe({ host: '127.0.0.1', port }, { timeoutMs: 60_000, signal: stop.signal })).outcome, 'not-tried')
    assert.equal((await probe({ host: '127.0.0.1', port }, { timeoutMs: 60_000, signal: stop.signal })).outcome, 'not-tried')
  })
})
