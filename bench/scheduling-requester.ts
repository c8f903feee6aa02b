/** The production coordinator and task client over TCP, with workers whose addresses are given: discovery has a bench of its own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { TypedEventEmitter } from 'main-event'
import { createToolbox, removePartials } from '../daemon/block-convert/index.ts'
import { createCoordinator, createWorkerSource, type Coordinator } from '../daemon/coordinator/index.ts'
import type { ProviderView, RegistryEvents } from '../daemon/dht-registry/index.ts'
import { createLoopDelay } from '../daemon/health/index.ts'
import { silentLog } from '../daemon/log.ts'
import { openDataDir } from '../daemon/store/index.ts'
import { createTaskClient } from '../daemon/task-protocol/index.ts'
import type { TaskClientComponents } from '../daemon/task-protocol/client-types.ts'
import { plainNetwork, type PlainNetwork } from '../test/fixtures/plain-network.ts'
import type { WorkerAddress } from './scheduling-workers.ts'

export const SLEEP = { from: 'application/octet-stream', to: 'application/x-weft-sleep' }

export interface BenchRequester {
  coordinator: Coordinator
  folder: string
  stop: () => Promise<void>
}

export async function startRequester (workers: WorkerAddress[]): Promise<BenchRequester> {
  const folder = await mkdtemp(join(tmpdir(), 'weft-bench-scheduling-'))
  const network = await plainNetwork({ transport: 'tcp' })
  const dir = await openDataDir(join(folder, 'data'))
  const toolbox = createToolbox({ scratch: dir.scratch })
  const loopDelay = createLoopDelay()
  loopDelay.start()
  let counter = 0
  const client = createTaskClient({ network: network as unknown as TaskClientComponents['network'], store: dir.blocks, identity: network.identity, loopDelay, log: silentLog, generation: { incarnation: 1, next: () => ++counter } })
  await client.start()
  for (const { peerId, address } of workers) {
    network.knows({ libp2p: { peerId: peerIdFromString(peerId), getMultiaddrs: () => [multiaddr(address)] } as unknown as PlainNetwork['libp2p'] })
  }
  const views = workers.map(({ peerId }) => ({
    peer: peerIdFromString(peerId),
    advert: { converters: [{ id: 'probe/sleep', version: '1', ...SLEEP }], price: '0', unit: 'credit', draining: false, operator: '' },
    source: 'direct', seen: Date.now(), connected: true
  }) as unknown as ProviderView)
  const registry = {
    events: new TypedEventEmitter<RegistryEvents>(),
    async * find () { yield * views }
  }
  const coordinator = createCoordinator({
    toolbox,
    store: dir,
    removePartials,
    workers: createWorkerSource({ registry, client, self: network.identity.peerId.toString(), distrusted: () => undefined, log: silentLog }),
    log: silentLog
  }, { slots: () => workers.length })
  await coordinator.start()
  return {
    coordinator,
    folder,
    stop: async () => {
      await coordinator.stop()
      await client.stop()
      await network.stop()
      loopDelay.stop()
      await toolbox.close()
      await dir.close()
      await rm(folder, { recursive: true, force: true })
    }
  }
}
