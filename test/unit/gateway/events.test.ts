import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import type { JobEvent } from '../../../daemon/coordinator/index.ts'
import { EVENT_CLIENTS_MAX, EVENT_CLIENT_BYTES_MAX, EVENT_REPLAY_MAX } from '../../../daemon/gateway/constants.ts'
import { EventStream } from '../../../daemon/gateway/event-stream.ts'
import { createGateway } from '../../../daemon/gateway/gateway.ts'
import { silentLog } from '../../../daemon/log.ts'
import { FakeNode } from './fake-node.ts'

const TOKEN = 'token'
const state = (job: string, to: 'running' | 'done' = 'running'): JobEvent => ({ type: 'state', job, at: 1, state: to })
const block = (job: string, number: number): JobEvent => ({ type: 'block', job, at: 1, block: number, attempt: 1, peer: 'p', change: 'done' })
const tick = async (): Promise<void> => { await new Promise(resolve => setImmediate(resolve)) }

const unsubscribed = (_event: JobEvent): void => { assert.fail('not subscribed') }

/** Reads from a stream of events until `count` have come. */
async function read (body: AsyncIterable<Uint8Array | string>, count: number): Promise<Array<{ id: number, event: JobEvent }>> {
  let text = ''
  const found = []
  const decoder = new TextDecoder()
  for await (const chunk of body) {
    text += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const part = text.slice(0, end)
      text = text.slice(end + 2)
      const id = /^id: (\d+)$/m.exec(part)?.[1]
      const data = /^data: (.*)$/m.exec(part)?.[1]
      if (id != null && data != null) found.push({ id: Number(id), event: JSON.parse(data) as JobEvent })
    }
    if (found.length >= count) return found
  }
  return found
}

describe('events', () => {
  describe('over HTTP', () => {
    let node: FakeNode
    let gateway: ReturnType<typeof createGateway>

    beforeEach(async () => {
      node = new FakeNode()
      gateway = createGateway({ node, log: silentLog }, { host: '127.0.0.1', port: 0, token: TOKEN, roots: [] })
      await gateway.start()
    })

    afterEach(async () => { await gateway.stop() })

    const follow = async (query = '', headers: Record<string, string> = {}): Promise<Response> =>
      await fetch(`${gateway.url}/events${query}`, { headers: { authorization: `Bearer ${TOKEN}`, ...headers } })

    it('sends events as they happen, filtered, and continues after Last-Event-ID', async () => {
      const first = await follow('?types=state')
      assert.equal(first.headers.get('content-type'), 'text/event-stream')
      const ofA = await follow('?job=a')
      node.emit(state('a'))
      node.emit(block('b', 1))
      node.emit(state('b'))
      node.emit(block('a', 1))
      assert.deepEqual((await read(first.body as ReadableStream<Uint8Array>, 2)).map(({ event }) => event), [state('a'), state('b')])
      const seen = await read(ofA.body as ReadableStream<Uint8Array>, 2)
      assert.deepEqual(seen.map(({ event }) => event), [state('a'), block('a', 1)])
      const again = await follow('', { 'last-event-id': String(seen[0]?.id) })
      assert.deepEqual((await read(again.body as ReadableStream<Uint8Array>, 3)).map(({ id }) => id), [2, 3, 4])
    })

    it('refuses an unknown type by name', async () => {
      const response = await follow('?types=state,odd')
      assert.equal(response.status, 400)
      assert.match((await response.json() as { detail: string }).detail, /odd/)
    })

    it('ends when the gateway stops', async () => {
      const response = await follow()
      const reading = read(response.body as ReadableStream<Uint8Array>, 1)
      await gateway.stop()
      assert.deepEqual(await reading, [])
    })
  })

  it('a follower that does not read is dropped at its limit, others are not', async () => {
    let listener = unsubscribed
    const stream = new EventStream(given => { listener = given; return () => {} })
    const slow = new PassThrough()
    const quick = new PassThrough()
    quick.resume()
    stream.follow({ sink: slow })
    stream.follow({ sink: quick })
    const long = 'x'.repeat(10_000)
    for (let sent = 0; sent < 2 * EVENT_CLIENT_BYTES_MAX; sent += long.length) {
      listener({ type: 'plan', job: 'a', at: 1, message: long })
      await tick()
    }
    assert.equal(slow.destroyed, true)
    assert.equal(quick.destroyed, false)
    assert.equal(stream.size, 1)
    stream.close()
  })

  it('holds a bounded past and a bounded number of followers', async () => {
    let listener = unsubscribed
    const stream = new EventStream(given => { listener = given; return () => {} })
    const sinks = Array.from({ length: EVENT_CLIENTS_MAX - 1 }, () => new PassThrough())
    for (const sink of sinks) stream.follow({ sink, types: new Set(['state']) })
    for (let i = 0; i < EVENT_REPLAY_MAX + 100; i++) listener(block('a', i))
    await tick()
    const late = new PassThrough()
    stream.follow({ sink: late, lastId: 0 })
    assert.throws(() => { stream.follow({ sink: new PassThrough() }) }, { code: 'too-many-followers', status: 429 })
    stream.close()
    const replayed = await read(late, EVENT_REPLAY_MAX + 100)
    assert.equal(replayed.length, EVENT_REPLAY_MAX)
    assert.equal(replayed.at(-1)?.id, EVENT_REPLAY_MAX + 100)
  })

  it('does not listen to the node before somebody follows, and stops when it is closed', () => {
    let subscribed = 0
    const stream = new EventStream(() => { subscribed++; return () => { subscribed-- } })
    assert.equal(subscribed, 0)
    stream.follow({ sink: new PassThrough() })
    stream.follow({ sink: new PassThrough() })
    assert.equal(subscribed, 1)
    stream.close()
    assert.equal(subscribed, 0)
  })
})
