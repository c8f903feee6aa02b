/**
 * One connection of its own to an address, as far as the first words of a libp2p node.
 *
 * Not a dial of libp2p's: even with `force` that one joins a dial to the same peer that is under way and tries its addresses too, notes the outcome
 * in the peer store, and counts against the connections of both ends. Nor a bare TCP connection: routers and proxies accept those for anybody. The
 * line with which multistream-select begins shows that a node answers; which one is not asked, because the address was the asker's own choice.
 */
import { connect } from 'node:net'
import type { Outcome } from './dialback-messages.ts'
import type { Target } from './dialback-plan.ts'

/** What both sides of a libp2p connection send first: a length and a line. */
const FIRST_WORDS = Buffer.from('\x13/multistream/1.0.0\n', 'latin1')

const NO_WAY = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'EACCES', 'EPERM', 'EINVAL'])

/** Never rejects. The socket is gone when it resolves. */
export async function probe ({ host, port }: Target, { timeoutMs, signal }: { timeoutMs: number, signal: AbortSignal }): Promise<Outcome> {
  if (signal.aborted) return { outcome: 'not-tried', reason: 'this node is stopping' }
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  const socket = connect({ host, port })
  let connected = false
  let received = Buffer.alloc(0)
  const timer = setTimeout(() => {
    resolve(connected ? { outcome: 'foreign', reason: `connected, but no libp2p node answered within ${timeoutMs} ms` } : { outcome: 'timeout', reason: `no answer within ${timeoutMs} ms` })
  }, timeoutMs)
  const onAbort = (): void => { resolve({ outcome: 'not-tried', reason: 'this node is stopping' }) }
  signal.addEventListener('abort', onAbort)
  socket.on('connect', () => {
    connected = true
    socket.write(FIRST_WORDS)
  })
  socket.on('data', chunk => {
    received = Buffer.concat([received, chunk.subarray(0, FIRST_WORDS.length - received.length)])
    if (received.compare(FIRST_WORDS, 0, received.length) !== 0) resolve({ outcome: 'foreign', reason: 'connected, but what answers there is no libp2p node' })
    else if (received.length === FIRST_WORDS.length) resolve({ outcome: 'reachable', reason: '' })
  })
  socket.on('error', (error: NodeJS.ErrnoException) => { resolve(failureOf(error, connected)) })
  socket.on('close', () => { resolve({ outcome: 'foreign', reason: 'connected, but closed before a libp2p node answered' }) })
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    socket.destroy()
  }
}

function failureOf ({ code = 'unknown' }: NodeJS.ErrnoException, connected: boolean): Outcome {
  if (connected) return { outcome: 'foreign', reason: `connected, but reset before a libp2p node answered (${code})` }
  if (code === 'ECONNREFUSED') return { outcome: 'refused', reason: 'nothing listens there, or a firewall refuses' }
  if (code === 'ETIMEDOUT') return { outcome: 'timeout', reason: 'no answer' }
  return { outcome: 'unreachable', reason: NO_WAY.has(code) ? `no way there (${code})` : `cannot be dialled (${code})` }
}
