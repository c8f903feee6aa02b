/** Faults of links on real sockets: nothing arrives and nobody is told, or late, or slowly; and all of it once the link is sound again. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Socket } from 'node:net'
import type { Connection, Stream } from '@libp2p/interface'
import pino from 'pino'
import { LINKS_APPLIED_FILE, LINKS_FILE, type LinkFault } from '../../../daemon/link-faults.ts'
import { createLinks, type Links } from '../../../daemon/network/index.ts'
import { prng } from '../../fixtures/csv.ts'
import { plainNetwork, streamPair, type PlainNetwork } from '../../fixtures/plain-network.ts'

const log = pino({ level: 'silent' })

class Side {
  readonly folder: string
  readonly network: PlainNetwork
  readonly links: Links
  #version = 0

  private constructor (folder: string, network: PlainNetwork, links: Links) {
    this.folder = folder
    this.network = network
    this.links = links
  }

  static async make (seed: number): Promise<Side> {
    const folder = await mkdtemp(join(tmpdir(), 'weft-links-'))
    const network = await plainNetwork({ transport: 'tcp' })
    const links = createLinks({ folder, log, random: prng(seed) })
    links.govern(network.libp2p)
    await links.start()
    return new Side(folder, network, links)
  }

  /** As the test network's command does it. */
  async set (other: Side, fault: LinkFault): Promise<void> {
    const version = ++this.#version
    const file = join(this.folder, LINKS_FILE)
    await writeFile(`${file}.new`, JSON.stringify({ version, peers: { [other.network.identity.peerId.toString()]: fault } }))
    await rename(`${file}.new`, file)
    while (await readFile(join(this.folder, LINKS_APPLIED_FILE), 'utf8') !== String(version)) await tick()
  }

  async remove (): Promise<void> {
    await this.links.stop()
    await this.network.stop()
    await rm(this.folder, { recursive: true })
  }
}

const tick = async (): Promise<void> => { await new Promise(resolve => setTimeout(resolve, 5)) }
const until = async (what: () => boolean): Promise<void> => { while (!what()) await tick() }

/** What has arrived so far. */
function collect (stream: Stream): { bytes: () => Buffer } {
  const chunks: Uint8Array[] = []
  stream.addEventListener('message', ({ data }) => { chunks.push(data instanceof Uint8Array ? data : data.subarray()) })
  return { bytes: () => Buffer.concat(chunks) }
}

const socketOf = (connection: Connection): Socket => (connection as unknown as { maConn: { socket: Socket } }).maConn.socket

describe('links of a test network', function () {
  this.timeout(30_000)
  let here: Side
  let there: Side
  let pair: Awaited<ReturnType<typeof streamPair>>

  beforeEach(async () => {
    here = await Side.make(1)
    there = await Side.make(2)
    pair = await streamPair(here.network, there.network)
  })

  afterEach(async () => {
    await here.remove()
    await there.remove()
  })

  const both = async (fault: LinkFault): Promise<void> => {
    await here.set(there, fault)
    await there.set(here, fault)
  }

  it('installs nothing where nothing is wrong, and nothing stays behind', async () => {
    const connection = (pair.connection as unknown as { maConn: object }).maConn
    const names = Object.getOwnPropertyNames(connection)
    assert.ok('sendData' in connection && 'sendClose' in connection && 'sendResume' in connection && 'socket' in connection)
    const listeners = socketOf(pair.connection).eventNames().map(name => [name, socketOf(pair.connection).listenerCount(name)])
    await both({ blockIn: true, blockOut: true, delayMs: 10 })
    assert.notDeepEqual(Object.getOwnPropertyNames(connection), names)
    await both({})
    assert.deepEqual(Object.getOwnPropertyNames(connection), names)
    assert.deepEqual(socketOf(pair.connection).eventNames().map(name => [name, socketOf(pair.connection).listenerCount(name)]), listeners)
  })

  it('a black hole: nothing arrives, nothing is closed; afterwards everything, in order', async () => {
    const [arrived, answered] = [collect(pair.inbound), collect(pair.outbound)]
    pair.outbound.send(Buffer.from('before '))
    await until(() => arrived.bytes().toString() === 'before ')
    await both({ blockIn: true, blockOut: true })
    const sent = socketOf(pair.connection).bytesWritten
    for (const word of ['one ', 'two ', 'three']) pair.outbound.send(Buffer.from(word))
    pair.inbound.send(Buffer.from('answer'))
    for (let i = 0; i < 20; i++) await tick()
    assert.equal(socketOf(pair.connection).bytesWritten, sent)
    assert.equal(arrived.bytes().toString(), 'before ')
    assert.equal(answered.bytes().length, 0)
    assert.deepEqual([pair.connection.status, pair.remote.status], ['open', 'open'])
    await both({})
    await until(() => arrived.bytes().toString() === 'before one two three' && answered.bytes().toString() === 'answer')
  })

  it('one way: what the other says still arrives', async () => {
    const [arrived, answered] = [collect(pair.inbound), collect(pair.outbound)]
    await here.set(there, { blockOut: true })
    await there.set(here, { blockIn: true })
    pair.outbound.send(Buffer.from('lost'))
    pair.inbound.send(Buffer.from('heard'))
    await until(() => answered.bytes().toString() === 'heard')
    assert.equal(arrived.bytes().length, 0)
    await both({})
    await until(() => arrived.bytes().toString() === 'lost')
  })

  it('that the peer is gone is not seen through a black hole, and is afterwards', async () => {
    await both({ blockIn: true, blockOut: true })
    pair.remote.abort(new Error('gone'))
    const { port } = socketOf(pair.connection).address() as { port: number }
    assert.ok(port > 0)
    for (let i = 0; i < 20; i++) await tick()
    assert.equal(pair.connection.status, 'open')
    await both({})
    await until(() => pair.connection.status !== 'open')
  })

  it('a delay: an answer takes at least twice as long, and a late connection closes in good order', async () => {
    pair.inbound.addEventListener('message', ({ data }) => { if (pair.inbound.writeStatus === 'writable') pair.inbound.send(data) })
    const answered = collect(pair.outbound)
    await both({ delayMs: 50 })
    const began = performance.now()
    pair.outbound.send(Buffer.from('echo'))
    await until(() => answered.bytes().toString() === 'echo')
    assert.ok(performance.now() - began >= 100)
    pair.outbound.send(Buffer.from('last'))
    await pair.connection.close({ signal: AbortSignal.timeout(5000) })
    await until(() => pair.remote.status === 'closed')
  })

  it('a rate is kept', async () => {
    const arrived = collect(pair.inbound)
    await here.set(there, { bytesPerSecond: 1_000_000 })
    const began = performance.now()
    pair.outbound.send(Buffer.alloc(300_000))
    await until(() => arrived.bytes().length === 300_000)
    assert.ok(performance.now() - began >= 300)
  })

  it('new connections hang until the link is sound, or the dialler gives up', async () => {
    const peer = there.network.identity.peerId.toString()
    await both({ blockIn: true, blockOut: true })
    const controller = new AbortController()
    const given = assert.rejects(here.links.reach(peer, controller.signal), /given up/)
    let reached = false
    const waiting = here.links.reach(peer, AbortSignal.timeout(20_000)).then(() => { reached = true })
    for (let i = 0; i < 10; i++) await tick()
    assert.equal(reached, false)
    controller.abort(new Error('given up'))
    await given
    await both({})
    await waiting
    assert.equal(reached, true)
  })

  it('bulk bytes arrive whole while the link changes under them', async () => {
    const [total, chunk] = [12_000_000, 100_000]
    const random = prng(7)
    const sent = createHash('sha256')
    const got = createHash('sha256')
    let received = 0
    pair.inbound.addEventListener('message', ({ data }) => {
      for (const bytes of data instanceof Uint8Array ? [data] : data) {
        got.update(bytes)
        received += bytes.byteLength
      }
    })
    let written = 0
    const write = async (): Promise<void> => {
      for (let at = 0; at < total; at += chunk) {
        const bytes = Buffer.alloc(chunk, at / chunk)
        sent.update(bytes)
        written += chunk
        // A stream of its own does not say when it has room again without a fault; the reader does.
        if (!pair.outbound.send(bytes)) while (written - received > 2_000_000) await tick()
      }
    }
    const writing = write()
    const faults: LinkFault[] = [{ blockIn: true, blockOut: true }, { delayMs: 5, jitterMs: 5 }, {}, { bytesPerSecond: 20_000_000 }, { blockOut: true }, { loss: 0.01 }, { blockIn: true }]
    for (let i = 0; i < 30; i++) {
      await here.set(there, faults[Math.floor(random() * faults.length)] as LinkFault)
      await there.set(here, faults[Math.floor(random() * faults.length)] as LinkFault)
      await tick()
    }
    await both({})
    await writing
    await until(() => received === total)
    assert.equal(got.digest('hex'), sent.digest('hex'))
  })
})
