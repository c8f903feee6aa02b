import assert from 'node:assert/strict'
import { Beacon } from '../../../daemon/health/beacon.ts'

describe('the beacon', () => {
  it('that gets no thread is tried again later: the lease that asked for it goes on without', async () => {
    const warnings: string[] = []
    const log = { debug () {}, warn: (_: object, message: string) => { warnings.push(message) } }
    // what cannot be handed to a thread fails where a machine without threads to give fails
    const beacon = new Beacon({ addresses: [(() => {}) as never], loopDelay: { worst: () => 0 }, log })
    try {
      const link = beacon.open('somebody')
      assert.ok(link != null)
      assert.equal(warnings.length, 1)
      assert.equal(beacon.port, undefined)
      assert.equal(beacon.delay(performance.now()), Number.POSITIVE_INFINITY)
      assert.ok(beacon.open('somebody else') != null, 'which does not try at once')
      assert.equal(warnings.length, 1)
      link.close()
    } finally {
      await beacon.stop()
    }
  })
})
