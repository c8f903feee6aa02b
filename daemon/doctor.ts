/**
 * What is wrong with a running node, and how to mend it: facts are gathered from its parts, and a pure function judges them.
 *
 * @example
 * ```ts
 * const { checks } = await examine({ status, network, registry, dialback, loopDelay, settings }, { signal: AbortSignal.timeout(30_000) })
 * ```
 */
import { statfs } from 'node:fs/promises'
import type { PeerId } from '@libp2p/interface'
import type { Registry } from './dht-registry/index.ts'
import type { DoctorCheck, DoctorReport, NodeStatus } from './gateway/index.ts'
import type { Network } from './network/index.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const MIB = 2 ** 20

/** Bytes free below which work suffers, and below which it stops: results, decoded copies and journals need room. */
export const DISK_LOW_BYTES = 1024 * MIB
export const DISK_FULL_BYTES = 100 * MIB

/** Milliseconds two clocks may differ before it is worth a word, and before adverts are refused (CLOCK_SKEW_MS of trust). */
export const CLOCK_WARNING_MS = 30 * SECOND
export const CLOCK_REFUSED_MS = 5 * MINUTE

/** Milliseconds the event loop may be late before heartbeats suffer (they are sent every 500 ms). */
export const LOOP_WARNING_MS = 500

/** Seconds after the start in which what is missing is still expected to come. */
export const SETTLING_SECONDS = 15

/** Milliseconds an own advert holds (ADVERT_VALIDITY_MS of the registry). */
export const ADVERT_OLD_MS = 60 * MINUTE

/** Neighbours asked to dial back. */
export const NEIGHBOURS_ASKED_MAX = 3

/** Bootstrap addresses that are dialled to learn why they do not answer, and milliseconds for one. */
export const BOOTSTRAP_TRIED_MAX = 4
export const BOOTSTRAP_TRY_MS = 6 * SECOND

/** What a neighbour said when asked to dial back (`dialback/1.0.0`). */
export interface DialbackFact {
  observed: string
  answers: Array<{ address: string, outcome: 'reachable' | 'foreign' | 'refused' | 'timeout' | 'unreachable' | 'not-tried', reason: string }>
  clockAheadMs?: number
  failure?: string
}

export interface DoctorFacts {
  version: string
  runtime: string
  state: NodeStatus['state']
  uptimeSeconds: number
  /** Takes work of others. */
  works: boolean
  /** The network has a secret. */
  privateNetwork: boolean
  mdns: boolean
  /** Multiaddrs this node is listening on. */
  listen: string[]
  /** `problem` is absent where it is connected. */
  bootstrap: Array<{ address: string, problem?: string }>
  peers: number
  dhtPeers: number
  dataDir: string
  /** Bytes; absent if they could not be learned. */
  freeBytes?: number
  dialbacks: DialbackFact[]
  /** Milliseconds by which clocks of neighbours are ahead of this one. */
  clocks: number[]
  engines: { slots: number, bwrap: boolean, rlimits: boolean, sandbox: 'auto' | 'require' | 'off' }
  /** This node's own advert. */
  advert?: { ageMs: number, converters: number, draining: boolean }
  loopDelayMs: number
  /** What neighbours say they run. */
  agents: string[]
}

/** One check per thing looked at, in the order in which they are best read. */
export function checksOf (facts: DoctorFacts): DoctorCheck[] {
  return [state(facts), version(facts), disk(facts), listening(facts), bootstrap(facts), peers(facts), dht(facts), reachability(facts), clock(facts), engines(facts), advert(facts), eventLoop(facts)]
}

const ok = (name: string, says: string): DoctorCheck => ({ name, state: 'ok', says })
const warning = (name: string, says: string, mend: string): DoctorCheck => ({ name, state: 'warning', says, mend })
const failed = (name: string, says: string, mend: string): DoctorCheck => ({ name, state: 'failed', says, mend })

const count = (number: number, noun: string, plural = `${noun}s`): string => `${number} ${number === 1 ? noun : plural}`
/** Reasons come from libraries and systems, in any form. */
const oneLine = (text: string): string => text.trim().replaceAll(/\p{Cc}+/gu, ' ').slice(0, 300)
const seconds = (ms: number): string => ms >= 10 * MINUTE ? `${Math.round(ms / MINUTE)} minutes` : ms >= SECOND ? `${Math.round(ms / SECOND)} s` : `${Math.round(ms)} ms`
const bytes = (value: number): string => value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : `${Math.round(value / 1e6)} MB`
const settling = ({ uptimeSeconds }: DoctorFacts): boolean => uptimeSeconds < SETTLING_SECONDS

const isLoopback = (address: string): boolean => /^\/ip4\/127\.|^\/ip6\/::1\//.test(address)
const withoutPeer = (address: string): string => address.replace(/\/p2p\/[^/]+$/, '')
const portOf = (address: string | undefined): string => /\/tcp\/(\d+)/.exec(address ?? '')?.[1] ?? '4001'

function state ({ state: now, uptimeSeconds }: DoctorFacts): DoctorCheck {
  if (now === 'ready') return ok('state', `ready, for ${seconds(uptimeSeconds * SECOND)}`)
  return warning('state', `the node is ${now}`, now === 'starting' ? 'look again in a few seconds; its log says what it waits for' : 'it takes no new work; start it again with \'weft start\' once it has stopped')
}

function version ({ version: own, runtime, agents }: DoctorFacts): DoctorCheck {
  const newer = agents.map(agent => /^weft\/(\d{1,6}\.\d{1,6}\.\d{1,6})$/.exec(agent)?.[1]).find(other => other != null && isNewer(other, own))
  return ok('version', `weft ${own} on Node ${runtime}${newer == null ? '' : `; a neighbour runs ${newer}`}`)
}

function isNewer (other: string, own: string): boolean {
  const [a, b] = [other.split('.').map(Number), own.split('.').map(Number)]
  const at = a.findIndex((part, index) => part !== (b[index] ?? 0))
  return at >= 0 && (a[at] ?? 0) > (b[at] ?? 0)
}

function disk ({ freeBytes, dataDir }: DoctorFacts): DoctorCheck {
  const mend = 'make room there, or move the data directory to another disk and name it with WEFT_HOME'
  if (freeBytes == null) return failed('disk', `the free space of ${dataDir} cannot be read`, 'see whether the disk is still mounted and the folder still there')
  const says = `${bytes(freeBytes)} free for ${dataDir}`
  return freeBytes < DISK_FULL_BYTES ? failed('disk', says, mend) : freeBytes < DISK_LOW_BYTES ? warning('disk', says, mend) : ok('disk', says)
}

function listening (facts: DoctorFacts): DoctorCheck {
  const { listen, privateNetwork } = facts
  const mend = `weft config set listen /ip4/0.0.0.0/tcp/${portOf(listen[0])}   then restart the daemon`
  if (listen.length === 0) return warning('listen', 'this node listens nowhere: it reaches others, but nobody reaches it', mend)
  const shown = listen.map(withoutPeer).join(' ')
  if (listen.some(address => !isLoopback(address))) return ok('listen', shown)
  // Where nobody from outside is meant to come, loopback is as it should be.
  if (!privateNetwork && facts.bootstrap.every(({ address }) => isLoopback(address))) return ok('listen', `${shown} (this machine only)`)
  return warning('listen', `${shown}: loopback only, so that no other machine reaches this node`, mend)
}

function bootstrap (facts: DoctorFacts): DoctorCheck {
  const all = facts.bootstrap
  if (all.length === 0) return ok('bootstrap', 'no addresses configured')
  const silent = all.filter(({ problem }) => problem != null)
  const reached = `${all.length - silent.length} of ${count(all.length, 'address', 'addresses')} connected`
  const [first] = silent
  if (first == null) return ok('bootstrap', reached)
  const says = `${reached}; ${first.address}: ${oneLine(first.problem ?? '')}`
  if (settling(facts)) return warning('bootstrap', says, 'the daemon has only just started: look again in a few seconds')
  const mend = 'see that the daemon there runs and its port is open to this machine; if it has moved, take a new string from \'weft invite\' there, and put its addresses into bootstrap (weft config set bootstrap ADDRESS)'
  return facts.peers === 0 && silent.length === all.length ? failed('bootstrap', says, mend) : warning('bootstrap', says, mend)
}

function peers (facts: DoctorFacts): DoctorCheck {
  if (facts.peers > 0) return ok('peers', `${count(facts.peers, 'member')} connected`)
  if (settling(facts)) return warning('peers', 'no member is connected yet', 'the daemon has only just started: look again in a few seconds')
  const found = facts.mdns ? 'Members on the same local network find one another by multicast DNS (UDP port 5353), unless that is filtered.' : 'Finding members on the local network is off (discovery.mdns).'
  const mend = facts.privateNetwork
    ? `run 'weft invite' here and 'weft join STRING && weft start' on the other machine. ${found}`
    : `name a member: weft config set bootstrap /ip4/ADDRESS/tcp/PORT/p2p/PEER (weft status there shows it). ${found}`
  return warning('peers', 'no member of the network is connected: conversions run on this machine alone', mend)
}

function dht (facts: DoctorFacts): DoctorCheck {
  if (facts.dhtPeers > 0) return ok('dht', `${count(facts.dhtPeers, 'member')} in the routing table`)
  if (facts.peers === 0) return ok('dht', 'nobody in the routing table, as nobody is connected')
  return settling(facts)
    ? ok('dht', 'nobody in the routing table yet')
    : warning('dht', 'members are connected, but none of them serves the DHT: providers are found among neighbours only', 'let at least one member that stays on have dht.mode server (the default)')
}

function reachability (facts: DoctorFacts): DoctorCheck {
  const name = 'reachability'
  if (facts.peers === 0) return ok(name, 'not known: no neighbour to ask')
  const heard = facts.dialbacks.filter(({ failure }) => failure == null)
  if (heard.length === 0) return warning(name, `not known: no neighbour dialled back (${facts.dialbacks[0]?.failure ?? 'none was asked in time'})`, 'try again in a minute')
  const tried = heard.filter(({ answers }) => answers.some(({ outcome }) => outcome !== 'not-tried'))
  if (tried.length === 0) return notTried(facts, heard)
  const reached = tried.filter(({ answers }) => answers.some(({ outcome }) => outcome === 'reachable'))
  const address = mostCommon((reached.length > 0 ? reached : tried).flatMap(({ answers }) => answers.filter(({ outcome }) => outcome === 'reachable' || (reached.length === 0 && outcome !== 'not-tried')).map(answer => withoutPeer(answer.address))))
  const says = `${reached.length} of ${count(tried.length, 'neighbour')} reached ${address}`
  if (reached.length * 2 >= tried.length) return ok(name, says)
  const [answer] = tried.filter(report => !reached.includes(report)).flatMap(({ answers }) => answers.filter(({ outcome }) => outcome !== 'not-tried'))
  return warning(name, `${says}: ${answer?.reason ?? ''}`, causeOf(answer?.outcome, portOf(address)))
}

/** Every neighbour sees this node at an IP address that it does not listen on, and could not try any port there. */
function notTried ({ listen }: DoctorFacts, heard: DialbackFact[]): DoctorCheck {
  const [{ observed, answers } = { observed: '', answers: [] }] = heard
  const says = `no neighbour dials this node's addresses${observed === '' ? '' : `; it is seen at ${withoutPeer(observed)}`}`
  if (listen.length === 0) return warning('reachability', says, 'this node listens nowhere: see listen')
  return warning('reachability', `${says}: ${answers[0]?.reason ?? 'it told them none'}`, 'listen on an address that others see, for instance /ip4/0.0.0.0/tcp/4001')
}

function causeOf (outcome: DialbackFact['answers'][number]['outcome'] | undefined, port: string): string {
  switch (outcome) {
    case 'refused': return `the firewall of this machine refuses TCP port ${port}, or the router in front of it has no forwarding for it: open or forward it. Connections this node opens itself still work`
    case 'timeout': return `a firewall drops TCP port ${port}, or the router in front of this machine has no forwarding for it: open the port in the firewall, and forward it where the machine is behind NAT. Connections this node opens itself still work`
    case 'foreign': return `another program or machine answers on TCP port ${port} there: see where the router forwards it, and that nothing else uses the port`
    default: return `the neighbour has no route to this machine: see listen, and the routes between the two networks`
  }
}

function clock ({ clocks }: DoctorFacts): DoctorCheck {
  if (clocks.length === 0) return ok('clock', 'not compared: no neighbour to compare it with')
  const ahead = median(clocks)
  const off = Math.abs(ahead)
  if (off < CLOCK_WARNING_MS) return ok('clock', `within ${seconds(Math.max(off, SECOND))} of ${count(clocks.length, 'neighbour')}`)
  const says = `${ahead > 0 ? 'behind' : 'ahead of'} ${clocks.length === 1 ? 'that of the neighbour asked' : `those of ${clocks.length} neighbours`} by ${seconds(off)}`
  const mend = `set the clock from the network: timedatectl set-ntp true${clocks.length === 1 ? ' (here, or on the neighbour if this clock is right)' : ''}`
  return off < CLOCK_REFUSED_MS ? warning('clock', says, mend) : failed('clock', `${says}: what one of you signs, the other refuses as too old or too new`, mend)
}

function engines ({ engines: { slots, bwrap, sandbox }, works }: DoctorFacts): DoctorCheck {
  const says = `${count(slots, 'slot')}${works ? '' : ' for own jobs (policy.accept is off)'}`
  if (bwrap) return ok('engines', `${says}, sandboxed with bwrap`)
  if (sandbox === 'off') return warning('engines', `${says}, with resource limits but without a sandbox: executor.sandbox is off`, 'weft config set executor.sandbox auto, then restart the daemon')
  return warning('engines', `${says}, with resource limits but without a sandbox: bwrap is missing or does not work here`, 'install bubblewrap (for instance: apt install bubblewrap) and restart the daemon; in a container, allow user namespaces')
}

function advert (facts: DoctorFacts): DoctorCheck {
  if (!facts.works) return ok('advert', 'none: this node takes no work of others (policy.accept is off)')
  const own = facts.advert
  if (own == null) return settling(facts) ? ok('advert', 'not published yet') : failed('advert', 'this node has published no advert, so that nobody sends it work', 'see its log for why, and restart the daemon')
  if (own.ageMs > ADVERT_OLD_MS) return failed('advert', `the advert is ${seconds(own.ageMs)} old and has expired: nobody sends work`, 'see the log for why it was not renewed; has the clock been changed?')
  if (own.draining) return warning('advert', 'the advert says that this node is draining', 'restart the daemon if it is to take work again')
  return ok('advert', `${count(own.converters, 'converter')} offered, signed ${seconds(Math.max(0, own.ageMs))} ago`)
}

function eventLoop ({ loopDelayMs }: DoctorFacts): DoctorCheck {
  const says = `at most ${seconds(loopDelayMs)} late recently`
  return loopDelayMs < LOOP_WARNING_MS ? ok('event loop', says) : warning('event loop', says, 'the machine has more to do than it can: lower executor.slots, or give the daemon more processor time')
}

/** The lower one of the two in the middle. */
function median (values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? 0
}

function mostCommon (values: string[]): string {
  const tally = new Map<string, number>()
  for (const value of values) tally.set(value, (tally.get(value) ?? 0) + 1)
  return [...tally].toSorted((a, b) => b[1] - a[1])[0]?.[0] ?? ''
}

export interface DoctorParts {
  status: () => NodeStatus
  network: Pick<Network, 'peers' | 'dhtPeers' | 'connect'>
  registry: Pick<Registry, 'view'>
  /** Must not reject. */
  dialback: { ask: (peer: PeerId, options: { signal: AbortSignal }) => Promise<DialbackFact> }
  loopDelay: { worst: () => number }
  settings: { works: boolean, privateNetwork: boolean, mdns: boolean, bootstrap: string[], sandbox: 'auto' | 'require' | 'off' }
  /** UTC milliseconds. @default Date.now */
  now?: () => number
}

/** Asks the node's parts, and up to NEIGHBOURS_ASKED_MAX neighbours, and judges. What is not known when the signal fires is left out. */
export async function examine (parts: DoctorParts, { signal }: { signal: AbortSignal }): Promise<DoctorReport> {
  const { status, network, registry, dialback, loopDelay, settings, now = Date.now } = parts
  const { version: own, state: current, uptimeSeconds, multiaddrs, dataDir, executor } = status()
  const greeted = network.peers()
  const asked = chooseNeighbours(greeted.map(({ peer, connection }) => ({ peer, address: connection.remoteAddr.toString() })))
  const [dialbacks, boot, freeBytes] = await Promise.all([
    Promise.all(asked.map(async ({ peer }) => await dialback.ask(peer, { signal }))),
    bootstrapFacts(settings.bootstrap, parts, signal),
    statfs(dataDir).then(({ bavail, bsize }) => bavail * bsize, () => undefined)
  ])
  const views = registry.view()
  const self = views.find(({ source }) => source === 'self')?.advert
  const measured = dialbacks.flatMap(({ clockAheadMs }) => clockAheadMs ?? [])
  // An advert can only have been issued before it was seen: where it was not, its clock is ahead by at least that.
  const issuedAhead = views.filter(({ source }) => source === 'direct').map(({ advert: { issued }, seen }) => Math.max(0, issued - seen))
  return {
    checks: checksOf({
      version: own,
      runtime: process.version,
      state: current,
      uptimeSeconds,
      ...settings,
      listen: multiaddrs,
      bootstrap: boot,
      peers: network.peers().length,
      dhtPeers: network.dhtPeers(),
      dataDir,
      ...(freeBytes == null ? {} : { freeBytes }),
      dialbacks,
      clocks: measured.length > 0 ? measured : issuedAhead,
      engines: { slots: executor.slots, bwrap: executor.bwrap, rlimits: executor.rlimits, sandbox: settings.sandbox },
      ...(self == null ? {} : { advert: { ageMs: now() - self.issued, converters: self.converters.length, draining: self.draining } }),
      loopDelayMs: loopDelay.worst(),
      agents: greeted.map(({ hello }) => hello.agent)
    })
  }
}

/** Those that see this node from most different places: other machines first, and one per IP address before a second of any. */
export function chooseNeighbours<T extends { address: string }> (all: T[]): T[] {
  const hostOf = (address: string): string => address.split('/')[2] ?? ''
  const sorted = [...all.filter(({ address }) => !isLoopback(address)), ...all.filter(({ address }) => isLoopback(address))]
  const firsts = sorted.filter(({ address }, index) => sorted.findIndex(other => hostOf(other.address) === hostOf(address)) === index)
  return [...firsts, ...sorted.filter(entry => !firsts.includes(entry))].slice(0, NEIGHBOURS_ASKED_MAX)
}

/** Those not connected are dialled, to learn why. */
async function bootstrapFacts (addresses: string[], { network, status }: DoctorParts, signal: AbortSignal): Promise<DoctorFacts['bootstrap']> {
  const { peerId } = status()
  const connected = new Set(network.peers().map(({ peer }) => peer.toString()))
  let dials = 0
  return await Promise.all(addresses.filter(address => !address.endsWith(`/p2p/${peerId}`)).map(async address => {
    if (connected.has(/\/p2p\/([^/]+)$/.exec(address)?.[1] ?? '')) return { address }
    if (++dials > BOOTSTRAP_TRIED_MAX) return { address, problem: 'not connected' }
    try {
      await network.connect(address, { signal: AbortSignal.any([signal, AbortSignal.timeout(BOOTSTRAP_TRY_MS)]) })
      return { address }
    } catch (error) {
      return { address, problem: (error as Error).name === 'TimeoutError' ? 'no answer in time' : (error as Error).message }
    }
  }))
}
