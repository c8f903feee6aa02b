import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { print, printJson } from './lib/terminal.ts'

export function configure (command: Command): void {
  command.option('--json', 'print JSON').action(({ json = false }: { json?: boolean }) => {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
    if (json) printJson({ version, node: process.versions.node, platform: `${process.platform}-${process.arch}` })
    else print(`weft ${version} (node ${process.versions.node}, ${process.platform}-${process.arch})`)
  })
}
