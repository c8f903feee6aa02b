import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { Announcements } from '../../daemon/announcements.ts'
import { configSchema } from '../../daemon/config/schema.ts'
import { silentLog } from '../../daemon/log.ts'

describe('what a node tells of itself', () => {
  it('is told again until it was heard: a node that takes work again is not left alone', async () => {
    const told: boolean[] = []
    let [draining, full] = [false, false]
    const registry = {
      publish: async (content: { draining?: boolean }) => {
        if (full) throw new Error('no space left on device')
        told.push(content.draining === true)
      }
    }
    const executor = { guests: { slots: 1, paused: false }, slots: 1, busy: 0, throughput: () => 0 }
    const announcements = new Announcements(
      { registry, gossip: { publish () {} }, executor: executor as never, loopDelay: { worst: () => 0 } as never, dir: { path: tmpdir(), db: undefined as never }, log: silentLog },
      { config: configSchema.parse({}), works: true, draining: () => draining }
    )
    await announcements.tell()
    draining = true
    await announcements.tell()
    draining = false
    full = true
    await assert.rejects(announcements.tell(), /no space/)
    full = false
    await announcements.refresh()
    await announcements.refresh()
    assert.deepEqual(told, [false, true, false])
  })
})
