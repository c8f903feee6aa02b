import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import type { Command } from 'commander'
import { createLog } from '../daemon/log.ts'
import type { WeftNode } from '../daemon/node.ts'
import { DRAIN_DELIVER_MS, DRAIN_MS, DRAIN_TELL_MS, STOP_LOOK_MS } from './lib/constants.ts'
import { Failure } from './lib/failure.ts'
import { printJson, tell } from './lib/terminal.ts'
import { count, formatSeconds } from './lib/units.ts'

interface Options {
  config?: string
  network?: string
  listen?: string[]
  bootstrap?: string[]
  apiPort?: string
  logLevel?: string
  json?: boolean
}

const gather = (value: string, before: string[] = []): string[] => [...before, value]

export function configure (command: Command): void {
  command
    .option('--config <file>', 'configuration file')
    .option('--network <name>', 'name of the network')
    .option('--listen <multiaddr>', 'address to listen on; may be repeated', gather)
    .option('--bootstrap <multiaddr>', 'peer to connect to; may be repeated', gather)
    .option('--api-port <port>', 'port of the local API (0: any free one)')
    .option('--log-level <level>', 'debug, info, warn, error or silent')
    .option('--json', 'print the status as JSON once it is ready')
    .action(start)
}

/**
 * Loading the modules leaves much garbage at once, for which V8 would double the young generation several times over and
 * keep it: 20 MB of an idle daemon's memory, measured. It may grow again for real work.
 */
function letYoungGenerationGrow (grow: boolean): void {
  setFlagsFromString(`--semi-space-growth-factor=${grow ? 2 : 1}`)
}

/**
 * Bulk bytes live outside V8's heap, and by default V8 marks the whole heap each time 64 MiB of them have passed by, as fast as
 * they may come. Counted together with the heap, they are freed by the collections that happen anyway: a requester that moved
 * 500 MB took 11.2 CPU seconds before, 7.4 and 8.8 after (single runs); its peak memory was 700 MB before, 670 to 830 after.
 */
function countBulkBytesWithTheHeap (): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit')
}

async function start (options: Options): Promise<void> {
  letYoungGenerationGrow(false)
  countBulkBytesWithTheHeap()
  const [{ createNode }, { loadConfig }] = await Promise.all([import('../daemon/node.ts'), import('../daemon/config/index.ts')])
  const { config, dataDir } = await loadConfig({
    ...(options.config != null ? { configFile: options.config } : {}),
    flags: {
      network: options.network,
      listen: options.listen,
      bootstrap: options.bootstrap,
      'api.port': options.apiPort,
      'log.level': options.logLevel
    }
  })
  const signals = receiveSignals()
  await using node = await createNode({ config, dataDir, log: createLog(config.log.level) })
  try {
    await node.start()
  } catch (error) {
    throw portTaken(error, config.listen)
  }
  letYoungGenerationGrow(true)
  if (config.test.faults.length > 0) (await import('./testnet/crash-loop.ts')).crashLater(config.test)
  const status = node.api.status()
  if (options.json === true) printJson(status)
  tell(`weft: ready: network ${status.network}, peer ${status.peerId}, listening on ${status.multiaddrs.map(address => address.replace(/\/p2p\/.*$/, '')).join(' ') || 'nothing'}, api ${status.api}`)

  await Promise.race([signals.first, closed(node)])
  await drain(node, signals.second)
  tell('weft: stopped')
}

/** The first signal begins a drain, the second ends it, a third ends the process whatever it is doing. */
function receiveSignals (): { first: Promise<void>, second: AbortSignal } {
  const first = Promise.withResolvers<void>()
  const second = new AbortController()
  let received = 0
  const handle = (): void => {
    received++
    if (received === 1) first.resolve()
    else if (received === 2) second.abort()
    else process.exit(1)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, handle)
  return { first: first.promise, second: second.signal }
}

async function closed ({ closing }: WeftNode): Promise<void> {
  if (closing.aborted) return
  await new Promise<void>(resolve => { closing.addEventListener('abort', () => { resolve() }, { once: true }) })
}

async function drain (node: WeftNode, now: AbortSignal): Promise<void> {
  const { load } = node.api.status()
  const waits = [...(load.active > 0 ? [`${count(load.active, 'block')} for ${count(load.leases, 'other node')}`] : []), ...(load.jobs > 0 ? [`${count(load.jobs, 'own job')}`] : [])]
  if (waits.length > 0) tell(`weft: draining: finishing ${waits.join(' and ')} first, for at most ${formatSeconds(DRAIN_MS / 1000)}; once more to stop at once`)
  const teller = setInterval(() => {
    const { active, jobs } = node.api.status().load
    tell(`weft: draining: ${count(active, 'block')} for others and ${count(jobs, 'own job')} left`)
  }, DRAIN_TELL_MS)
  const signal = AbortSignal.any([now, AbortSignal.timeout(DRAIN_MS)])
  try {
    await Promise.race([node.drain({ signal, deadlineMs: DRAIN_MS - DRAIN_DELIVER_MS }), new Promise<void>(resolve => { signal.addEventListener('abort', () => { resolve() }, { once: true }) })])
    while (node.api.status().load.jobs > 0 && !signal.aborted) await delay(STOP_LOOK_MS)
  } finally {
    clearInterval(teller)
  }
}

/** libp2p's words for a taken port, as ours. */
function portTaken (error: unknown, listen: string[]): unknown {
  const text = String((error as Error).message)
  if (!/EADDRINUSE|address already in use|could not listen|no valid addresses/i.test(text) || (error as Error).name === 'ApiError') return error
  return new Failure('port-taken', `cannot listen on ${listen.join(', ')}: the port is taken or the address is not this machine's; choose others with --listen`, { listen }, { cause: error })
}

