import assert from 'node:assert/strict'
import type { AttemptOutcome } from '../../../daemon/task-protocol/index.ts'
import type { WireOffer } from '../../../daemon/task-protocol/messages.ts'
import { RemoteWorker } from '../../../daemon/task-protocol/remote-worker.ts'

const offer: WireOffer = { offer: 1, job: 'job', converter: 'c', version: '1', parameters: new Uint8Array(0), deadline: 0, outputBytes: 1, price: '0', unit: '' }
const stored = (block: number): AttemptOutcome => ({ ok: true, block, attempt: 1, digest: new Uint8Array(32), size: 1, output: { stored: { digest: new Uint8Array(32), size: 1, path: `/${block}` } }, cpuMs: 0, wallMs: 0 })

function made (): { worker: RemoteWorker, told: number[], dropped: number[], lost: string[] } {
  const told: number[] = []
  const dropped: number[] = []
  const lost: string[] = []
  const lease = { id: 'peer', inlineBytes: () => 0, queue: () => {}, cancel: () => {}, withdraw: async () => {}, discard: ({ block }: AttemptOutcome) => { dropped.push(block) } }
  const worker = new RemoteWorker(lease, offer, new Uint8Array(32), { outcomes: outcomes => { for (const { block } of outcomes) told.push(block) }, lost: reason => { lost.push(reason) } })
  return { worker, told, dropped, lost }
}

describe('remote worker', () => {
  it('every outcome is told or dropped, once: closed with some gathered, then more', async () => {
    const { worker, told, dropped } = made()
    worker.tell([stored(0)])
    await Promise.resolve()
    worker.tell([stored(1)])
    worker.tell([stored(2)])
    const closing = worker.close()
    worker.tell([stored(3)])
    await closing
    assert.deepEqual(told, [0])
    assert.deepEqual(dropped, [1, 2, 3])
  })

  it('every outcome is told or dropped, once: lost with some gathered, then more', async () => {
    const { worker, told, dropped, lost } = made()
    worker.tell([stored(1)])
    worker.tellLost('gone')
    worker.tell([stored(2)])
    await Promise.resolve()
    assert.deepEqual(told, [1])
    assert.deepEqual(dropped, [2])
    assert.deepEqual(lost, ['gone'])
  })
})
