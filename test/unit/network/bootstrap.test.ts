import assert from 'node:assert/strict'
import type { Connection } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { silentLog, type Log } from '../../../daemon/log.ts'
import { Bootstrap } from '../../../daemon/network/bootstrap.ts'
import type { PeerGreeted } from '../../../daemon/network/index.ts'

/** As much of a connection as a dial loop looks at. */
class FakeConnection extends EventTarget {
  status = 'open'
  end (): void {
    this.status = 'closed'
    this.dispatchEvent(new Event('close'))
  }
}

const ADDRESS = multiaddr('/ip4/127.0.0.1/tcp/1')

/** Dials that end as told; `dialled(n)` resolves at the n-th. */
function dialler (outcomes: Array<FakeConnection | Error>): { dial: () => Promise<Connection>, dialled: (count: number) => Promise<void>, count: () => number } {
  let count = 0
  const waiting: Array<[number, () => void]> = []
  return {
    dial: async () => {
      const outcome = outcomes[Math.min(count, outcomes.length - 1)]
      count++
      for (const [at, resolve] of waiting) if (count >= at) resolve()
      if (outcome instanceof Error) throw outcome
      return outcome as unknown as Connection
    },
    dialled: async at => { if (count < at) await new Promise<void>(resolve => { waiting.push([at, resolve]) }) },
    count: () => count
  }
}

const greeted = async (): Promise<PeerGreeted> => ({}) as PeerGreeted

describe('network: bootstrap', () => {
  it('dials until somebody answers, logs the failure once, and then keeps quiet', async () => {
    const logged: string[] = []
    const log: Log = { ...silentLog, info: (_fields, message) => { logged.push(message ?? '') } }
    const connection = new FakeConnection()
    const { dial, dialled, count } = dialler([new Error('refused'), new Error('refused'), connection])
    const bootstrap = new Bootstrap({ dial, greeted, log }, { addresses: [ADDRESS], random: () => 0 })
    bootstrap.start()
    await dialled(3)
    await bootstrap.stop()
    assert.equal(count(), 3)
    assert.equal(logged.length, 1)
  })

  it('dials again when the connection is lost', async () => {
    const first = new FakeConnection()
    const { dial, dialled } = dialler([first, new FakeConnection()])
    const bootstrap = new Bootstrap({ dial, greeted, log: silentLog }, { addresses: [ADDRESS], random: () => 0 })
    bootstrap.start()
    await dialled(1)
    first.end()
    await dialled(2)
    await bootstrap.stop()
  })

  it('counts a peer that does not pass hello as no answer', async () => {
    const { dial, dialled } = dialler([new FakeConnection()])
    const bootstrap = new Bootstrap({ dial, greeted: async () => { throw new Error('another network') }, log: silentLog }, { addresses: [ADDRESS], random: () => 0 })
    bootstrap.start()
    await dialled(2)
    await bootstrap.stop()
  })

  it('stops while it waits, dials or is connected', async () => {
    for (const outcome of [new Error('refused'), new FakeConnection()]) {
      const { dial, dialled } = dialler([outcome])
      const bootstrap = new Bootstrap({ dial, greeted, log: silentLog }, { addresses: [ADDRESS] })
      bootstrap.start()
      await dialled(1)
      await bootstrap.stop()
    }
    const hanging = new Bootstrap({ dial: async (_address, { signal }) => await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason) }) }), greeted, log: silentLog }, { addresses: [ADDRESS] })
    hanging.start()
    await hanging.stop()
  })
})
