/** A node with a network and a registry, in this process, for integration tests. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { advertSelectors, advertValidators, createRegistry, openFloors, type AdvertContent, type Floors, type Registry } from '../../../daemon/dht-registry/index.ts'
import { silentLog } from '../../../daemon/log.ts'
import { createNetwork, type Network } from '../../../daemon/network/index.ts'
import { loadOrCreateIdentity, type Identity, type IdentityDir } from '../../../daemon/trust/index.ts'

export const NETWORK = 'test'

export interface TestNode extends AsyncDisposable {
  identity: Identity
  network: Network
  registry: Registry
  floors: Floors
  address: string
  /** Stops it; its folder stays for `restart`. */
  stop: () => Promise<void>
  /** The same keys and data, on a new port. */
  restart: (options?: NodeOptions) => Promise<TestNode>
}

export interface NodeOptions {
  name?: string
  bootstrap?: string[]
  listen?: string[]
  dhtMode?: 'server' | 'client'
  roles?: string[]
  helloTimeoutMs?: number
  secret?: Uint8Array
}

/** The first is at `dir`, made and removed by the node that was started without one. */
export async function startNode (options: NodeOptions = {}, dir?: string): Promise<TestNode> {
  const path = dir ?? await mkdtemp(join(tmpdir(), 'weft-node-'))
  const db = new Level<string, Uint8Array>(join(path, 'db'), { keyEncoding: 'utf8', valueEncoding: 'view' })
  await db.open()
  const name = options.name ?? NETWORK
  const identity = await loadOrCreateIdentity(secrets(db), { network: name })
  const floors = await openFloors({ db })
  const network = await createNetwork({
    identity,
    db,
    config: {
      name,
      listen: options.listen ?? ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: options.bootstrap ?? [],
      dhtMode: options.dhtMode ?? 'server',
      roles: options.roles ?? [],
      ...(options.secret == null ? {} : { secret: options.secret })
    },
    validators: advertValidators({ network: name, floors }),
    selectors: advertSelectors(),
    log: silentLog,
    ...(options.helloTimeoutMs == null ? {} : { helloTimeoutMs: options.helloTimeoutMs })
  })
  const registry = createRegistry({ network, identity, floors, db, log: silentLog })
  await network.start()
  await registry.start()
  let running = true
  const stop = async (): Promise<void> => {
    if (!running) return
    running = false
    await registry.stop()
    await network.stop()
    await db.close()
  }
  return {
    identity,
    network,
    registry,
    floors,
    address: network.libp2p.getMultiaddrs()[0]?.toString() ?? '',
    stop,
    restart: async (again = options) => {
      await stop()
      return await startNode(again, path)
    },
    async [Symbol.asyncDispose] () {
      await stop()
      await rm(path, { recursive: true, force: true })
    }
  }
}

function secrets (db: Level<string, Uint8Array>): IdentityDir {
  return {
    readFile: async name => await db.get(`secret/${name}`),
    writeSecret: async (name, data) => { await db.put(`secret/${name}`, typeof data === 'string' ? new TextEncoder().encode(data) : data) }
  }
}

/** What a worker of tables offers. */
export function content (edges: Array<[from: string, to: string]> = [['text/csv', 'application/vnd.apache.parquet']]): AdvertContent {
  return {
    resources: { cores: 2, memoryBytes: 4e9, diskBytes: 1e10, slots: 2 },
    converters: edges.map(([from, to]) => ({ id: `table/${from}-${to}`, version: '1.0.0', from, to, bytesPerSecond: 1e8 })),
    price: '0',
    unit: 'credit',
    roles: ['worker'],
    draining: false,
    policy: { hours: [], maxLeases: 64, everyone: true }
  }
}

/** Resolves when `check` gives something; looks again after every event of `target`, and rejects with what it waited for. */
export async function eventually<T> (what: string, target: { addEventListener: (type: never, listener: () => void) => void, removeEventListener: (type: never, listener: () => void) => void }, types: string[], check: () => T | undefined | false, timeoutMs = 15_000): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const look = (): void => {
    const value = check()
    if (value !== undefined && value !== false) resolve(value)
  }
  const timer = setTimeout(() => { reject(new Error(`${what}: not within ${timeoutMs} ms`)) }, timeoutMs)
  for (const type of types) target.addEventListener(type as never, look)
  look()
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    for (const type of types) target.removeEventListener(type as never, look)
  }
}
