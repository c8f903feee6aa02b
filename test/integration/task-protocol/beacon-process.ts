/** A worker or a requester with a beacon, in a process of its own that can be stopped, or have its main loop blocked. */
import { createLoopDelay, createMonitor } from '../../../daemon/health/index.ts'
import { addressOf, multiaddr } from '../../fixtures/plain-network.ts'
import { offerOf, orderOf, Recorder, requester, text, worker } from './harness.ts'

export type Order = { type: 'block', ms: number } | { type: 'attach', address: string }
export type News = { type: 'ready', address: string } | { type: 'unblocked' } | { type: 'attached' }

const tell = (news: News): void => { process.send!(news) }
const loopDelay = createLoopDelay()
loopDelay.start()
const monitor = createMonitor({ loopDelay }, { listen: ['/ip4/127.0.0.1/tcp/0'] })
const side = process.argv[2] === 'worker' ? await worker('tcp', { monitor }) : await requester('tcp', { monitor })

process.on('message', (order: Order) => {
  if (order.type === 'block') {
    const end = performance.now() + order.ms
    while (performance.now() < end);
    // With a turn of the loop between two blocks, as in real life.
    setImmediate(() => { tell({ type: 'unblocked' }) })
  } else {
    void attach(order.address)
  }
})
process.on('disconnect', () => { process.exit(0) })
tell({ type: 'ready', address: addressOf(side.network) })

/** Takes a lease and leaves an order on it that lasts. */
async function attach (address: string): Promise<void> {
  if (!('client' in side)) throw new Error('only a requester attaches')
  const connection = await side.network.libp2p.dial(multiaddr(address))
  const recorder = new Recorder()
  const answer = await side.client.attach(connection.remotePeer, offerOf('hold'), recorder, { signal: AbortSignal.timeout(30_000) })
  if (!answer.ok) throw new Error(answer.message)
  answer.worker.dispatch([orderOf(0, text(10))])
  await recorder.until(() => recorder.beats.some(({ active }) => active > 0))
  tell({ type: 'attached' })
}
