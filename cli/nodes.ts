import type { Command } from 'commander'
import type { NodeView } from '../daemon/gateway/index.ts'
import { resolvePaths } from '../daemon/config/paths.ts'
import { connect } from './lib/client.ts'
import { print, printJson, table, tell } from './lib/terminal.ts'
import { formatSeconds } from './lib/units.ts'

interface Options { from?: string, to?: string, converter?: string, limit?: string, cursor?: string, json?: boolean }

export function configure (command: Command): void {
  command
    .option('--from <type>', 'only nodes that convert from this type (media type or extension)')
    .option('--to <type>', 'only nodes that convert to this type')
    .option('--converter <id>', 'only nodes with this converter')
    .option('--limit <number>', 'at most so many')
    .option('--cursor <cursor>', 'continue a list that was longer than its limit')
    .option('--json', 'print JSON')
    .action(async ({ json = false, ...filter }: Options) => {
      const client = await connect(resolvePaths().dataDir)
      const answer = await client.nodes({ ...filter })
      if (json) return printJson(answer)
      if (answer.nodes.length === 0) tell('no node of the network matches')
      else print(table(['PEER', 'CORES', 'SLOTS', 'CONVERTERS', 'PRICE/H', 'KNOWN', 'STATE'], answer.nodes.map(row)))
      if (answer.cursor != null) tell(`there are more: --cursor ${answer.cursor}`)
    })
}

function row (node: NodeView): string[] {
  const state = node.self ? 'this node' : node.draining ? 'draining' : node.connected ? 'connected' : 'not connected'
  return [node.peer, String(node.resources.cores), String(node.resources.slots), String(node.converters.length), node.price === '0' ? 'free' : `${node.price} µ${node.unit}`,
    node.self ? 'itself' : `${formatSeconds(node.ageMs / 1000)} ago (${node.source})`, state]
}

