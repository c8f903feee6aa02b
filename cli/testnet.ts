import { resolve } from 'node:path'
import type { Command } from 'commander'
import { EXIT } from './lib/exit.ts'
import { Failure } from './lib/failure.ts'
import { onInterrupt } from './lib/interrupt.ts'
import { print, printJson, styled, table, tell } from './lib/terminal.ts'
import { parseWhole } from './lib/units.ts'
import { NODES_DEFAULT, NODES_MAX } from './testnet/constants.ts'
import { configureLinks } from './testnet/link-verbs.ts'
import { inWords } from './testnet/links.ts'
import { down, killNode, pauseNode, startNode, stopNode, takeDown, up } from './testnet/network.ts'
import { readProfile, type NodeProfile } from './testnet/profile.ts'
import { lives, requireState, type TestNode, type TestnetState } from './testnet/state.ts'
import { presentState, watchNetwork } from './testnet/watch.ts'

interface Options { dir: string, json?: boolean }
interface UpOptions extends Options { nodes?: string, seed?: string, profile?: string, scenario?: string }

export function configure (command: Command): void {
  command.addHelpText('after', `
The network runs in the foreground and ends with Ctrl-C. From another terminal:
  weft testnet status
  weft testnet kill n3
  weft testnet partition n1,n2 n3
  WEFT_HOME=.testnet/n0 weft convert in.csv --to parquet --remote`)
  const verb = (name: string, summary: string): Command => command.command(name).description(summary).option('--dir <folder>', 'folder of the network', '.testnet').option('--json', 'print JSON')
  verb('up', 'start a network in the foreground')
    .option('--nodes <number>', `how many daemons (default: ${NODES_DEFAULT}, or as many as the profile has)`)
    .option('--seed <seed>', 'the same seed gives the same peer ids (default: random)')
    .option('--profile <file>', 'what the nodes are like: {"nodes":[{"speed"?,"price"?,"converters"?,"cores"?,"faults"?}]}')
    .option('--scenario <file>', 'run the steps of a file, check what it expects, and end: exit 0 if all of it holds')
    .action(runUp)
  verb('status', 'the nodes and how they are').action(status)
  verb('down', 'end every daemon of the network').action(async ({ dir, json = false }: Options) => {
    await down(resolve(dir))
    if (json) printJson({ state: 'down' })
    else tell('weft: the test network is down')
  })
  const forOne = (name: string, summary: string, done: string, act: (dir: string, node: string) => Promise<TestNode>): void => {
    verb(name, summary).argument('<name>', 'node, like n3').action(async (node: string, { dir, json = false }: Options) => {
      const entry = await act(resolve(dir), node)
      if (json) printJson(entry)
      else tell(`weft: ${node} ${done} (process ${entry.pid})`)
    })
  }
  forOne('kill', 'kill a node with SIGKILL', 'was killed', killNode)
  forOne('stop', 'stop a node, which drains first', 'has stopped', stopNode)
  forOne('start', 'start a node again, with the same key and data', 'runs', startNode)
  forOne('pause', 'freeze a node (SIGSTOP)', 'is paused', async (dir, node) => await pauseNode(dir, node, true))
  forOne('unpause', 'let a frozen node go on', 'goes on', async (dir, node) => await pauseNode(dir, node, false))
  configureLinks(verb)
}

async function runUp (options: UpOptions): Promise<void> {
  const dir = resolve(options.dir)
  const scenario = options.scenario == null ? undefined : await (await import('./testnet/scenario.ts')).readScenario(options.scenario)
  if (scenario != null && options.profile != null) throw new Failure('usage', '--profile: the scenario describes the nodes; leave one of the two out')
  const profiles: NodeProfile[] = options.profile == null ? scenario?.profiles ?? [] : await readProfile(options.profile)
  const nodes = options.nodes == null ? Math.max(profiles.length, 0) || NODES_DEFAULT : parseWhole(options.nodes, '--nodes', 1, NODES_MAX)
  if (profiles.length > nodes) throw new Failure('usage', `${options.profile == null ? '--scenario' : '--profile'}: ${options.profile ?? options.scenario ?? ''} describes ${profiles.length} nodes, and --nodes says ${nodes}`)
  const seed = options.seed ?? scenario?.seed
  const interrupt = onInterrupt()
  try {
    const network = await up({ dir, nodes, profiles, tell: text => { tell(`weft: ${text}`) }, signal: interrupt.signal, ...(seed != null ? { seed } : {}) })
    try {
      if (scenario != null) {
        const held = await (await import('./testnet/scenario-run.ts')).runScenario(scenario, network, { dir, json: options.json === true, signal: interrupt.signal })
        process.exitCode = interrupt.signal.aborted ? EXIT.interrupted : held ? EXIT.done : EXIT.failed
        return
      }
      if (options.json === true) printJson(network)
      tell(screen(network, dir))
      tell(`\n${styled('bold', `${nodes} daemons are up.`)} Ctrl-C ends them. From another terminal, for instance:\n  WEFT_HOME=${network.nodes[0]?.dataDir ?? ''} bin/weft status\n  scripts/testnet kill n${nodes - 1}${options.dir === '.testnet' ? '' : ` --dir ${options.dir}`}`)
      await watchNetwork(dir, { tell: text => { tell(`weft: ${text}`) }, signal: interrupt.signal })
      tell('weft: ending every daemon')
    } finally {
      await takeDown(dir)
    }
  } finally {
    interrupt.release()
  }
}

async function status ({ dir, json = false }: Options): Promise<void> {
  const state = await requireState(resolve(dir))
  const nodes = state.nodes.map(node => ({ ...node, state: presentState(node) }))
  if (json) return printJson({ ...state, nodes })
  print(screen({ ...state, nodes }, resolve(dir)))
  if (state.supervisor != null && !lives(state.supervisor)) {
    tell(`weft: the command that ran this network is gone: clean up with 'weft testnet down --dir ${dir}'`)
    process.exitCode = EXIT.failed
  }
}

function screen ({ network, nodes, links }: Pick<TestnetState, 'network' | 'links'> & { nodes: Array<Omit<TestNode, 'state'> & { state: string }> }, dir: string): string {
  return `network ${network}, logs in ${dir}/n*.log\n\n` +
    table(['NODE', 'STATE', 'PROCESS', 'PEER', 'API'], nodes.map(node => [node.name, node.state, String(node.pid), node.peerId, node.api])) +
    (links == null || links.length === 0 ? '' : `\n\n${inWords(links).join('\n')}`)
}
