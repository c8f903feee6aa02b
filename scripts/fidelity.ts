/**
 * Makes docs/converters.md: what is kept and what is changed on every way between two table formats, and on which real files that was seen.
 *
 *   npm run fidelity                                            the page, from the rules and the last results
 *   npm run fidelity -- --check [--files a.csv,b.json] [--to csv,parquet]   converts the real files again first
 *
 * With --files or --to only those rows are renewed. Exits 1 if an output differs from its source.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SOURCES, type Source } from '../test/fuzz/arbitrary.ts'
import { check, type Result } from './fidelity/check.ts'
import { realFiles } from './fidelity/files.ts'
import { page } from './fidelity/page.ts'

const docs = join(import.meta.dirname, '..', 'docs')
const RESULTS = join(docs, 'converters.json')
const PAGE = join(docs, 'converters.md')

/** Bytes per block: small enough to cut nearly every file, large enough that thousands of blocks do not take hours. */
const BLOCK_BYTES = 50_000

interface Known { date?: string, results: Result[] }

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false }, files: { type: 'string' }, to: { type: 'string' }, 'block-bytes': { type: 'string', default: String(BLOCK_BYTES) } } })
const all = realFiles()
let known = read()
if (values.check) {
  const names = values.files?.split(',')
  const targets = values.to?.split(',') as Source[] | undefined
  const files = all.filter(({ name }) => names == null || names.includes(name))
  if (files.length === 0 || targets?.some(to => !SOURCES.includes(to)) === true) {
    console.error(`usage: npm run fidelity -- [--check] [--files ${all[0]!.name},...] [--to ${SOURCES.join(',')}] [--block-bytes N]`)
    process.exit(2)
  }
  const results = await check({ files, ...(targets == null ? {} : { targets }), blockBytes: Number(values['block-bytes']), tell: line => { console.log(line) } })
  const renewed = (result: Result): boolean => results.some(({ file, to }) => file === result.file && to === result.to)
  const order = (result: Result): number => all.findIndex(({ name }) => name === result.file) * SOURCES.length + SOURCES.indexOf(result.to)
  known = { date: new Date().toISOString().slice(0, 10), results: [...known.results.filter(result => !renewed(result)), ...results].toSorted((a, b) => order(a) - order(b)) }
  writeFileSync(RESULTS, `${JSON.stringify({ date: known.date, results: [] }).slice(0, -2)}\n${known.results.map(result => JSON.stringify(result)).join(',\n')}\n]}\n`)
  const count = (outcome: Result['outcome']): number => results.filter(result => result.outcome === outcome).length
  console.log(`${count('equal')} equal, ${count('refused')} refused, ${count('differs')} different`)
  if (count('differs') > 0) process.exitCode = 1
}
writeFileSync(PAGE, page(all, known.results, known.date))

function read (): Known {
  try {
    return JSON.parse(readFileSync(RESULTS, 'utf8')) as Known
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { results: [] }
  }
}
