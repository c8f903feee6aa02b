import assert from 'node:assert/strict'
import { silentLog } from '../../../daemon/log.ts'
import { MESH_PEERS_WANTED, MESH_WALKS } from '../../../daemon/network/constants.ts'
import { Mesh } from '../../../daemon/network/mesh.ts'

describe('looking for more of the network', () => {
  it('walks in rounds when somebody came, again for those that came meanwhile, and then rests', async () => {
    const keys = new Set<string>()
    const walked = Promise.withResolvers<void>()
    let size = 3
    const mesh = new Mesh({
      size: () => size,
      log: silentLog,
      walk: async function * (key) {
        keys.add(Buffer.from(key).toString('hex'))
        yield key
        // Somebody new in the first round; in the second only somebody who was known.
        if (keys.size === 1) size++
        mesh.met()
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
    size++
    mesh.met()
    assert.equal(keys.size, 2 * MESH_WALKS, 'stopped')
  })

  it('looks again when half of those known were lost, and not when one was', async () => {
    let size = 8
    let walks = 0
    let round = Promise.withResolvers<void>()
    const mesh = new Mesh({
      size: () => size,
      log: silentLog,
      walk: async function * () {
        yield 1
        if (++walks % MESH_WALKS === 0) round.resolve()
      }
    })
    mesh.start()
    mesh.met()
    await round.promise
    round = Promise.withResolvers()
    size = 7
    mesh.met()
    size = 4
    mesh.met()
    await round.promise
    await mesh.stop()
    assert.equal(walks, 2 * MESH_WALKS)
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
