import { eventually, startNode } from '../registry/node.ts'

describe('integration: members met before', () => {
  it('are found again after a restart, though every bootstrap address is gone', async () => {
    await using a = await startNode()
    await using b = await startNode({ bootstrap: [a.address] })
    await using c = await startNode({ bootstrap: [a.address] })
    const knows = (node: typeof b, other: typeof b): boolean => node.network.peers().some(({ peer }) => peer.equals(other.identity.peerId))
    await eventually('c joins', c.network.events, ['peer'], () => knows(c, a) || undefined)
    await b.network.greet(c.identity.peerId, { signal: AbortSignal.timeout(10_000) })
    await eventually('c knows b', c.network.events, ['peer'], () => knows(c, b) || undefined)
    await a.stop()
    await using again = await b.restart({ bootstrap: [] })
    await eventually('b finds c from memory', again.network.events, ['peer'], () => knows(again, c) || undefined)
  })
})
