/** `partition`, `latency`, `bandwidth`, `loss`, `heal`: the links of a running test network. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { printJson, tell } from '../lib/terminal.ts'
import { degrade, heal, inWords, parseMilliseconds, parseRate, parseShare, partition, type LinkChange } from './links.ts'
import type { TestnetState } from './state.ts'

interface Options { dir: string, json?: boolean }

const NODES = 'Nodes are named in lists with commas, like n1,n2. What is set holds for connections that are open, those made later, and after a restart of a node, until it is set anew or healed.'

export function configureLinks (verb: (name: string, summary: string) => Command): void {
  verb('partition', 'let nothing arrive between groups of nodes, without telling them (a black hole)')
    .argument('<group>', 'nodes, like n1,n2')
    .argument('[groups...]', 'others (default: all others)')
    .option('--one-way', 'lose only what the first group sends')
    .addHelpText('after', `\nNeither are bytes delivered or acknowledged, nor are connections closed; new ones hang until the dial gives up. What was\nsent meanwhile arrives after 'heal', in order, as with TCP.\n\n${NODES}`)
    .action(async (group: string, groups: string[], { dir, json, oneWay = false }: Options & { oneWay?: boolean }) => { report(await partition(resolve(dir), [group, ...groups], { oneWay }), json) })
  const between = (name: string, summary: string, value: string, what: string, more: string, read: (text: string, options: { jitter?: string }) => LinkChange): Command =>
    verb(name, summary)
      .argument('<nodes>', 'nodes, like n1,n2')
      .argument('<others>', 'nodes on the other side')
      .argument(value, what)
      .addHelpText('after', `\n${more}\n\n${NODES}`)
      .action(async (one: string, other: string, text: string, options: Options & { jitter?: string }) => { report(await degrade(resolve(options.dir), one, other, read(text, options)), options.json) })
  between('latency', 'delay what nodes send to one another', '<time>', 'on each way, like 80ms; 0ms for none', 'A round trip takes twice the time longer. The handshake of a new connection is delayed by one round trip only.',
    (text, { jitter }) => ({ delayMs: parseMilliseconds(text, 'latency'), jitterMs: jitter == null ? 0 : parseMilliseconds(jitter, '--jitter') }))
    .option('--jitter <time>', 'by which the delay varies, up and down, like 20ms')
  between('bandwidth', 'limit the rate between nodes', '<rate>', 'on each way, like 500kbit, 10mbit or 1gbit (per second)', 'A quarter of a second of bytes queues in front of a slow link, then the sender has to wait. Datagrams do not count.',
    text => ({ bytesPerSecond: parseRate(text, 'bandwidth') }))
  between('loss', 'lose packets between nodes', '<share>', 'of packets, like 5%; 0% for none', 'On connections a lost packet costs time, as TCP sends it again: one round trip where others follow it, otherwise 200 ms and more\n(the retransmission timeout, doubled with each further loss). Congestion control is not modelled: use tc netem for that. Datagrams are lost.',
    text => ({ loss: parseShare(text, 'loss') }))
  verb('heal', 'make links sound again')
    .argument('[nodes]', 'only the links of these nodes (default: all)')
    .argument('[others]', 'only those to these nodes')
    .action(async (one: string | undefined, other: string | undefined, { dir, json }: Options) => { report(await heal(resolve(dir), [one, other].filter(group => group != null)), json) })
}

function report ({ links = [] }: TestnetState, json = false): void {
  if (json) return printJson({ links })
  tell(links.length === 0 ? 'weft: every link is sound' : inWords(links).map(line => `weft: ${line}`).join('\n'))
}
