import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import type { BanInfo, PeerInfo } from '../daemon/gateway/index.ts'
import { connect, type Client } from './lib/client.ts'
import { Failure } from './lib/failure.ts'
import { fittedTable } from './lib/fitted-table.ts'
import { subjectOf } from './lib/known-peers.ts'
import { print, printJson, tell } from './lib/terminal.ts'
import { formatAge, formatRtt, shortPeer } from './lib/units.ts'

interface Json { json?: boolean }

const daemon = async (): Promise<Client> => await connect(resolvePaths().dataDir)

export function configure (command: Command): void {
  command.command('list', { isDefault: true }).description('members this node is connected to').option('--long', 'whole peer ids').option('--json', 'print JSON').action(list)
  command.command('connect').description('connect to a member').argument('<address>', 'multiaddr that ends in /p2p/<peer id>, or the peer id of a known node').option('--json', 'print JSON').action(dial)
  command.command('ban').description('talk to somebody no more, across restarts').argument('<subject>', 'peer id, or did:key of an operator for all its nodes; or the end of a known one')
    .option('--reason <text>', 'kept beside it').option('--json', 'print JSON').action(ban)
  command.command('unban').description('talk to somebody again').argument('<subject>', 'as it was banned, or the end of it').option('--json', 'print JSON').action(unban)
  command.command('bans').description('whom this node does not talk to').option('--json', 'print JSON').action(bans)
}

async function list ({ long = false, json = false }: Json & { long?: boolean }): Promise<void> {
  const peers = await (await daemon()).peers()
  if (json) return printJson({ peers })
  if (peers.length === 0) tell('no peer is connected: see weft invite, weft join and weft doctor')
  else print(peerTable(peers, { long, now: Date.now() }))
}

export function peerTable (peers: PeerInfo[], { long = false, now, width }: { long?: boolean, now: number, width?: number }): string {
  return fittedTable<PeerInfo>([
    { title: 'PEER', cell: ({ peer }) => long ? peer : shortPeer(peer), whole: true },
    { title: 'OPERATOR', cell: ({ operator }) => long ? operator : shortPeer(operator), whole: true },
    { title: 'LATENCY', cell: ({ rttMs }) => formatRtt(rttMs), right: true },
    { title: 'SINCE', cell: ({ since }) => formatAge(Math.max(0, now - since)), right: true },
    { title: 'BY', cell: ({ direction }) => direction === 'inbound' ? 'them' : 'us', spare: 2 },
    { title: 'ROLES', cell: ({ roles }) => roles.join(','), spare: 1 },
    { title: 'AGENT', cell: ({ agent }) => agent, spare: 3 },
    { title: 'ADDRESS', cell: ({ address }) => address.replace(/\/p2p\/[^/]+$/, '') }
  ], peers, width)
}

async function dial (address: string, { json = false }: Json): Promise<void> {
  const peer = await (await daemon()).connectPeer(address).catch((error: unknown) => { throw withoutField(error) })
  if (json) printJson(peer)
  else tell(`weft: connected to ${peer.peer} at ${peer.address}`)
}

async function ban (text: string, { reason, json = false }: Json & { reason?: string }): Promise<void> {
  const client = await daemon()
  const banned = await client.ban(await subjectOf(client, text, 'known'), reason).catch((error: unknown) => { throw withoutField(error) })
  if (json) printJson(banned)
  else tell(`weft: ${banned.subject} is banned; weft peers unban lets it in again`)
}

async function unban (text: string, { json = false }: Json): Promise<void> {
  const client = await daemon()
  const subject = await subjectOf(client, text, 'banned')
  await client.unban(subject)
  if (json) printJson({ subject })
  else tell(`weft: ${subject} is not banned any more`)
}

async function bans ({ json = false }: Json): Promise<void> {
  const banned = await (await daemon()).bans()
  if (json) return printJson({ bans: banned })
  if (banned.length === 0) tell('nobody is banned here; peers.deny of the configuration is a list of its own')
  else print(banTable(banned, Date.now()))
}

/** Whole ids, as `unban` takes them. */
export function banTable (banned: BanInfo[], now: number, width?: number): string {
  return fittedTable<BanInfo>([
    { title: 'SUBJECT', cell: ({ subject }) => subject, whole: true },
    { title: 'SINCE', cell: ({ since }) => formatAge(Math.max(0, now - since)), right: true },
    { title: 'REASON', cell: ({ reason }) => reason }
  ], banned, width)
}

/** `body 'address': expected ...` is how the daemon says it; here it is what was typed. */
function withoutField (error: unknown): unknown {
  if (!(error instanceof Failure) || error.details.in !== 'body') return error
  const field = String(error.details.field)
  return new Failure(error.code, error.message.replace(/^body '[^']*'/, field === 'reason' ? '--reason' : field), error.details, { cause: error })
}
