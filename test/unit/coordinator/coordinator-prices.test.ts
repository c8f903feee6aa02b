import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { WorkerSink, WorkerSource } from '../../../daemon/coordinator/index.ts'
import { result, ScriptedWorker, type Work } from './fakes.ts'
import { coordinatorSuite, copy } from './coordinator-suite.ts'

const lie: Work = async (_order, input) => result(Uint8Array.from(input, byte => byte ^ 1))

describe('coordinator/coordinator and prices', () => {
  const { start, run, leftOvers } = coordinatorSuite()

  it('a price that rises while the job runs sends the rest elsewhere; the report has what each asked last', async () => {
    let sink!: WorkerSink
    const workers: ScriptedWorker[] = []
    const on = await start(() => ({
      async workers (offer, _edge, request, given) {
        sink = given
        assert.deepEqual([request.maxPrice, offer.price, offer.unit], ['50', '0', 'credit'])
        for (const [id, price] of [['cheap', '10'], ['other', '20']] as const) {
          const worker = new ScriptedWorker(id, 1, offer, sink.events(id), async (order, input) => {
            if (id === 'cheap' && worker.received.length === 3) sink.priced?.('cheap', { price: '51', unit: 'credit' })
            return await copy(order, input, worker)
          })
          workers.push(worker)
          sink.found(worker, { asked: { price, unit: 'credit' } })
        }
        sink.settled(2)
      }
    }))
    const data = randomBytes(2_000_000)
    const report = await run(on, { inputs: [await on.file('in.bin', data)], place: 'remote', maxPrice: '50' })
    assert.equal(report.state, 'done', report.error?.message)
    assert.deepEqual(await readFile(on.path('out.copy')), data)
    assert.equal(workers[0]!.received.length, 3, 'it got nothing more')
    assert.equal(workers[0]!.cancelled.length, 0, 'it finished what it had')
    assert.deepEqual(report.workers.map(({ peer, blocks, price, unit, cost }) => [peer, blocks, price, unit, cost]), [['cheap', 3, '51', 'credit', '0'], ['other', 17, '20', 'credit', '0']])
    assert.ok(on.events.some(event => event.type === 'worker' && event.peer === 'cheap' && event.change === 'refused' && event.reason === 'price: it asks 51 microcredit per resource hour, the limit is 50'))
  })

  it('fails with no-provider where everybody asks too much, and says how many', async () => {
    const on = await start(() => ({
      async workers (_offer, _edge, _request, sink) {
        for (const peer of ['p', 'q']) sink.refused(peer, 'price', 'it asks 60 microcredit per resource hour, the limit is 50')
        sink.refused('r', 'policy', 'it is draining')
        sink.settled(0)
      }
    }))
    const report = await run(on, { inputs: [await on.file('in.bin', randomBytes(1000))], place: 'remote', maxPrice: '50' })
    assert.equal(report.error?.code, 'no-provider')
    assert.match(report.error.message, /^nobody offers this conversion for at most 50 microcredit per resource hour: 2 providers were left out for the price \(left out: p: price: it asks 60/)
    assert.deepEqual(await leftOvers('in.bin'), [])
  })

  it('a unit changed at run time holds for the jobs submitted from then on', async () => {
    const on = await start()
    let unit = 'credit'
    const offered: string[] = []
    const gate = Promise.withResolvers<void>()
    const coordinator = on.again({
      async workers (offer, _edge, _request, sink) {
        offered.push(offer.unit)
        if (offered.length === 1) await gate.promise
        sink.found(new ScriptedWorker('p', 1, offer, sink.events('p'), copy), { asked: { price: '1', unit: offer.unit } })
        sink.settled(1)
      }
    }, { priceUnit: () => unit })
    const submit = async (output: string): ReturnType<typeof coordinator.submit> => await coordinator.submit({ inputs: [await on.file(`${output}.bin`, randomBytes(10))], to: 'copy', output: on.path(output), place: 'remote', maxPrice: '5' })
    const first = await submit('first.copy')
    unit = 'euro'
    const second = await (await submit('second.copy')).done
    gate.resolve()
    const earlier = await first.done
    assert.deepEqual([earlier.state, second.state], ['done', 'done'])
    assert.deepEqual(offered.toSorted(), ['credit', 'euro'])
    assert.deepEqual([earlier.workers[0]?.unit, second.workers[0]?.unit], ['credit', 'euro'])
    await coordinator.stop()
  })

  it('work of this node costs nothing', async () => {
    const on = await start()
    const report = await run(on, { inputs: [await on.file('in.bin', randomBytes(300_000))], maxPrice: '0' })
    assert.equal(report.state, 'done', report.error?.message)
    assert.deepEqual(report.workers.map(({ peer, price, unit }) => [peer, price, unit]), [['local', '0', 'credit']])
  })
})

describe('coordinator/coordinator and operators', () => {
  const { start, run } = coordinatorSuite()

  it('a wrong result counts against all nodes of the operator, in this job and in later ones, also under a new key', async () => {
    const asked: string[] = []
    const source: WorkerSource = {
      async workers (offer, _edge, _request, sink) {
        const nodes: Array<[id: string, operator: string, work: Work]> = [['liar', 'did:bad', lie], ['brother', 'did:bad', async () => await new Promise(() => {})], ['honest', 'did:good', copy]]
        // The second time the liar has a new key.
        if (asked.length > 0) nodes.splice(0, 2, ['rotated', 'did:bad', copy])
        for (const [id, operator, work] of nodes) {
          asked.push(id)
          const why = sink.leftOut?.(id, operator)
          if (why != null) sink.refused(id, 'policy', why)
          else sink.found(new ScriptedWorker(id, 1, offer, sink.events(id), work), { operator })
        }
        sink.settled(nodes.length)
      }
    }
    const on = await start(() => source)
    const data = randomBytes(900_000)
    const inputs = [await on.file('in.bin', data)]
    const first = await run(on, { inputs, place: 'remote' })
    assert.equal(first.state, 'done', first.error?.message)
    assert.deepEqual(first.workers.map(({ peer, blocks }) => [peer, blocks]), [['liar', 0], ['brother', 0], ['honest', 9]])
    const said = on.events.flatMap(event => event.type === 'worker' && event.change === 'distrusted' ? [`${event.peer}: ${event.reason}`] : [])
    assert.equal(said.length, 2)
    assert.match(said.find(text => text.startsWith('brother')) ?? '', /another node of its operator, liar, was caught/)
    const second = await run(on, { inputs, place: 'remote', output: on.path('second.copy') })
    assert.deepEqual(asked, ['liar', 'brother', 'honest', 'rotated', 'honest'])
    assert.deepEqual(second.workers.map(({ peer }) => peer), ['honest'])
    assert.ok(on.events.some(event => event.type === 'worker' && event.job === second.job && event.peer === 'rotated' && event.change === 'refused' && event.reason?.includes('another node of its operator, liar') === true))
  })
})
