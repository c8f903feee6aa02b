/** The beacon's thread: nothing but its socket, so that nothing delays it. */
import { parentPort, workerData } from 'node:worker_threads'
import { BeaconSocket, type BeaconOrder, type BeaconSocketInit } from './beacon-socket.ts'

/** To the main thread. */
export type BeaconNews = { type: 'bound', port: number } | { type: 'failed', message: string }

const port = parentPort!
const tell = (news: BeaconNews): void => { port.postMessage(news) }
const socket = new BeaconSocket(workerData as BeaconSocketInit)

function fail (error: Error): void {
  tell({ type: 'failed', message: error.message })
  socket.stop()
  port.close()
}

try {
  const bound = await socket.start(fail)
  // Orders sent meanwhile have waited in the port.
  port.on('message', (order: BeaconOrder) => {
    socket.obey(order)
    if (order.type === 'stop') port.close()
  })
  tell({ type: 'bound', port: bound })
} catch (error) {
  fail(error as Error)
}
