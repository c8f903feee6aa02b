/** The schema of the configuration (zod). Descriptions end up in `config.schema.json`. */
import { multiaddr } from '@multiformats/multiaddr'
import { z } from 'zod'
import { FAULT, FAULTS_EXPECTED, FAULTS_MAX, FAULTS_MEAN } from './faults.ts'
import { parseHours } from './hours.ts'
import { ENGINE_MEMORY_MIN, LEASES_DEFAULT, LEASES_MAX, LIST_MAX, LIVENESS_MS_MAX, NETWORK_NAME_MAX, SLOTS_MAX, STALL_MS_MIN, SUSPECT_MS_DEFAULT, SUSPECT_MS_MIN, DEAD_MS_DEFAULT, TEST_NETWORK_PREFIX, WALL_MS_MAX } from './constants.ts'

const LOOPBACK = ['127.0.0.1', '::1', 'localhost']
const fault = z.string().regex(FAULT, { error: FAULTS_EXPECTED })

function isMultiaddr (text: string): boolean {
  try {
    multiaddr(text)
    return true
  } catch {
    // Not one: the schema's message says so, with the key and the value.
    return false
  }
}

const list = (of: z.ZodType<string, string>): z.ZodArray<z.ZodType<string, string>> => z.array(of).max(LIST_MAX)
const address = z.string().refine(isMultiaddr, { error: 'expected a multiaddr like /ip4/127.0.0.1/tcp/0' })
const peerAddress = address.refine(text => text.includes('/p2p/'), { error: 'expected a multiaddr that ends in /p2p/<peer id>' })
const subject = z.string().regex(/^((12D3KooW|16Uiu2|Qm)|did:key:z6Mk)[1-9A-HJ-NP-Za-km-z]+$/, { error: 'expected a peer id like 12D3KooW... or an operator like did:key:z6Mk...' })
const hours = z.string().refine(text => parseHours(text) != null, { error: 'expected hours of UTC like "22:00-06:00" or "Mon-Fri 18:00-08:00"' })
const WHOLE = /^\d+$/
const money = z.string().regex(/^(0|[1-9]\d{0,18})$/, { error: 'expected a whole number of 10^-6 units as text, like "0" or "250000"' })
/** A number, or `auto`: left out of the configuration, so that the part that knows the machine decides. */
const automatic = (number: z.ZodNumber): z.ZodType<number | undefined, number | 'auto' | undefined> =>
  z.union([number, z.literal('auto')]).default('auto').transform(value => value === 'auto' ? undefined : value)

const section = <T extends z.ZodRawShape>(shape: T, description: string): z.ZodPrefault<z.ZodObject<T, z.core.$strict>> =>
  z.strictObject(shape).prefault({} as never).describe(description)

export const configSchema = z.strictObject({
  network: z.string().regex(/^[a-z0-9][a-z0-9.-]*$/, { error: 'expected lower-case letters, digits, dots and hyphens' }).max(NETWORK_NAME_MAX).default('default')
    .describe('Name of the network. Peers of another name never mix. Names that start with "testnet-" are test networks.'),
  secret: z.string().regex(/^([A-Za-z0-9_-]{43})?$/, { error: 'expected 32 bytes in base64url (43 characters), as \'weft init\' makes them' }).default('')
    .describe('The secret of a private network, 32 bytes in base64url. Only who proves to know it is served, and those work for one another. Empty: an open network.'),
  trust: section({
    everyone: z.boolean().default(false)
      .describe('Send blocks to, and take blocks from, every peer of the network. For test networks, or where every machine that knows the name may see the data.'),
    peers: list(subject).default([])
      .describe('Peer ids, or operators (did:key:...), that blocks are sent to and taken from, when not everyone is trusted.')
  }, 'Whom this node works with.'),
  peers: section({
    allow: list(subject).default([])
      .describe('If not empty, only these peer ids, or nodes of these operators (did:key:...), are talked to at all.'),
    deny: list(subject).default([])
      .describe('Peer ids, or operators (did:key:...), that are not talked to. "weft peers ban" does the same while the daemon runs.')
  }, 'Who may connect, whatever they know.'),
  listen: list(address).default(['/ip4/127.0.0.1/tcp/0'])
    .describe('Multiaddrs to listen on. The default is loopback with any free port; for a network of machines, for instance "/ip4/0.0.0.0/tcp/4001".'),
  announce: list(address).default([])
    .describe('Multiaddrs to tell others instead of those listened on, for instance the outside of a router that forwards a port: "/ip4/203.0.113.7/tcp/4001".'),
  bootstrap: list(peerAddress).default([])
    .describe('Multiaddrs, with /p2p/<peer id>, of peers to connect to at start. A join string (what "weft invite" prints) may stand here, too.'),
  discovery: section({
    mdns: z.enum(['auto', 'on', 'off']).default('auto')
      .describe('Find members on the local network by multicast DNS, and be found there. "auto": in private networks.')
  }, 'How members are found without an address.'),
  api: section({
    host: z.string().refine(host => LOOPBACK.includes(host), { error: `expected one of ${LOOPBACK.join(', ')}: the API has no transport security, so it stays on this machine` }).default('127.0.0.1')
      .describe('Loopback address of the local HTTP API.'),
    port: z.int().min(0).max(65535).default(0)
      .describe('Port of the local HTTP API. 0 takes any free one; the command line finds it through the data directory.'),
    roots: list(z.string().regex(/^\//, { error: 'expected an absolute path' })).default([])
      .describe('Folders that tokens other than the owner\'s may name in jobs. This version issues the owner\'s token only, which may use any path.')
  }, 'The local HTTP API.'),
  executor: section({
    slots: automatic(z.int().min(1).max(SLOTS_MAX))
      .describe('Engine processes that may run at once. "auto": one per core.'),
    sandbox: z.enum(['auto', 'require', 'off']).default('auto')
      .describe('"auto": engines run under bwrap where it is present; "require": refuse to start without it; "off": resource limits only.'),
    memoryBytes: automatic(z.int().min(ENGINE_MEMORY_MIN))
      .describe('Resident bytes one engine process may use before it is killed.'),
    stallMs: automatic(z.int().min(STALL_MS_MIN).max(WALL_MS_MAX))
      .describe('Milliseconds without progress before an engine counts as hung and is killed.'),
    wallMs: automatic(z.int().min(STALL_MS_MIN).max(WALL_MS_MAX))
      .describe('Milliseconds one block attempt may take altogether.'),
    selfMeasure: z.enum(['auto', 'on', 'off']).default('auto')
      .describe('Measure once, in the background after a start, how fast this machine converts, so that others know before it did real work. "auto": outside test networks.')
  }, 'How conversions are run on this machine.'),
  prices: section({
    perHour: money.default('0')
      .describe('Posted price of a resource hour in 10^-6 of the unit, a whole number as text. Told to others, who may refuse it (--max-price); nothing is charged yet.'),
    unit: z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,15}$/, { error: 'expected a short name like "credit"' }).default('credit')
      .describe('What prices are counted in. Units are never compared with each other.')
  }, 'What this node asks for its work.'),
  policy: section({
    accept: z.boolean().default(true)
      .describe('Take work from others at all.'),
    maxLeases: z.int().min(0).max(LEASES_MAX).default(LEASES_DEFAULT)
      .describe('Peers this node works for at once.'),
    minPrice: money.default('0')
      .describe('Work offered for less (10^-6 of prices.unit per resource hour) is refused.'),
    hours: list(hours).default([])
      .describe('When this node takes work, in UTC, for instance ["Mon-Fri 18:00-08:00", "Sat-Sun 00:00-24:00"]. Empty: always. Blocks at work when an hour ends are finished; those that wait are handed back, and no new ones are taken.'),
    cpuShare: z.number().gt(0).max(1).default(1)
      .describe('Share of the cores whose engines may work for others, at least one engine. Below 1 engines also stand back behind other programs (nice 10). It bounds engines, not instructions.'),
    idleOnly: z.boolean().default(false)
      .describe('Work for others only while other programs use less than a quarter of the processor. Engines are stopped otherwise, and go on after half a minute below a tenth. Blocks stopped for longer than 10 seconds are handed back.'),
    battery: z.enum(['any', 'mains']).default('any')
      .describe('"mains": on battery nothing is done for others; what runs is stopped, and handed back after 10 seconds.')
  }, 'What work this node takes. Local policy always wins.'),
  converters: section({
    disable: list(z.string().min(1)).default([])
      .describe('Converter ids this node does not offer, for instance "table/csv-parquet". A "*" at the end matches any rest.'),
    only: list(z.string().min(1)).default([])
      .describe('If not empty, this node offers these converters only. A "*" at the end matches any rest.')
  }, 'Which of the built-in converters are offered.'),
  store: section({
    quotaBytes: automatic(z.int().min(0))
      .describe('Bytes that stored blocks may take. "auto": what is there when the daemon starts, and half of what is free on the disk then. More is refused, with what to do.'),
    reserveBytes: automatic(z.int().min(0))
      .describe('Bytes of the data directory\'s disk that stored blocks leave free, so that jobs can still be recorded and others can work. "auto": 2 % of the disk, from 16 to 256 MiB.')
  }, 'Room on the disk for the results of running jobs.'),
  hedging: section({
    share: z.number().min(0).max(1).default(0.1)
      .describe('Share of a job\'s blocks that may be converted a second time elsewhere because their worker is slow or silent; the first valid result wins. A few, and all that one silent worker holds, may be in any case. 0: no second copies at all. Higher: slow machines delay a job less, and more work is done twice.')
  }, 'Second copies of blocks that are late.'),
  liveness: section({
    beacon: z.enum(['auto', 'off']).default('auto')
      .describe('While this node works with a peer, both show that they are alive by small UDP packets from a thread of their own, also while their main loops are busy. "auto": wherever both sides can; otherwise, and with "off", silence on the connection is judged, which takes about twice as long.'),
    port: z.int().min(0).max(65535).default(0)
      .describe('UDP port of these packets. 0: any free one. Fix it where a firewall must let them in; one side that is reached is enough.'),
    suspectMs: automatic(z.int().min(SUSPECT_MS_MIN).max(LIVENESS_MS_MAX))
      .describe('Milliseconds of silence after which a peer is suspect at the latest, and its blocks get second copies elsewhere. "auto": 1300. Lower: sooner, and more often for nothing. Without the packets the limits are 2.3 times as long.'),
    deadMs: automatic(z.int().min(SUSPECT_MS_MIN).max(LIVENESS_MS_MAX))
      .describe('Milliseconds of silence after which a peer is dead at the latest, and its blocks go to others. "auto": 2800. Must be above suspectMs. Without the packets the limits are 2.9 times as long.')
  }, 'When a silent peer is given up. The defaults suit local and wide networks.'),
  dht: section({
    mode: z.enum(['server', 'client']).default('server')
      .describe('"server" keeps records for others; "client" only asks.')
  }, 'The distributed hash table.'),
  log: section({
    level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info')
      .describe('Least level of the log lines written to standard error.')
  }, 'The log.'),
  test: section({
    faults: z.array(fault).max(FAULTS_MAX).default([])
      .describe(`Planted faults: ${FAULTS_MEAN}. Honoured in test networks only.`),
    seed: z.string().max(128).default('')
      .describe('Derives the node\'s key, so that the same seed gives the same peer id. Honoured in test networks only.')
  }, 'For test networks (names that start with "testnet-"); refused elsewhere.')
}).superRefine((config, context) => {
  const testing = config.network.startsWith(TEST_NETWORK_PREFIX)
  const refuse = (path: string[], message: string): void => { context.addIssue({ code: 'custom', path, message, input: config }) }
  const testOnly = `is for test networks only (network names that start with '${TEST_NETWORK_PREFIX}'; this one is '${config.network}')`
  if (!testing && config.test.faults.length > 0) refuse(['test', 'faults'], testOnly)
  const [asked, least] = [config.prices.perHour, config.policy.minPrice]
  // Also called where a value is of the wrong type, which has its own message.
  if (config.policy.accept && WHOLE.test(asked) && WHOLE.test(least) && BigInt(asked) < BigInt(least)) refuse(['prices', 'perHour'], `asks less (${asked}) than policy.minPrice (${least}), so that nobody who pays what is asked would be served`)
  const { suspectMs = SUSPECT_MS_DEFAULT, deadMs = DEAD_MS_DEFAULT } = config.liveness
  if (deadMs <= suspectMs) refuse(['liveness', 'deadMs'], `must be above liveness.suspectMs: a peer is suspect (after ${suspectMs} ms) before it is dead (after ${deadMs} ms)`)
  if (!testing && config.test.seed !== '') refuse(['test', 'seed'], testOnly)
}).describe('Configuration of a weft daemon. Precedence: flag > WEFT_* variable > --config FILE > $XDG_CONFIG_HOME/weft/config.json > default.')

/** The leaves by dotted path. */
export function leaves (): Map<string, z.ZodType> {
  const found = new Map<string, z.ZodType>()
  const walk = (schema: z.ZodType, path: string): void => {
    const inner = peel(schema)
    if (inner instanceof z.ZodObject) {
      for (const [key, value] of Object.entries(inner.shape)) walk(value as z.ZodType, path === '' ? key : `${path}.${key}`)
    } else {
      found.set(path, schema)
    }
  }
  walk(configSchema, '')
  return found
}

/** Without defaults and transforms around it. */
export function peel (schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return peel(schema.unwrap() as z.ZodType)
  if (schema instanceof z.ZodPipe) return peel(schema.in as z.ZodType)
  return schema
}
