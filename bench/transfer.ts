/**
 * Bulk bytes between two processes through the transfer module (TLS, Yamux, credits, sha2-256 at both ends), paired with
 * a bare TCP socket in the same run. Both end when the receiver has said that it has everything.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { Transfer } from '../daemon/task-protocol/transfer.ts'
import { addressOf, multiaddr, plainNetwork, type PlainNetwork } from '../test/fixtures/plain-network.ts'
import { figure, type BenchOptions, type Figure } from './figure.ts'

const BYTES = 512 << 20
/** Bytes that are sent over and over: larger than any cache of the processor. */
const SOURCE_BYTES = 64 << 20
/** Bytes per write of the bare socket: the size at which it is fastest here. */
const RAW_CHUNK_BYTES = 1 << 20
const PROTOCOL = '/weft-bench/transfer/1.0.0'
const RECEIVER = 'transfer-receiver'

interface Addresses { libp2p: string, tcp: number }

/** The receiving process. */
async function receive (): Promise<void> {
  const network = await plainNetwork({ transport: 'tcp' })
  await network.libp2p.handle(PROTOCOL, async (stream, connection) => {
    const transfer = new Transfer(stream, { connection })
    const { total } = await transfer.receive({ async write () {}, async writev () {} }, { limit: BYTES })
    transfer.sendMessage(Buffer.from(String(total)))
    await transfer.close()
  })
  const server = createServer(socket => {
    let received = 0
    socket.on('data', chunk => {
      received += chunk.length
      if (received === BYTES) socket.end('done')
    })
    socket.on('error', () => { socket.destroy() })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.on('disconnect', () => { process.exit(0) })
  process.send!({ libp2p: addressOf(network), tcp: (server.address() as AddressInfo).port } satisfies Addresses)
}

function * pieces (source: Uint8Array, size: number): Generator<Uint8Array> {
  for (let sent = 0; sent < BYTES; sent += size) {
    const at = sent % source.length
    yield source.subarray(at, at + size)
  }
}

/** Seconds for all of it over libp2p. */
async function overTransfer (network: PlainNetwork, address: string, source: Uint8Array): Promise<number> {
  const connection = await network.libp2p.dial(multiaddr(address))
  const started = performance.now()
  const transfer = new Transfer(await connection.newStream(PROTOCOL), { connection })
  await transfer.send(pieces(source, 256 << 10))
  const total = Number(Buffer.from(await transfer.readMessage()).toString())
  if (total !== BYTES) throw new Error(`${total} bytes arrived`)
  const seconds = (performance.now() - started) / 1000
  await transfer.close()
  return seconds
}

/** Seconds for all of it over a bare socket, without a digest. */
async function overTcp (port: number, source: Uint8Array): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.setNoDelay(true)
  const started = performance.now()
  const done = once(socket, 'data')
  for (const piece of pieces(source, RAW_CHUNK_BYTES)) if (!socket.write(piece)) await once(socket, 'drain')
  await done
  const seconds = (performance.now() - started) / 1000
  socket.end()
  return seconds
}

export async function run ({ runs, log }: BenchOptions): Promise<Record<string, Figure>> {
  const child: ChildProcess = fork(import.meta.filename, [RECEIVER])
  const network = await plainNetwork({ transport: 'tcp' })
  try {
    const [addresses] = await once(child, 'message') as [Addresses]
    const source = randomBytes(SOURCE_BYTES)
    const ours: number[] = []
    const raw: number[] = []
    const ratios: number[] = []
    for (let i = 0; i <= runs; i++) {
      const bare = BYTES / 1e6 / await overTcp(addresses.tcp, source)
      const mine = BYTES / 1e6 / await overTransfer(network, addresses.libp2p, source)
      log(`${i === 0 ? 'warm-up' : `run ${i}`}: ${Math.round(mine)} MB/s, bare TCP ${Math.round(bare)} MB/s, ratio ${(mine / bare).toFixed(3)}`)
      if (i === 0) continue
      ours.push(mine)
      raw.push(bare)
      ratios.push(mine / bare)
    }
    return { ratio_to_raw_tcp: figure(ratios, '1', raw), megabytes_per_second: figure(ours, 'MB/s', raw) }
  } finally {
    child.disconnect()
    await network.stop()
  }
}

if (process.argv[2] === RECEIVER) await receive()
