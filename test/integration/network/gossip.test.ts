import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { GossipSub } from '@libp2p/gossipsub'
import { RPC } from '@libp2p/gossipsub/message'
import type { Connection, Stream } from '@libp2p/interface'
import { encode } from 'it-length-prefixed'
import { AbstractStreamMuxer } from '@libp2p/utils'
import { pEvent } from 'p-event'
import { GOSSIP_BURST_SECONDS, GOSSIP_BYTES_BURST, GOSSIP_FRAME_BYTES_MAX, GOSSIP_MESSAGE_BYTES_MAX, GOSSIP_MESSAGES_PER_SECOND_AND_PEER, GOSSIP_MISDEEDS_MAX, GOSSIP_TOPICS_MAX } from '../../../daemon/network/constants.ts'
import { GOSSIP_MISDEED_UNTIMELY } from '../../../daemon/network/gossip-constants.ts'
import { NetworkConfigError, SECRET_BYTES, type GossipMessage, type GossipVerdict } from '../../../daemon/network/index.ts'
import { member, NETWORK, sayHello, stranger, until, type Member } from './member.ts'

const MESHSUB = `/weft/${NETWORK}/meshsub/1.2.0`
const full = (topic: string): string => `/weft/${NETWORK}/${topic}`
const text = (data: Uint8Array): string => new TextDecoder().decode(data)
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value)

/** Subscribes and keeps what it was asked to judge. */
function listen (to: Member, topic: string, verdict: (value: string) => GossipVerdict = () => 'accept'): { heard: string[], from: string[], end: () => void } {
  const heard: string[] = []
  const from: string[] = []
  const end = to.network.gossip.subscribe(topic, (message: GossipMessage) => {
    heard.push(text(message.data))
    from.push(message.from.toString())
    return verdict(text(message.data))
  })
  return { heard, from, end }
}

async function subscribed (at: Member, topic: string, count: number): Promise<void> {
  await until(`${count} subscribers of ${topic}`, () => at.network.gossip.subscribers(topic).length >= count)
}

type Frame = Partial<Parameters<typeof RPC.encode>[0]>

function frame (rpc: Frame): Uint8Array {
  return encode.single(RPC.encode({ subscriptions: [], messages: [], ...rpc })).subarray()
}

async function meshStream (connection: Connection): Promise<Stream> {
  const stream = await connection.newStream(MESHSUB, { signal: AbortSignal.timeout(5000) })
  stream.addEventListener('message', () => { assert.fail('nothing is written on a stream that is read') })
  return stream
}

describe('integration: gossip', () => {
  it('reaches subscribers through a member between, is judged once by each, and does not come back', async () => {
    await using middle = await member()
    await using a = await member({ bootstrap: [middle.address] })
    await using b = await member({ bootstrap: [middle.address] })
    const [atA, atMiddle, atB] = [listen(a, 'prices'), listen(middle, 'prices'), listen(b, 'prices')]
    await Promise.all([subscribed(a, 'prices', 1), subscribed(b, 'prices', 1), subscribed(middle, 'prices', 2)])
    assert.equal(await a.network.gossip.publish('prices', bytes('1')), 1)
    await until('b hears', () => atB.heard.length > 0)
    assert.deepEqual([atA.heard, atMiddle.heard, atB.heard], [[], ['1'], ['1']])
    assert.deepEqual(atB.from, [middle.identity.peerId.toString()])
    assert.equal(await b.network.gossip.publish('prices', bytes('2')), 1)
    await until('a hears', () => atA.heard.length > 0)
    assert.deepEqual([atA.heard, atMiddle.heard, atB.heard], [['2'], ['1', '2'], ['1']])
  })

  for (const verdict of ['reject', 'ignore'] as const) {
    it(`does not pass on what is judged ${verdict}`, async () => {
      await using middle = await member()
      await using a = await member({ bootstrap: [middle.address] })
      await using b = await member({ bootstrap: [middle.address] })
      const [atMiddle, atB] = [listen(middle, 't', value => value === 'bad' ? verdict : 'accept'), listen(b, 't')]
      await Promise.all([subscribed(a, 't', 1), subscribed(middle, 't', 1)])
      await a.network.gossip.publish('t', bytes('bad'))
      await a.network.gossip.publish('t', bytes('good'))
      await until('b hears the good one', () => atB.heard.includes('good'))
      assert.deepEqual(atMiddle.heard, ['bad', 'good'])
      assert.deepEqual(atB.heard, ['good'])
    })
  }

  it('judges each message once where it comes over several ways', async () => {
    const nodes: Member[] = []
    try {
      for (let i = 0; i < 4; i++) nodes.push(await member({ bootstrap: nodes.map(({ address }) => address) }))
      const ears = nodes.map(node => listen(node, 't'))
      for (const node of nodes) await subscribed(node, 't', 3)
      for (const [i, node] of nodes.entries()) assert.equal(await node.network.gossip.publish('t', bytes(`from ${i}`)), 3)
      await until('all hear all', () => ears.every(({ heard }) => heard.length >= 3))
      for (const [i, { heard }] of ears.entries()) assert.deepEqual(heard.toSorted(), nodes.map((_, j) => `from ${j}`).filter((_, j) => j !== i))
    } finally {
      await Promise.all(nodes.map(async node => { await node[Symbol.asyncDispose]() }))
    }
  })

  it('is published without a subscription, and tells that nobody listens', async () => {
    await using a = await member()
    await using b = await member({ bootstrap: [a.address] })
    assert.equal(await b.network.gossip.publish('t', bytes('early')), 0)
    const { heard, end } = listen(a, 't')
    await subscribed(b, 't', 1)
    assert.equal(await b.network.gossip.publish('t', bytes('x')), 1)
    await until('a hears', () => heard.includes('x'))
    end()
    await until('b knows', () => b.network.gossip.subscribers('t').length === 0)
    assert.equal(await b.network.gossip.publish('t', bytes('y')), 0)
    assert.deepEqual(heard.filter(value => value !== 'early'), ['x'])
  })

  it('reaches who connects or subscribes a moment later', async () => {
    await using a = await member()
    await using b = await member()
    assert.equal(await a.network.gossip.publish('t', bytes('1')), 0)
    const { heard } = listen(b, 't')
    await b.network.connect(a.address, { signal: AbortSignal.timeout(5000) })
    await until('b hears', () => heard.length > 0)
    await a.network.gossip.publish('u', bytes('2'))
    const late = listen(b, 'u')
    await until('b hears the other', () => late.heard.length > 0)
    assert.deepEqual([heard, late.heard], [['1'], ['2']])
  })

  it('keeps subscriptions made before the start, over a stop and start', async () => {
    await using a = await member()
    await using b = await member()
    const { heard } = listen(b, 't')
    await b.network.stop()
    await b.network.start()
    await b.network.connect(a.address, { signal: AbortSignal.timeout(5000) })
    await subscribed(a, 't', 1)
    await a.network.gossip.publish('t', bytes('x'))
    await until('b hears', () => heard.length > 0)
  })

  it('has a limit of topics, and refuses what is too long or no topic', async () => {
    await using a = await member()
    const ends = Array.from({ length: GOSSIP_TOPICS_MAX }, (_, i) => listen(a, `t${i}`).end)
    assert.throws(() => listen(a, 'more'), { name: 'NetworkConfigError', code: 'gossip' })
    ends[0]?.()
    listen(a, 'more')
    assert.throws(() => listen(a, 'more'), /subscribed to already/)
    await assert.rejects(a.network.gossip.publish('t', new Uint8Array(GOSSIP_MESSAGE_BYTES_MAX + 1)), NetworkConfigError)
    for (const topic of ['', 'a b', 'x'.repeat(200), 'é']) await assert.rejects(a.network.gossip.publish(topic, bytes('x')), NetworkConfigError)
  })

  it('goes on when the subscriber\'s judgement fails', async () => {
    await using a = await member()
    await using b = await member({ bootstrap: [a.address] })
    const { heard } = listen(a, 't', value => { if (value === 'bug') throw new Error('a bug'); return 'accept' })
    await subscribed(b, 't', 1)
    await b.network.gossip.publish('t', bytes('bug'))
    await b.network.gossip.publish('t', bytes('x'))
    await until('a hears the next', () => heard.includes('x'))
  })

  it('opens a stream again after it was reset', async () => {
    await using a = await member()
    await using b = await member({ bootstrap: [a.address] })
    const { heard } = listen(a, 't')
    await subscribed(b, 't', 1)
    const streams = b.network.libp2p.getConnections().flatMap(({ streams }) => streams).filter(({ protocol }) => protocol === MESHSUB)
    assert.ok(streams.length > 0)
    for (const stream of streams) stream.abort(new Error('planted'))
    await until('the stream is gone', () => b.network.gossip.subscribers('t').length === 0)
    await subscribed(b, 't', 1)
    await b.network.gossip.publish('t', bytes('x'))
    await until('a hears', () => heard.length > 0)
  })

  it('serves no gossip to a stranger without the secret', async () => {
    await using a = await member({ secret: randomBytes(SECRET_BYTES) })
    const { heard } = listen(a, 't')
    await using other = await stranger()
    const { connection } = await sayHello(other, a)
    const stream = await connection.newStream(MESHSUB, { signal: AbortSignal.timeout(5000) }).catch(() => undefined)
    if (stream?.status === 'open') {
      stream.send(frame({ subscriptions: [{ subscribe: true, topic: full('t') }], messages: [{ topic: full('t'), data: bytes('x') }] }))
      if (stream.status === 'open') await pEvent(stream, 'close', { timeout: 5000 })
    }
    if (connection.status === 'open') await pEvent(connection, 'close', { timeout: 5000 })
    assert.deepEqual(heard, [])
    assert.deepEqual(a.network.gossip.subscribers('t'), [])
  })

  describe('with a hostile member', () => {
    it('drops what is too long, signed by gossipsub, or on a topic nobody has, and takes what follows', async () => {
      await using a = await member()
      const { heard } = listen(a, 't')
      await using other = await stranger()
      const stream = await meshStream((await sayHello(other, a)).connection)
      stream.send(frame({
        messages: [
          { topic: full('t'), data: new Uint8Array(GOSSIP_MESSAGE_BYTES_MAX + 1) },
          { topic: full('t'), data: bytes('signed'), signature: new Uint8Array(64) },
          { topic: full('t'), data: bytes('from'), from: new Uint8Array(10) },
          { topic: full('other'), data: bytes('not subscribed') },
          { topic: '/elsewhere/t', data: bytes('no topic of this network') },
          { topic: full('t'), data: bytes('good') }
        ]
      }))
      await until('a hears the good one', () => heard.length > 0)
      assert.deepEqual(heard, ['good'])
    })

    it('takes from an honest member what it was not admitted from before', async () => {
      await using a = await member()
      await using honest = await member({ bootstrap: [a.address] })
      await using other = await stranger()
      const asked: Array<[string, string]> = []
      const heard: string[] = []
      a.network.gossip.subscribe('t', ({ data }) => { heard.push(text(data)); return 'accept' }, {
        admit: ({ data, from }) => {
          asked.push([text(data), from.toString()])
          return from.toString() !== other.id || text(data) === 'taken'
        }
      })
      await subscribed(honest, 't', 1)
      const stream = await meshStream((await sayHello(other, a)).connection)
      stream.send(frame({ messages: [{ topic: full('t'), data: bytes('price') }, { topic: full('t'), data: bytes('taken') }, { topic: full('t'), data: bytes('taken') }] }))
      await until('it was judged', () => heard.length > 0)
      await honest.network.gossip.publish('t', bytes('price'))
      await until('the other copy is judged', () => heard.includes('price'))
      assert.deepEqual(heard, ['taken', 'price'])
      assert.deepEqual(asked, [['price', other.id], ['taken', other.id], ['price', honest.identity.peerId.toString()]], 'a duplicate in the same frame costs nothing')
    })

    it('hears ever less of who sends what is out of its time', async () => {
      await using a = await member()
      await using honest = await member({ bootstrap: [a.address] })
      const { heard } = listen(a, 't', value => value.startsWith('bad') ? 'reject' : value.startsWith('old') ? 'untimely' : 'accept')
      await subscribed(honest, 't', 1)
      await using other = await stranger()
      const stream = await meshStream((await sayHello(other, a)).connection)
      const say = (what: string, count: number): void => { for (let i = 0; i < count; i++) stream.send(frame({ messages: [{ topic: full('t'), data: bytes(`${what} ${i}`) }] })) }
      // One less than what shuts it out.
      say('bad', GOSSIP_MISDEEDS_MAX - 1)
      say('old', 200)
      await until('some are heard: clocks differ', () => heard.filter(value => value.startsWith('old')).length >= 1 / GOSSIP_MISDEED_UNTIMELY)
      await honest.network.gossip.publish('t', bytes('honest'))
      await until('a hears the honest one', () => heard.includes('honest'))
      assert.ok(heard.length < 100, `${heard.length} were judged`)
    })

    it('takes no more of who reconnects than of who stays', async () => {
      await using a = await member()
      const { heard } = listen(a, 't')
      await using other = await stranger()
      const { gossip } = a.network.libp2p.services as unknown as { gossip: GossipSub }
      const start = performance.now()
      for (let round = 0; round < 3; round++) {
        const { connection } = await sayHello(other, a)
        const stream = await meshStream(connection)
        for (let i = 0; i < 9; i++) stream.send(frame({ messages: Array.from({ length: 30 }, (_, j) => ({ topic: full('t'), data: bytes(`${round} ${i} ${j}`) })) }))
        stream.send(frame({ subscriptions: [{ subscribe: true, topic: full(`end-${round}`) }] }))
        await until('a read all of it', () => gossip.getSubscribers(full(`end-${round}`)).length > 0)
        const gone = until('it is gone', () => a.network.peers().length === 0)
        await connection.close()
        await gone
      }
      const allowed = GOSSIP_MESSAGES_PER_SECOND_AND_PEER * (GOSSIP_BURST_SECONDS + (performance.now() - start) / 1000)
      assert.ok(heard.length >= GOSSIP_MESSAGES_PER_SECOND_AND_PEER * GOSSIP_BURST_SECONDS)
      assert.ok(heard.length <= allowed, `${heard.length} were judged, ${allowed} allowed`)
    })

    it('keeps no more subscriptions of it than it may have', async () => {
      await using a = await member()
      await using other = await stranger()
      const stream = await meshStream((await sayHello(other, a)).connection)
      const topics = Array.from({ length: 3000 }, (_, i) => `many-${i}`)
      for (let i = 0; i < topics.length; i += 30) stream.send(frame({ subscriptions: topics.slice(i, i + 30).map(topic => ({ subscribe: true, topic: full(topic) })) }))
      stream.send(frame({ subscriptions: [{ subscribe: false, topic: full('many-0') }, { subscribe: true, topic: full('last') }, { subscribe: true, topic: '/elsewhere/t' }, { subscribe: true, topic: full('x'.repeat(300)) }] }))
      const { gossip } = a.network.libp2p.services as unknown as { gossip: GossipSub }
      await until('a read all of it', () => gossip.getSubscribers(full('last')).length > 0)
      const kept = topics.filter(topic => gossip.getSubscribers(full(topic)).length > 0)
      assert.equal(kept.length, GOSSIP_TOPICS_MAX - 1)
    })

    it('hears nothing more of who sends what is rejected, after reconnecting too', async () => {
      await using a = await member()
      await using honest = await member({ bootstrap: [a.address] })
      const { heard } = listen(a, 't', value => value.startsWith('bad') ? 'reject' : 'accept')
      await subscribed(honest, 't', 1)
      await using other = await stranger()
      const { connection } = await sayHello(other, a)
      const stream = await meshStream(connection)
      for (let i = 0; i < 100; i++) stream.send(frame({ messages: [{ topic: full('t'), data: bytes(`bad ${i}`) }] }))
      await until('it is heard', () => heard.length >= GOSSIP_MISDEEDS_MAX)
      await connection.close()
      const again = await meshStream((await sayHello(other, a)).connection)
      again.send(frame({ messages: [{ topic: full('t'), data: bytes('good, too late') }], subscriptions: [{ subscribe: true, topic: full('sign') }] }))
      await honest.network.gossip.publish('t', bytes('honest'))
      await until('a hears the honest one', () => heard.includes('honest'))
      assert.ok(heard.length < 40, `${heard.length} were judged`)
      assert.ok(!heard.includes('good, too late'))
    })

    it('takes a share of a flood, and what an honest member sends beside it', async () => {
      await using a = await member()
      await using honest = await member({ bootstrap: [a.address] })
      const { heard } = listen(a, 't')
      await subscribed(honest, 't', 1)
      await using other = await stranger()
      const stream = await meshStream((await sayHello(other, a)).connection)
      for (let i = 0; i < 1500; i++) stream.send(frame({ messages: [{ topic: full('t'), data: bytes(`flood ${i}`) }] }))
      await until('the flood is heard', () => heard.length > 100)
      await honest.network.gossip.publish('t', bytes('honest'))
      await until('a hears the honest one', () => heard.includes('honest'))
      assert.ok(heard.length < 1000, `${heard.length} were judged`)
    })

    for (const [what, data] of [
      ['a frame beyond the limit', encode.single(new Uint8Array(GOSSIP_FRAME_BYTES_MAX + 1)).subarray().slice(0, 10)],
      ['a length without end', new Uint8Array(100).fill(0xff)],
      ['more bytes than a neighbour may', frameOfNothing(2 * GOSSIP_BYTES_BURST)]
    ] as Array<[string, Uint8Array]>) {
      it(`resets the stream at ${what}, and serves others`, async () => {
        await using a = await member()
        await using honest = await member({ bootstrap: [a.address] })
        const { heard } = listen(a, 't')
        await subscribed(honest, 't', 1)
        await using other = await stranger()
        const { connection } = await sayHello(other, a)
        const stream = await connection.newStream(MESHSUB)
        const closed = pEvent(stream, 'close', { timeout: 5000 })
        stream.send(data)
        await closed
        await honest.network.gossip.publish('t', bytes('honest'))
        await until('a hears the honest one', () => heard.includes('honest'))
      })
    }

    it('opens streams to others while one does not answer', async () => {
      await using a = await member()
      await using other = await stranger()
      // It never hears of the streams opened to it, and so never says which protocol it speaks.
      const { safeDispatchEvent } = AbstractStreamMuxer.prototype
      other.host.addEventListener('connection:open', ({ detail }) => {
        const { muxer } = detail as unknown as { muxer: AbstractStreamMuxer }
        muxer.safeDispatchEvent = function (type, detail) { return type === 'stream' || safeDispatchEvent.call(muxer, type, detail) }
      })
      await sayHello(other, a)
      await using honest = await member({ bootstrap: [a.address] })
      const { heard } = listen(honest, 't')
      await subscribed(a, 't', 1)
      const waiting = a.network.libp2p.getConnections(other.host.peerId).flatMap(({ streams }) => streams).filter(({ direction, protocol }) => direction === 'outbound' && protocol === '')
      assert.ok(waiting.length > 0, 'the one to the other still waits')
      await a.network.gossip.publish('t', bytes('x'))
      await until('the honest one hears', () => heard.length > 0)
    })
  })
})

/** Empty frames: one byte each, and each costs a frame's least. */
function frameOfNothing (bytes: number): Uint8Array {
  return new Uint8Array(bytes / 64)
}
