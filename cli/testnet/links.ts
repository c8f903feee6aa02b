/** The ways between the nodes of a test network: what is wrong with each, told to the daemons at both ends. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LINKS_APPLIED_FILE, LINKS_FILE, type LinkFault } from '../../daemon/link-faults.ts'
import { Failure, usage } from '../lib/failure.ts'
import { LINKS_APPLIED_MS, LOOK_MS } from './constants.ts'
import { lives, nodeOf, updateState, type Link, type TestNode, type TestnetState } from './state.ts'

/** What a command changes about a link. */
export type LinkChange = Omit<Link, 'from' | 'to'>

/** Names of nodes, in a list with commas. */
export type Group = string

/** Nothing arrives between nodes of different groups; one group alone is cut off from everybody else. `oneWay`: from the first to the others only. */
export async function partition (dir: string, groups: Group[], { oneWay = false }: { oneWay?: boolean } = {}): Promise<TestnetState> {
  return await changeLinks(dir, state => {
    const [first = [], ...others] = groupsOf(state, groups)
    if (others.length === 0 && first.length === state.nodes.length) throw usage(`${first.join(',')} are all nodes of this network: one group is cut off from everybody else; name some of them, or two groups`)
    const all = others.length > 0 ? [first, ...others] : [first, state.nodes.map(({ name }) => name).filter(name => !first.includes(name))]
    const ways = all.flatMap((from, index) => all.flatMap((to, other) => index === other || (oneWay && index > 0) ? [] : pairs(from, to)))
    return change(state.links ?? [], ways, { blocked: true })
  })
}

/** Both ways between every node of the one group and every node of the other. */
export async function degrade (dir: string, one: Group, other: Group, what: LinkChange): Promise<TestnetState> {
  return await changeLinks(dir, state => {
    const [a = [], b = []] = groupsOf(state, [one, other])
    return change(state.links ?? [], [...pairs(a, b), ...pairs(b, a)], what)
  })
}

/** Every link is sound again; with groups, those between them, or those of the one. */
export async function heal (dir: string, groups: Group[] = []): Promise<TestnetState> {
  return await changeLinks(dir, state => {
    if (groups.length === 0) return []
    const [a = [], b] = groupsOf(state, groups)
    const meant = ({ from, to }: Link): boolean => b == null ? a.includes(from) || a.includes(to) : (a.includes(from) && b.includes(to)) || (b.includes(from) && a.includes(to))
    return (state.links ?? []).filter(link => !meant(link))
  })
}

/** Whether two nodes can reach each other. */
export function cut ({ links = [] }: TestnetState, one: string, other: string): boolean {
  return links.some(({ from, to, blocked }) => blocked === true && ((from === one && to === other) || (from === other && to === one)))
}

/** One line each. */
export function inWords (links: Link[] = []): string[] {
  return links.map(({ from, to, blocked, delayMs, jitterMs, loss, bytesPerSecond }) => `${from} to ${to}: ` + [
    ...(blocked === true ? ['nothing arrives'] : []),
    ...(delayMs != null ? [`${delayMs} ms late${jitterMs != null ? `, more or less ${jitterMs} ms` : ''}`] : []),
    ...(bytesPerSecond != null ? [`at most ${Number((8 * bytesPerSecond / 1e6).toFixed(3))} mbit per second`] : []),
    ...(loss != null ? [`${Number((100 * loss).toFixed(3))} % of packets lost`] : [])
  ].join(', '))
}

/** Writes the new table to both ends of every link, and waits until those that run obey it. A paused one obeys once it goes on. */
async function changeLinks (dir: string, next: (state: TestnetState) => Link[]): Promise<TestnetState> {
  return await updateState(dir, async state => {
    const links = next(state)
    const version = (state.linksVersion ?? 0) + 1
    for (const node of state.nodes) await tell(node, version, tableOf(state, links, node))
    const deadline = performance.now() + LINKS_APPLIED_MS
    for (const node of state.nodes.filter(node => node.state === 'running' && lives(node))) {
      while (lives(node) && await applied(node) < version) {
        if (performance.now() > deadline) throw new Failure('failed', `${node.name} does not take the new state of its links after ${LINKS_APPLIED_MS / 1000} s: see ${node.log}`, { log: node.log })
        await delay(LOOK_MS)
      }
    }
    return { ...state, links, linksVersion: version }
  })
}

/** By peer id: a node's own table. */
function tableOf (state: TestnetState, links: Link[], { name }: TestNode): Record<string, LinkFault> {
  const table: Record<string, LinkFault> = {}
  for (const { from, to, blocked, ...late } of links) {
    if (from === name) Object.assign(table[nodeOf(state, to).peerId] ??= {}, late, blocked === true ? { blockOut: true } : {})
    if (to === name && blocked === true) (table[nodeOf(state, from).peerId] ??= {}).blockIn = true
  }
  return table
}

async function tell ({ dataDir }: TestNode, version: number, peers: Record<string, LinkFault>): Promise<void> {
  const file = join(dataDir, LINKS_FILE)
  await writeFile(`${file}.new`, JSON.stringify({ version, peers }), { mode: 0o600 })
  await rename(`${file}.new`, file)
}

/** -1 if it has taken none. */
async function applied ({ dataDir }: TestNode): Promise<number> {
  return Number(await readFile(join(dataDir, LINKS_APPLIED_FILE), 'utf8').catch(() => '-1'))
}

function change (links: Link[], ways: Array<[string, string]>, what: LinkChange): Link[] {
  const changed = new Map(links.map(link => [`${link.from} ${link.to}`, link]))
  for (const [from, to] of ways) {
    const link = { ...changed.get(`${from} ${to}`), from, to, ...what }
    changed.set(`${from} ${to}`, Object.fromEntries(Object.entries(link).filter(([, value]) => value !== 0)) as unknown as Link)
  }
  // A delay of 0 and a loss of 0 are none.
  return [...changed.values()].filter(link => Object.keys(link).length > 2)
}

const pairs = (from: string[], to: string[]): Array<[string, string]> => from.flatMap(a => to.map((b): [string, string] => [a, b]))

function groupsOf (state: TestnetState, groups: Group[]): string[][] {
  const named = groups.map(group => group.split(',').map(name => nodeOf(state, name.trim()).name))
  const all = named.flat()
  const twice = all.find((name, index) => all.indexOf(name) !== index)
  if (twice != null) throw usage(`${twice} is named twice: a node has no link to itself, and is in one group only`, { name: twice })
  return named
}

/** Milliseconds of `80ms` or `0.5s`. */
export function parseMilliseconds (text: string, what: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(text.trim()) ?? []
  if (number == null) throw usage(`${what}: '${text}' is not a time: write for instance 80ms or 0.5s`, { value: text })
  return Number(number) * (unit === 's' ? 1000 : 1)
}

const BITS: Record<string, number> = { kbit: 1e3, mbit: 1e6, gbit: 1e9 }

/** Bytes per second of `10mbit`. */
export function parseRate (text: string, what: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(kbit|mbit|gbit)$/i.exec(text.trim()) ?? []
  const bits = Number(number) * (BITS[unit.toLowerCase()] ?? Number.NaN)
  if (!(bits >= 8)) throw usage(`${what}: '${text}' is not a rate: write for instance 500kbit, 10mbit or 1gbit (per second)`, { value: text })
  return bits / 8
}

/** 0.05 of `5%`. */
export function parseShare (text: string, what: string): number {
  const [, number] = /^(\d+(?:\.\d+)?)%$/.exec(text.trim()) ?? []
  if (number == null || Number(number) > 100) throw usage(`${what}: '${text}' is not a share: write for instance 5%`, { value: text })
  return Number(number) / 100
}
