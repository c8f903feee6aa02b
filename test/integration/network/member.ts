/** A member of a network, or a peer that says only hello, in this process, over real TCP. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { Level } from 'level'
import { createLibp2p } from 'libp2p'
import { silentLog } from '../../../daemon/log.ts'
import { HELLO_BYTES_MAX, STREAM_WINDOW_INITIAL_BYTES } from '../../../daemon/network/constants.ts'
import { createNetwork, type Network, type NetworkConfig } from '../../../daemon/network/index.ts'
import { decodeVerdict, encodeHello, encodeVerdict, VERDICT } from '../../../daemon/network/messages.ts'
import { DAG_CBOR_PAYLOAD, didOf, encodeCanonical, loadOrCreateIdentity, seal, type Identity } from '../../../daemon/trust/index.ts'

export const NETWORK = 'test'

export interface Member extends AsyncDisposable {
  identity: Identity
  network: Network
  address: string
  stop: () => Promise<void>
  /** The same keys and data. */
  restart: (config?: Partial<NetworkConfig>) => Promise<Member>
}

export async function member (config: Partial<NetworkConfig> = {}, dir?: string): Promise<Member> {
  const path = dir ?? await mkdtemp(join(tmpdir(), 'weft-member-'))
  const db = new Level<string, Uint8Array>(join(path, 'db'), { keyEncoding: 'utf8', valueEncoding: 'view' })
  await db.open()
  const identity = await loadOrCreateIdentity({
    readFile: async name => await db.get(`secret/${name}`),
    writeSecret: async (name, data) => { await db.put(`secret/${name}`, typeof data === 'string' ? new TextEncoder().encode(data) : data) }
  }, { network: NETWORK })
  const network = await createNetwork({ identity, db, log: silentLog, config: { name: NETWORK, listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: [], dhtMode: 'server', ...config } })
  await network.start()
  let running = true
  const stop = async (): Promise<void> => {
    if (!running) return
    running = false
    await network.stop()
    await db.close()
  }
  return {
    identity,
    network,
    address: network.libp2p.getMultiaddrs()[0]?.toString() ?? '',
    stop,
    restart: async (again = config) => {
      await stop()
      return await member(again, path)
    },
    async [Symbol.asyncDispose] () {
      await stop()
      await rm(path, { recursive: true, force: true })
    }
  }
}

/** A libp2p peer that speaks only what a test makes it say. */
export interface Stranger extends AsyncDisposable { host: Libp2p, key: PrivateKey, id: string }

/** @param localAddress address of this machine it dials from */
export async function stranger (localAddress = '127.0.0.1'): Promise<Stranger> {
  const key = await generateKeyPair('Ed25519')
  const host = await createLibp2p({
    privateKey: key,
    addresses: { listen: [] },
    // Its options go to `net.connect`, though their type does not say so.
    transports: [tcp({ dialOpts: { localAddress } as object })],
    connectionEncrypters: [tls()],
    streamMuxers: [yamux({ streamOptions: { initialStreamWindowSize: STREAM_WINDOW_INITIAL_BYTES } })],
    connectionMonitor: { enabled: false },
    services: { identify: identify() }
  })
  return { host, key, id: peerIdFromPrivateKey(key).toString(), [Symbol.asyncDispose]: async () => { await host.stop() } }
}

/** Dials and says hello as an operator of its own. Gives the verdict on it. */
export async function sayHello (from: Stranger, to: { address: string }): Promise<{ connection: Connection, code: number, reason: string }> {
  const connection = await from.host.dial(multiaddr(to.address), { force: true })
  const signal = AbortSignal.timeout(5000)
  const messages = lpStream(await connection.newStream(`/weft/${NETWORK}/hello/1.0.0`, { signal }), { maxDataLength: HELLO_BYTES_MAX })
  const now = Date.now()
  const delegation = await seal(from.key, 'weft/delegation/1', DAG_CBOR_PAYLOAD, encodeCanonical({ v: 1, operator: didOf(from.key.publicKey), peer: from.id, issued: now, expires: now + 60_000 }))
  await messages.write(encodeHello({ version: 1, network: NETWORK, agent: 'stranger', roles: [], nonce: randomBytes(32), delegation }), { signal })
  await messages.read({ signal })
  const { code, reason } = decodeVerdict((await messages.read({ signal })).subarray())
  await messages.write(encodeVerdict({ code: VERDICT.ok, reason: '', proof: new Uint8Array() }), { signal })
  return { connection, code, reason }
}

/** Resolves when `check` gives something. Looks again every few milliseconds: what it waits for has no event. */
export async function until<T> (what: string, check: () => T | undefined | false, timeoutMs = 10_000): Promise<T> {
  const end = performance.now() + timeoutMs
  for (;;) {
    const value = check()
    if (value !== undefined && value !== false) return value
    if (performance.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`)
    await new Promise(resolve => { setTimeout(resolve, 5) })
  }
}

/** Everybody knows everybody it dialled, both ways. */
export async function connected (...members: Member[]): Promise<void> {
  for (const one of members) for (const other of members) if (one !== other) await one.network.connect(other.address, { signal: AbortSignal.timeout(10_000) })
}
