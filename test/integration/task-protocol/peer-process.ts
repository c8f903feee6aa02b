/** A peer in a process of its own, so that it can be killed. Prints its address; what it does is its first argument. */
import { randomBytes } from 'node:crypto'
import { Transfer } from '../../../daemon/task-protocol/transfer.ts'
import { addressOf, plainNetwork, type PlainNetwork } from '../../fixtures/plain-network.ts'
import { worker } from './harness.ts'

const role = process.argv[2]

async function main (): Promise<PlainNetwork> {
  if (role === 'worker') return (await worker('tcp')).network
  const network = await plainNetwork({ transport: 'tcp' })
  await network.libp2p.handle('/test/endless/1.0.0', async (stream, connection) => {
    const transfer = new Transfer(stream, { connection })
    if (role === 'sender') {
      const chunk = randomBytes(256 << 10)
      await transfer.send((function * () { for (;;) yield chunk })())
    } else {
      await transfer.receive({ async write () {} }, { limit: Number.MAX_SAFE_INTEGER })
    }
  })
  return network
}

const network = await main()
process.send!(addressOf(network))
process.on('disconnect', () => { process.exit(0) })
