/**
 * The daemon's configuration: its schema, where every value came from, and the folders it lives in.
 *
 * Precedence: flag > `WEFT_*` variable > `--config FILE` > `$XDG_CONFIG_HOME/weft/config.json` > default. `WEFT_HOME`
 * puts everything in one folder (its `config.json` inside). An unknown or ill-typed key is a `ConfigError` with the key's
 * path and the nearest known name.
 *
 * @example
 * ```ts
 * const { config, origins, dataDir } = await loadConfig({ flags: { 'api.port': 7400 }, env: process.env })
 * origins['api.port']       // { from: 'flag', detail: '--api-port' }
 * offers(config, 'table/csv-parquet')
 * ```
 */

/** Every value is present, except limits left to the part that knows the machine. */
export interface Config {
  /** Name of the network; peers of another name never mix. */
  network: string
  /** base64url of the private network's secret; '' in an open network. */
  secret: string
  trust: {
    /** Blocks go to and come from every peer of the network. */
    everyone: boolean
    /** Peer ids, or did:keys of operators, that blocks go to and come from, when not everyone is trusted. */
    peers: string[]
  }
  peers: {
    /** Peer ids or did:keys. If not empty, nobody else is talked to. */
    allow: string[]
    /** Peer ids or did:keys that are not talked to. */
    deny: string[]
  }
  /** Multiaddrs to listen on. */
  listen: string[]
  /** Multiaddrs told to others instead of those listened on. */
  announce: string[]
  /** Multiaddrs (with `/p2p/<peer id>`) dialled at start. */
  bootstrap: string[]
  discovery: {
    /** Multicast DNS; `auto`: in private networks. */
    mdns: 'auto' | 'on' | 'off'
  }
  api: {
    /** A loopback address. */
    host: string
    /** 0 = any free port. */
    port: number
    roots: string[]
  }
  executor: {
    /** Engine processes that may run at once. Absent: the machine's cores. */
    slots?: number
    sandbox: 'auto' | 'require' | 'off'
    /** Resident bytes per engine process. Absent: the executor's own limit. */
    memoryBytes?: number
    /** Milliseconds without progress before an engine counts as hung. Absent: the executor's own limit. */
    stallMs?: number
    /** Milliseconds for one whole block attempt. Absent: the executor's own limit. */
    wallMs?: number
    /** Measure the converters of which nothing is known yet after a start; `auto`: outside test networks. */
    selfMeasure: 'auto' | 'on' | 'off'
  }
  prices: {
    /** 10^-6 of `unit` per resource hour, decimal. */
    perHour: string
    unit: string
  }
  policy: {
    /** Take work from others at all. */
    accept: boolean
    /** Leases held for others at once. */
    maxLeases: number
    /** Work offered below this price (10^-6 of `prices.unit` per resource hour) is refused. */
    minPrice: string
    /** When work is taken, in UTC, as lines that `parseHours` reads. Empty: always. */
    hours: string[]
    /** Share of the cores whose engines may work for others, above 0 and at most 1. */
    cpuShare: number
    /** Work for others only while other programs leave the machine alone. */
    idleOnly: boolean
    /** `mains`: nothing is done for others on battery. */
    battery: 'any' | 'mains'
  }
  converters: {
    /** Converter ids this node does not offer; `*` at the end matches any rest. */
    disable: string[]
    /** If not empty, only these are offered. */
    only: string[]
  }
  /** Second copies of late blocks, as a share of a job's. */
  hedging: { share: number }
  /** When a silent peer is given up; absent limits are those of `health`. */
  liveness: { beacon: 'auto' | 'off', port: number, suspectMs?: number, deadMs?: number }
  /** Room on the disk; absent members were left to the store. */
  store: { quotaBytes?: number, reserveBytes?: number }
  dht: { mode: 'server' | 'client' }
  log: { level: 'debug' | 'info' | 'warn' | 'error' | 'silent' }
  /** Honoured in networks named `testnet-...` only, refused elsewhere. */
  test: {
    faults: string[]
    /** The node's key is derived from it. Empty: an ordinary random key. */
    seed: string
  }
}

/** Where a value came from; `detail` names the file, variable or flag. */
export interface Origin { from: 'default' | 'file' | 'env' | 'flag', detail?: string }

export interface LoadOptions {
  /** Values by dotted path, already typed or as text: `{ 'api.port': 7400 }`. Undefined ones are skipped. */
  flags?: Record<string, unknown>
  /** @default process.env */
  env?: Record<string, string | undefined>
  /** `--config FILE`; must exist. The file of the configuration folder is used if absent, and may be missing. */
  configFile?: string
}

export interface LoadedConfig {
  config: Config
  /** By dotted path of every leaf. */
  origins: Record<string, Origin>
  dataDir: string
  /** The file that was read, if any. */
  file?: string
}

export interface Paths {
  /** Keys, journal, blocks, API address and token. */
  dataDir: string
  configFile: string
  /** What may be deleted at any time. */
  cacheDir: string
}

export { loadConfig, validateConfig } from './load.ts'
export { faultValue } from './faults.ts'
export { offers } from './offers.ts'
export { isWithin, parseHours, type Span } from './hours.ts'
export { decodeJoinString, encodeJoinString, type JoinString } from './join-string.ts'
export { resolvePaths } from './paths.ts'
export { configJsonSchema } from './json-schema.ts'
export { ConfigError } from './errors.ts'
export { TEST_NETWORK_PREFIX } from './constants.ts'
