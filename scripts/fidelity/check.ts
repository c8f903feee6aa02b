/** Converts every real file in every direction on a network of three daemons, on the other nodes only, and judges the outputs. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { convert } from '../../bench/api.ts'
import { SOURCES, type Source } from '../../test/fuzz/arbitrary.ts'
import { extensionOf } from '../../test/fuzz/write.ts'
import { startTestnet, type Testnet } from '../../test/fixtures/testnet.ts'
import type { RealFile } from './files.ts'
import { judge } from './judge.ts'

export interface Result {
  file: string
  from: Source
  to: Source
  outcome: 'equal' | 'refused' | 'differs'
  rows: number
  columns: number
  blocks: number
  /** Why it was refused, or how it differs. */
  reason?: string
  /** Codes of what the report noted. */
  notes: string[]
  by?: string
}

export interface CheckOptions {
  files: RealFile[]
  targets?: Source[]
  /** Bytes per block: small, so that even small files are cut. */
  blockBytes: number
  tell: (line: string) => void
}

const SEED = 20261121
/** Files converted and judged at the same time. */
const AT_ONCE = 2

export async function check ({ files, targets = SOURCES, blockBytes, tell }: CheckOptions): Promise<Result[]> {
  const testnet = await startTestnet({ nodes: 3, seed: SEED })
  try {
    const waiting = files.flatMap(file => targets.map(to => ({ file, to })))
    const results = new Map<string, Result>()
    const total = waiting.length
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let next = waiting.shift(); next != null; next = waiting.shift()) {
        const result = await one(testnet, next.file, next.to, blockBytes)
        results.set(`${result.file} ${result.to}`, result)
        tell(`${String(results.size).padStart(4)}/${total} ${result.file} to ${result.to}: ${result.outcome}${result.reason == null ? '' : ` (${result.reason})`}`)
      }
    }))
    return files.flatMap(file => targets.map(to => results.get(`${file.name} ${to}`)!))
  } finally {
    await testnet.down()
  }
}

async function one (testnet: Testnet, file: RealFile, to: Source, blockBytes: number): Promise<Result> {
  const output = join(testnet.dir, `${file.name}.${extensionOf(to)}`)
  const result: Result = { file: file.name, from: file.format, to, outcome: 'refused', rows: 0, columns: 0, blocks: 0, notes: [] }
  try {
    const report = await convert(testnet.node('n0'), { inputs: [file.path], output, to: extensionOf(to), place: 'remote', blockBytes, overwrite: true })
    const { columns = [], types = {} } = report.conversion[0]!.parameters as { columns?: Array<{ name: string, type: string }>, types?: Record<string, string> }
    const claimed = new Map(columns.map(({ name, type }, i) => [name, types[i] ?? type]))
    const { rows, columns: width, difference, by } = await judge(file, output, to, claimed)
    return { ...result, outcome: difference == null ? 'equal' : 'differs', rows, columns: width, blocks: report.blocks.total, notes: [...new Set((report.notes ?? []).map(({ code }) => code))], by, ...(difference == null ? {} : { reason: difference }) }
  } catch (error) {
    const message = (error as Error).message.replaceAll(file.path, file.name).replaceAll(testnet.dir, '.')
    return { ...result, outcome: /the job ended|POST/.test(message) ? 'refused' : 'differs', reason: message.replace(/^the job ended failed: /, '') }
  } finally {
    await rm(output, { force: true })
  }
}
