import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import type { Capabilities, CapabilityVector } from '../daemon/gateway/index.ts'
import { connect } from './lib/client.ts'
import { fittedTable } from './lib/fitted-table.ts'
import { freshnessText } from './lib/freshness.ts'
import { print, printJson, tell } from './lib/terminal.ts'
import { count, formatBytes } from './lib/units.ts'

export function configure (command: Command): void {
  command.option('--json', 'print JSON').action(async ({ json = false }: { json?: boolean }) => {
    const capabilities = await (await connect(resolvePaths().dataDir)).capabilities()
    if (json) return printJson(capabilities)
    if (Object.keys(capabilities.resource_profiles).length === 0) return tell('nobody offers anything now')
    print(capabilitiesText(capabilities))
    tell(freshnessText(capabilities.view, 'adverts'))
  })
}

/** @param width - characters; by default those of the terminal */
export function capabilitiesText ({ resource_profiles: profiles, this_node: self, left_out: leftOut }: Capabilities, width?: number): string {
  const parts = Object.entries(profiles).map(([type, profile]) => {
    const own = self?.resource_profiles[type]
    return [headline(type, profile), vectorTable(profile, own, width)].join('\n')
  })
  return [parts.join('\n\n'), ...(leftOut > 0 ? [`... and ${leftOut} converters more`] : [])].join('\n')
}

function headline (type: string, { nodes, cpu_cores: cores, slots, memory_gb: memory, typical_price: price }: CapabilityVector): string {
  return `${type}: ${count(nodes, 'node')}, ${count(cores, 'core')}, ${count(slots, 'slot')}, ${formatBytes(memory * 1e9)} memory${price == null ? '' : `; median price ${price}`}`
}

/** Bytes of input per second and slot. */
function vectorTable ({ converters }: CapabilityVector, own: CapabilityVector | undefined, width: number | undefined): string {
  const here = new Map(own?.converters.map(({ converter, from, to, bytes_per_second: speed }) => [`${converter} ${from} ${to}`, speed?.median]))
  const text = (speed: number | undefined): string => speed == null ? '-' : `${formatBytes(speed)}/s`
  return fittedTable([
    { title: 'CONVERTER', cell: row => row.converter },
    { title: 'NODES', cell: ({ nodes }) => String(nodes), right: true },
    { title: 'MEASURED', cell: ({ measured }) => String(measured), right: true, spare: 2 },
    { title: 'SLOWEST', cell: row => text(row.bytes_per_second?.min), right: true, spare: 1 },
    { title: 'MEDIAN', cell: row => text(row.bytes_per_second?.median), right: true },
    { title: 'FASTEST', cell: row => text(row.bytes_per_second?.max), right: true },
    { title: 'HERE', cell: ({ converter, from, to }) => text(here.get(`${converter} ${from} ${to}`)), right: true }
  ], converters, width)
}
