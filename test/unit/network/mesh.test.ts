import assert from 'node:assert/strict'
import { silentLog } from '../../../daemon/log.ts'
import { MESH_PEERS_WANTED, MESH_WALKS } from '../../../daemon/network/constants.ts'
import { Mesh } from '../../../daemon/network/mesh.ts'

describe('looking for more of the network', () => {
  it('walks in rounds when somebody came, again for those that came meanwhile, and then rests', async () => {
    const keys = new Set<string>()
    const walked = Promise.withResolvers<void>()
    const mesh = new Mesh({
      size: () => 3,
      log: silentLog,
      walk: async function * (key) {
        keys.add(Buffer.from(key).toString('hex'))
        yield key
        if (keys.size === 1) mesh.met()
        if (keys.size === 2 * MESH_WALKS) walked.resolve()
        if (keys.size % 2 === 0) throw new Error('a walk that fails is no end')
      }
    })
    mesh.start()
    mesh.met()
    mesh.met()
    await walked.promise
    await mesh.stop()
    assert.equal(keys.size, 2 * MESH_WALKS)
    mesh.met()
    assert.equal(keys.size, 2 * MESH_WALKS, 'stopped')
  })

  it('leaves it at that where enough are known, and stops in the middle of a walk', async () => {
    let size = MESH_PEERS_WANTED + 1
    const under = Promise.withResolvers<void>()
    const mesh = new Mesh({
      size: () => size,
      log: silentLog,
      walk: async function * (_key, { signal }) {
        assert.ok(size <= MESH_PEERS_WANTED)
        under.resolve()
        await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason as Error) }) })
        yield 1
      }
    })
    mesh.start()
    mesh.met()
    size = 1
    mesh.met()
    await under.promise
    await mesh.stop()
  })
})
