import assert from 'node:assert/strict'
import { NOTICE_EVERY_MS } from '../../../daemon/coordinator/constants.ts'
import { DistrustedPeers } from '../../../daemon/coordinator/distrusted-peers.ts'
import { Recruiter } from '../../../daemon/coordinator/recruiter.ts'
import { createWorkerSource, type WorkerSink } from '../../../daemon/coordinator/index.ts'
import { silentLog } from '../../../daemon/log.ts'
import type { JobEventIn, JobNews } from '../../../daemon/coordinator/machine-types.ts'
import type { Offer, Worker } from '../../../daemon/task-protocol/index.ts'
import { loadOrCreateIdentity, rotateNodeKey, verifyDelegation, type Identity, type IdentityDir } from '../../../daemon/trust/index.ts'
import { joined, ok, plain, Rig } from './rig.ts'

const offer: Offer = { job: 'j', converter: 'c', version: '1', parameters: {}, deadline: 0, outputBytes: 1, price: '0', unit: 'test' }

describe('coordinator/distrusted-peers', () => {
  it('keeps the first finding of each, and not more than it may', () => {
    const peers = new DistrustedPeers(2)
    const at = Date.UTC(2026, 0, 2)
    assert.equal(peers.add({ peer: 'a', job: 'j1', reason: 'row 3 differs', at }), true)
    assert.equal(peers.add({ peer: 'a', job: 'j2', reason: 'again', at }), false)
    assert.equal(peers.reason('a'), 'it gave a wrong result at 2026-01-02T00:00:00.000Z (job j1): row 3 differs')
    assert.equal(peers.reason('b'), undefined)
    peers.add({ peer: 'b', job: 'j', reason: 'x', at })
    peers.add({ peer: 'c', job: 'j', reason: 'x', at })
    assert.deepEqual(['a', 'b', 'c'].map(peer => peers.reason(peer) != null), [false, true, true])
  })

  it('counts a finding against the operator, so that a new node key does not help', () => {
    const peers = new DistrustedPeers()
    const at = Date.UTC(2026, 0, 2)
    assert.equal(peers.add({ peer: 'old', operator: 'did:o', job: 'j1', reason: 'row 3 differs', at }), true)
    assert.equal(peers.reason('new', 'did:o'), 'another node of its operator, old, gave a wrong result at 2026-01-02T00:00:00.000Z (job j1): row 3 differs')
    assert.match(peers.reason('old', 'did:o') ?? '', /^it gave/)
    assert.match(peers.reason('old') ?? '', /^it gave/, 'also where its operator is not known')
    assert.equal(peers.reason('new'), undefined)
    assert.equal(peers.reason('new', 'did:other'), undefined)
    assert.equal(peers.add({ peer: 'old', operator: 'did:o', job: 'j2', reason: 'again', at }), false)
    assert.equal(peers.add({ peer: 'new', operator: 'did:o', job: 'j2', reason: 'again', at }), true)
    // Caught before its operator was known.
    peers.add({ peer: 'x', job: 'j', reason: 'r', at })
    assert.equal(peers.add({ peer: 'x', operator: 'did:x', job: 'j', reason: 'r', at }), true)
    assert.ok(peers.reason('y', 'did:x') != null)
  })
})

describe('coordinator/distrusted-peers and rotated keys', () => {
  it('a node that rotates its key keeps its standing: what its delegation proves is the same operator', async () => {
    const files = new Map<string, Uint8Array>()
    const dir: IdentityDir = {
      readFile: async name => files.get(name),
      writeSecret: async (name, data) => { files.set(name, typeof data === 'string' ? Buffer.from(data) : data) }
    }
    const operatorOf = async ({ delegation, peerId }: Identity): Promise<string> => (await verifyDelegation(delegation, peerId, Date.now())).operator
    const before = await loadOrCreateIdentity(dir, { network: 'n' })
    const peers = new DistrustedPeers()
    peers.add({ peer: before.peerId.toString(), operator: await operatorOf(before), job: 'j', reason: 'row 3 differs', at: 0 })
    await rotateNodeKey(dir)
    const after = await loadOrCreateIdentity(dir, { network: 'n' })
    assert.notEqual(after.peerId.toString(), before.peerId.toString())
    assert.equal(peers.reason(after.peerId.toString()), undefined, 'its new key alone tells nothing')
    assert.match(peers.reason(after.peerId.toString(), await operatorOf(after)) ?? '', new RegExp(`another node of its operator, ${before.peerId.toString()}, gave a wrong result`))
  })
})

describe('coordinator/machine told of a liar by another job', () => {
  it('lets it go and compares what it did, before the output is ended', () => {
    const rig = Rig.started([5, 5], { a: 1, b: 1 })
    rig.step(ok('a', 0))
    rig.settle()
    rig.effects = []
    rig.step({ type: 'distrusted', worker: 'a', reason: 'caught elsewhere' }, { type: 'distrusted', worker: 'nobody', reason: 'x' })
    assert.deepEqual(rig.of('check').flatMap(({ results }) => results.map(plain)), [{ block: 0, attempt: 1 }])
    assert.deepEqual(rig.of('release').map(({ worker }) => worker), ['a'])
    assert.equal(rig.of('ban').length, 0, 'it is known already')
    rig.step(ok('b', 1), { type: 'inspected', block: 1, attempt: 1, units: 1 }, { type: 'committed', block: 1, attempt: 1 })
    rig.step({ type: 'merged', epoch: 0, upTo: 2 })
    assert.equal(rig.of('finish').length, 0)
    rig.step({ type: 'checked', block: 0, attempt: 1, distance: 1 })
    assert.equal(rig.of('reset-merge').length, 1)
    assert.ok(rig.step(joined('a')).some(({ type }) => type === 'release'), 'nor is it used again')
  })

  const finishing = (): Rig => {
    const rig = Rig.started([5], { a: 1 })
    rig.step(ok('a', 0))
    rig.settle()
    assert.equal(rig.of('finish').length, 1)
    rig.step({ type: 'distrusted', worker: 'a', reason: 'caught elsewhere' })
    return rig
  }

  it('also while the output is ended: nothing is renamed before the comparison', () => {
    const rig = finishing()
    rig.step({ type: 'finished' })
    assert.equal(rig.of('rename').length, 0)
    rig.step({ type: 'checked', block: 0, attempt: 1, distance: 0 })
    assert.equal(rig.of('rename').length, 1)
  })

  it('and a wrong one then fails the job', () => {
    const rig = finishing()
    rig.step({ type: 'finished' }, { type: 'checked', block: 0, attempt: 1, distance: 2, difference: 'row 3' })
    assert.equal(rig.of('rename').length, 0)
    rig.step({ type: 'aborted' })
    const [end] = rig.of('end')
    assert.equal(end?.error?.code, 'check-failed')
    assert.match(end.error.message, /row 3/)
  })
})

describe('coordinator/recruiter', () => {
  function recruit (search: (sink: WorkerSink) => void, distrusted: (peer: string, operator?: string) => string | undefined = () => undefined, clock = { now: 0 }): { recruiter: Recruiter, news: JobNews[], facts: JobEventIn[] } {
    const [news, facts]: [JobNews[], JobEventIn[]] = [[], []]
    const recruiter = new Recruiter({
      source: { workers: async (_offer, _edge, _request, sink) => { search(sink) } },
      offer,
      edge: { from: 'a', to: 'b' },
      nodes: undefined,
      distrusted,
      push: fact => { facts.push(fact) },
      now: () => clock.now,
      news: item => { news.push(item) },
      warn: () => {},
      log: silentLog,
      shelf: undefined as never,
      recipe: () => assert.fail(),
      order: () => assert.fail(),
      ownerOf: () => undefined,
      inputsUnchanged: async () => {}
    })
    recruiter.search('any')
    return { recruiter, news, facts }
  }

  it('tells a refusal once, and again only when it is another', () => {
    const clock = { now: 0 }
    const { recruiter, news } = recruit(sink => {
      for (let i = 0; i < 50; i++) sink.refused('a', 'policy', 'only for friends')
      sink.refused('b', 'busy', 'later')
      clock.now = NOTICE_EVERY_MS
      sink.refused('a', 'draining', 'it is draining')
    }, undefined, clock)
    assert.deepEqual(news.map(item => item.type === 'worker' ? `${item.peer} ${item.reason}` : ''), ['a policy: only for friends', 'b busy: later', 'a draining: it is draining'])
    assert.deepEqual(recruiter.refusals.map(({ peer, reason }) => `${peer} ${reason}`).toSorted(), ['a draining', 'b busy'])
  })

  it('does not tell every price of one that asks too much, nor every turn of one that changes its reasons', () => {
    const clock = { now: 0 }
    let sink!: WorkerSink
    const { recruiter, news } = recruit(given => { sink = given }, undefined, clock)
    for (let price = 60; price < 160; price++) {
      clock.now += NOTICE_EVERY_MS
      sink.refused('a', 'price', `it asks ${price}`)
    }
    assert.deepEqual(news.map(item => item.type === 'worker' ? item.reason : ''), ['price: it asks 60'])
    assert.deepEqual(recruiter.refusals, [{ peer: 'a', reason: 'price', message: 'it asks 159' }], 'the error of the job has the last')
    const [told, from] = [news.length, clock.now]
    for (let turn = 0; turn < 1000; turn++) {
      clock.now += 10
      sink.refused('a', turn % 2 === 0 ? 'policy' : 'price', 'as it likes')
    }
    assert.ok(news.length > told)
    assert.ok(news.length - told <= 1 + (clock.now - from) / NOTICE_EVERY_MS, `${news.length - told} in ${clock.now - from} ms`)
  })

  it('does not take a worker that was caught while it was attached', async () => {
    let closed = 0
    const worker: Worker = { id: 'liar', kind: 'remote', slots: 1, dispatch: () => assert.fail(), cancel: () => {}, close: async () => { closed++ } }
    const { recruiter, facts } = recruit(sink => {
      sink.events('liar')
      sink.found(worker)
    }, () => 'it gave a wrong result')
    assert.equal(closed, 1)
    assert.deepEqual(facts, [])
    assert.deepEqual(recruiter.refusals, [{ peer: 'liar', reason: 'policy', message: 'it gave a wrong result' }])
    await recruiter.close()
  })

  it('knows whom a finding concerns, and asks of peer and operator', async () => {
    const worker = (id: string): Worker => ({ id, kind: 'remote', slots: 1, dispatch: () => assert.fail(), cancel: () => {}, close: async () => {} })
    const asked: string[] = []
    const { recruiter, facts } = recruit(sink => {
      for (const [id, operator] of [['a1', 'did:a'], ['a2', 'did:a'], ['b', 'did:b']] as const) {
        sink.events(id)
        sink.found(worker(id), { operator, asked: { price: '7', unit: 'credit' } })
      }
      sink.events('c')
      sink.found(worker('c'))
      sink.priced?.('b', { price: '8', unit: 'credit' })
      assert.equal(sink.leftOut?.('d', 'did:d'), undefined)
    }, (peer, operator) => {
      asked.push(`${peer} ${operator}`)
      return undefined
    })
    assert.deepEqual(recruiter.concerned({ peer: 'a1', operator: 'did:a', job: 'j', reason: 'r', at: 1 }), ['a1', 'a2'])
    assert.deepEqual(recruiter.concerned({ peer: 'gone', operator: 'did:b', job: 'j', reason: 'r', at: 1 }), ['gone', 'b'])
    assert.deepEqual(recruiter.concerned({ peer: 'c', job: 'j', reason: 'r', at: 1 }), ['c'])
    assert.deepEqual(asked, ['a1 did:a', 'a2 did:a', 'b did:b', 'c undefined', 'd did:d'])
    assert.deepEqual(facts.map(fact => fact.type === 'joined' || fact.type === 'priced' ? `${fact.type} ${fact.worker} ${fact.asked?.price}` : ''), ['joined a1 7', 'joined a2 7', 'joined b 7', 'joined c undefined', 'priced b 8'])
    await recruiter.close()
  })
})

describe('coordinator/worker-source', () => {
  it('does not even ask a peer that the job leaves out', async () => {
    const refused: string[] = []
    const provider = { peer: { toString: () => 'liar' }, advert: { draining: false, converters: [{ id: 'c', version: '1', from: 'a', to: 'b' }] } }
    const source = createWorkerSource({
      registry: { events: new EventTarget() as never, find: async function * () { yield provider as never } },
      client: { attach: () => assert.fail('it was asked') },
      self: 'me',
      distrusted: () => undefined,
      log: silentLog
    })
    const stop = new AbortController()
    await source.workers(offer, { from: 'a', to: 'b' }, { place: 'remote' }, {
      events: () => assert.fail(),
      found: () => assert.fail(),
      leftOut: id => `${id} lied`,
      refused: (id, reason, message) => { refused.push(`${id} ${reason} ${message}`) },
      settled: () => { stop.abort() }
    }, { signal: stop.signal })
    assert.deepEqual(refused, ['liar policy liar lied'])
  })
})
