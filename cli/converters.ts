import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import type { ConverterView } from '../daemon/gateway/index.ts'
import { connect } from './lib/client.ts'
import { print, printJson, table } from './lib/terminal.ts'

export function configure (command: Command): void {
  command.option('--json', 'print JSON').action(async ({ json = false }: { json?: boolean }) => {
    const converters = await (await connect(resolvePaths().dataDir)).converters()
    if (json) return printJson({ converters })
    print(table(['CONVERTER', 'VERSION', 'FROM', 'TO', 'RESULT'], converters.map(row)))
  })
}

function row ({ id, version, from, to, equivalence, extensions }: ConverterView): string[] {
  return [id, version, extensions?.from[0] ?? from, extensions?.to[0] ?? to, equivalence]
}
