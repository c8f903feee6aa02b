/** What is wrong with a running node, judged from facts, and how to mend it. Pure. */
import type { DoctorCheck, NodeAvailability, NodeStatus } from './gateway/index.ts'
import type { MonitorStatus } from './health/index.ts'
import type { StoreUsage } from './store/index.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const MIB = 2 ** 20

/** Bytes free below which work suffers, and below which it stops: results, decoded copies and journals need room. */
export const DISK_LOW_BYTES = 1024 * MIB
export const DISK_FULL_BYTES = 100 * MIB

/** Bytes that the block store may still take below which jobs of others are soon refused, unless a tenth of its quota is less. */
export const STORE_LOW_BYTES = 256 * MIB

/** Milliseconds two clocks may differ before it is worth a word, and before adverts are refused (CLOCK_SKEW_MS of trust). */
export const CLOCK_WARNING_MS = 30 * SECOND
export const CLOCK_REFUSED_MS = 5 * MINUTE

/** Milliseconds the event loop may be late before heartbeats suffer (they are sent every 500 ms). */
export const LOOP_WARNING_MS = 500

/** Seconds after the start in which what is missing is still expected to come. */
export const SETTLING_SECONDS = 15

/** Milliseconds an own advert holds (ADVERT_VALIDITY_MS of the registry). */
export const ADVERT_OLD_MS = 60 * MINUTE

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
  /** The block store; absent if it could not be asked. */
  store?: StoreUsage
  /** How much is done for others by the policy; absent where nothing is by `policy.accept`. */
  availability?: NodeAvailability
  /** Ids of all converters of this build that are not offered, and how many are. */
  converters: { offered: number, off: string[] }
  liveness: MonitorStatus
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
  return [state, version, disk, blockStore, listening, bootstrap, peers, dht, reachability, beacon, clock, engines, converters, availability, advert, eventLoop].map(check => check(facts))
}

/** Converters that are named where they are not offered. */
const CONVERTERS_NAMED = 5

const ok = (name: string, says: string): DoctorCheck => ({ name, state: 'ok', says })
const warning = (name: string, says: string, mend: string): DoctorCheck => ({ name, state: 'warning', says, mend })
const failed = (name: string, says: string, mend: string): DoctorCheck => ({ name, state: 'failed', says, mend })

const count = (number: number, noun: string, plural = `${noun}s`): string => `${number} ${number === 1 ? noun : plural}`
/** Reasons come from libraries and systems, in any form. */
const oneLine = (text: string): string => text.trim().replaceAll(/\p{Cc}+/gu, ' ').slice(0, 300)
const seconds = (ms: number): string => ms >= 10 * MINUTE ? `${Math.round(ms / MINUTE)} minutes` : ms >= SECOND ? `${Math.round(ms / SECOND)} s` : `${Math.round(ms)} ms`
const bytes = (value: number): string => value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : `${Math.round(value / 1e6)} MB`
const settling = ({ uptimeSeconds }: DoctorFacts): boolean => uptimeSeconds < SETTLING_SECONDS

export const isLoopback = (address: string): boolean => /^\/ip4\/127\.|^\/ip6\/::1\//.test(address)
const withoutPeer = (address: string): string => address.replace(/\/p2p\/[^/]+$/, '')
const portOf = (address: string | undefined): string => /\/tcp\/(\d+)/.exec(address ?? '')?.[1] ?? '4001'

function state ({ state: now, uptimeSeconds }: DoctorFacts): DoctorCheck {
  if (now === 'ready') return ok('state', `ready, for ${seconds(uptimeSeconds * SECOND)}`)
  const mend = now === 'starting'
    ? 'look again in a few seconds; its log says what it waits for'
    : now === 'stopping' ? 'start it again with \'weft start\' once it has stopped' : '\'weft resume\' lets it take work again; if it was told to stop, start it again with \'weft start\' once it has'
  return warning('state', `the node is ${now}${now === 'stopping' || now === 'starting' ? '' : ' and takes no work of others'}`, mend)
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

function blockStore ({ store, dataDir }: DoctorFacts): DoctorCheck {
  const name = 'block store'
  if (store == null) return failed(name, `the room for stored blocks in ${dataDir} cannot be learned`, 'see whether the disk is still mounted, and its log')
  const { bytes: taken, blocks, quotaBytes, reserveBytes, leftBytes } = store
  const says = `${bytes(taken)} in ${count(blocks, 'block')}, ${bytes(leftBytes)} more may come: of its ${bytes(quotaBytes)} (store.quotaBytes), with ${bytes(reserveBytes)} of the disk left free (store.reserveBytes)`
  if (leftBytes >= Math.min(STORE_LOW_BYTES, quotaBytes / 10)) return ok(name, says)
  const byQuota = quotaBytes - taken <= leftBytes
  const mend = byQuota
    ? 'wait for running jobs to end, cancel jobs that failed and are not to be gone on with (weft jobs cancel JOB), or raise store.quotaBytes and restart the daemon'
    : 'make room on that disk; jobs that wait for it go on by themselves, and one that failed for it with weft jobs resume JOB'
  return leftBytes <= 0 ? failed(name, `full: ${says}`, mend) : warning(name, says, mend)
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

/** Whether UDP gets through shows only while there is work. */
function beacon ({ liveness: { beacon: state, port, watched, byBeacon, sendFailures } }: DoctorFacts): DoctorCheck {
  const name = 'beacon'
  const slower = 'a dead one is noticed in 5 to 8 s instead of 3'
  if (state === 'off') return ok(name, `off (liveness.beacon): peers are judged by their connections, so that ${slower}`)
  if (state === 'resting') return ok(name, 'at rest: no work is under way with a peer; whether UDP gets through shows then')
  if (state === 'starting') return warning(name, 'its UDP socket is not open', 'look again in a few seconds; if it stays so, another program may have the port of liveness.port: the log says why')
  const unsent = sendFailures === 0 ? '' : `; ${count(sendFailures, 'packet')} could not be sent`
  const says = `UDP port ${port ?? 'unknown'}: ${byBeacon} of ${count(watched, 'peer')} at work with this node heard${unsent}`
  if (watched === 0 || byBeacon > 0) return ok(name, says)
  return warning(name, `${says}: ${slower}`, 'let that UDP port in from the other members here, or theirs there (one side that is reached is enough; liveness.port fixes it), unless they have no beacon. Work goes on either way')
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

function converters ({ works, converters: { offered, off } }: DoctorFacts): DoctorCheck {
  const left = off.length === 0 ? '' : `; not ${off.slice(0, CONVERTERS_NAMED).join(', ')}${off.length > CONVERTERS_NAMED ? ` and ${off.length - CONVERTERS_NAMED} more` : ''} (converters.only, converters.disable)`
  if (offered > 0) return ok('converters', `${offered} of ${offered + off.length}${left}`)
  return works
    ? warning('converters', 'none is offered, so that nobody sends work: converters.only and converters.disable leave none', 'take both out of the configuration, or set policy.accept to false; then restart the daemon')
    : ok('converters', 'none is offered')
}

/** What makes a node do less for others, as `Availability.reason` says it, and the key that says so. */
const POLICIES: Array<[reason: RegExp, key: string]> = [[/battery/, 'policy.battery'], [/busy/, 'policy.idleOnly'], [/hours/, 'policy.hours'], [/processor/, 'policy.cpuShare']]

/** As the owner wants it, so never a fault; but why nothing comes is what one asks. */
function availability ({ works, availability: now, engines }: DoctorFacts): DoctorCheck {
  const name = 'availability'
  if (!works || now == null) return ok(name, 'works for nobody else (policy.accept is off)')
  if (now.reason == null) return ok(name, `all of ${count(engines.slots, 'slot')} for others`)
  const key = POLICIES.find(([reason]) => reason.test(now.reason ?? ''))?.[1]
  const much = now.paused ? 'work for others is stopped' : now.slots === 0 ? 'no new work of others' : `${now.slots} of ${count(engines.slots, 'slot')} for others`
  return ok(name, `${much}: ${oneLine(now.reason)}${key == null ? '' : ` (${key})`}`)
}

function advert (facts: DoctorFacts): DoctorCheck {
  if (!facts.works) return ok('advert', 'none: this node takes no work of others (policy.accept is off)')
  const own = facts.advert
  if (own == null) return settling(facts) ? ok('advert', 'not published yet') : failed('advert', 'this node has published no advert, so that nobody sends it work', 'see its log for why, and restart the daemon')
  if (own.ageMs > ADVERT_OLD_MS) return failed('advert', `the advert is ${seconds(own.ageMs)} old and has expired: nobody sends work`, 'see the log for why it was not renewed; has the clock been changed?')
  const { availability: now } = facts
  if (own.draining && facts.state === 'ready' && now?.slots === 0) return ok('advert', 'it says that this node takes no work now: see availability')
  if (own.draining) return warning('advert', 'the advert says that this node is draining', '\'weft resume\' lets it take work again')
  return ok('advert', `${count(own.converters, 'converter')} offered, signed ${seconds(Math.max(0, own.ageMs))} ago`)
}

function eventLoop ({ loopDelayMs, liveness: { ownHealth } }: DoctorFacts): DoctorCheck {
  const says = `at most ${seconds(loopDelayMs)} late recently${ownHealth === 0 ? '' : `; it was late often, so that silent peers are given more time (own health ${ownHealth}, 0 is sound)`}`
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
