import assert from 'node:assert/strict'
import { QUEUE_MAX } from '../../../daemon/executor/constants.ts'
import { Slots, type SlotAnswer } from '../../../daemon/executor/slots.ts'

function released (answer: SlotAnswer): () => void {
  assert.ok(answer.ok)
  return answer.release
}

describe('slots', () => {
  it('gives out as many as there are, then in order of arrival', async () => {
    const slots = new Slots(2)
    const order: string[] = []
    const first = released(await slots.take())
    const second = released(await slots.take())
    const waiting = ['a', 'b', 'c'].map(async name => {
      const release = released(await slots.take())
      order.push(name)
      return release
    })
    assert.equal(slots.taken, 2)
    second()
    const a = await waiting[0]
    assert.deepEqual(order, ['a'])
    a?.()
    first()
    const [, b, c] = await Promise.all(waiting)
    assert.deepEqual(order, ['a', 'b', 'c'])
    assert.equal(slots.taken, 2)
    b?.()
    c?.()
    assert.equal(slots.taken, 0)
  })

  it('counts a release once', async () => {
    const slots = new Slots(1)
    const release = released(await slots.take())
    release()
    release()
    assert.equal(slots.taken, 0)
    released(await slots.take())
    assert.equal(slots.taken, 1)
  })

  it('lets a cancelled one leave the queue', async () => {
    const slots = new Slots(1)
    const release = released(await slots.take())
    const abort = new AbortController()
    const cancelled = slots.take(abort.signal)
    const next = slots.take()
    abort.abort()
    assert.deepEqual(await cancelled, { ok: false, reason: 'cancelled', message: 'cancelled while waiting for an engine' })
    release()
    assert.equal((await next).ok, true)
    const aborted = await slots.take(abort.signal)
    assert.equal(!aborted.ok && aborted.reason, 'cancelled')
  })

  it('turns away what is over the limit of the queue', async () => {
    const slots = new Slots(1)
    released(await slots.take())
    const waiting = Array.from({ length: QUEUE_MAX }, async () => await slots.take())
    const over = await slots.take()
    assert.equal(!over.ok && over.reason, 'unavailable')
    slots.close()
    for (const answer of await Promise.all(waiting)) assert.equal(!answer.ok && answer.reason, 'unavailable')
    assert.equal((await slots.take()).ok, false)
  })

  it('gives guests no more than their limit, lets others pass them, and admits them when it is raised', async () => {
    const slots = new Slots(3)
    slots.limitGuests(1)
    const first = released(await slots.take(undefined, true))
    const begun: string[] = []
    const guest = slots.take(undefined, true).then(answer => {
      begun.push('guest')
      return released(answer)
    })
    const own = released(await slots.take())
    assert.deepEqual([slots.taken, slots.waiting, begun], [2, 1, []])
    slots.limitGuests(2)
    await guest
    assert.deepEqual([slots.taken, slots.waiting], [3, 0])
    const next = slots.take(undefined, true)
    slots.limitGuests(0)
    first()
    own()
    assert.equal(slots.waiting, 1, 'a lowered limit takes nothing away, and lets nobody in')
    slots.limitGuests(3)
    released(await next)()
    ;(await guest)()
    assert.equal(slots.taken, 0)
  })
})
