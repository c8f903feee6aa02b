/**
 * Tables that are large in an unusual direction, on one daemon: makes them, converts them, and prints seconds and peak resident memory.
 *
 *   npm run scale -- [--files 10000] [--field-bytes 200000000] [--columns 5000] [--rows 2000] [--only files,field,columns]
 *
 * Exits 1 if one of them fails, or comes out with other rows than went in.
 */
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { engineHighOf, highOf, watch } from '../bench/resident.ts'
import { startTestnet, type Finished, type Testnet } from '../test/fixtures/testnet.ts'

interface Case {
  name: string
  what: string
  /** Writes the input and says what to convert. */
  make: (folder: string) => Promise<{ inputs: string[], to: string, rows: number, outputs: number }>
}

const { values } = parseArgs({ options: { files: { type: 'string', default: '10000' }, 'field-bytes': { type: 'string', default: '200000000' }, columns: { type: 'string', default: '5000' }, rows: { type: 'string', default: '2000' }, only: { type: 'string' } } })
const [files, fieldBytes, columns, rows] = [values.files, values['field-bytes'], values.columns, values.rows].map(Number) as [number, number, number, number]

/** Written at once; it ends where no pair of quotes is cut. */
const PIECE = 'long "" text\n'.repeat(1 << 16)

async function smallFiles (folder: string): Promise<void> {
  await mkdir(folder)
  for (let i = 0; i < files; i++) await writeFile(join(folder, `part-${String(i).padStart(6, '0')}.csv`), `id,name,amount\n${i},name ${i},${i}.25\n${i + 1},"two\nlines",\n`)
}

const CASES: Case[] = [
  {
    name: 'files', what: `${files} small files to one`,
    make: async folder => {
      await smallFiles(join(folder, 'small'))
      return { inputs: [join(folder, 'small')], to: 'parquet', rows: 2 * files, outputs: 1 }
    }
  },
  {
    name: 'files', what: `${files} small files, one output each`,
    make: async folder => {
      await smallFiles(join(folder, 'small'))
      return { inputs: [join(folder, 'small')], to: 'ndjson', rows: 2 * files, outputs: files }
    }
  },
  ...['parquet', 'ndjson', 'csv'].map((to): Case => ({
    name: 'field', what: `a field of ${Math.round(fieldBytes / 1e6)} MB, CSV to ${to}`,
    make: async folder => {
      const path = join(folder, 'field.csv')
      const file = await open(path, 'w')
      try {
        await file.write('id,text\n1,short\n2,"')
        for (let written = 0; written < fieldBytes; written += PIECE.length) await file.write(PIECE)
        await file.write('"\n3,short\n')
      } finally {
        await file.close()
      }
      return { inputs: [path], to, rows: 3, outputs: 1 }
    }
  })),
  ...['parquet', 'ndjson'].map((to): Case => ({
    name: 'columns', what: `${columns} columns, ${rows} rows, CSV to ${to}`,
    make: async folder => {
      const path = join(folder, 'wide.csv')
      const file = await open(path, 'w')
      try {
        const all = [...Array(columns).keys()]
        await file.write(`${all.map(i => `column ${i}`).join(',')}\n`)
        for (let row = 0; row < rows; row++) await file.write(`${all.map(i => i % 3 === 0 ? row * i : i % 3 === 1 ? `text ${row}` : `${row}.5`).join(',')}\n`)
      } finally {
        await file.close()
      }
      return { inputs: [path], to, rows, outputs: 1 }
    }
  }))
]

async function convert (testnet: Testnet, one: Case, base: string): Promise<string | undefined> {
  const folder = await mkdtemp(join(base, 'case-'))
  try {
    const { inputs, to, rows, outputs } = await one.make(folder)
    const output = outputs === 1 ? join(folder, `out.${to}`) : `${join(folder, 'out')}/`
    const [{ pid }] = testnet.nodes as [Testnet['nodes'][0]]
    const started = performance.now()
    const { value, looks } = await watch([pid], () => 0, async (): Promise<Finished> => await testnet.weft(['convert', ...inputs, '--to', to, '-o', output, '--local', '--json']))
    const seconds = (performance.now() - started) / 1000
    const problem = value.code === 0 ? await wrong(output, to, rows, outputs) : value.stderr.trim().split('\n').at(-1)
    console.log(`${one.what}: ${problem ?? 'done'}, ${seconds.toFixed(1)} s, daemon ${highOf(looks, [pid]).toFixed(0)} MiB since it started, largest engine ${engineHighOf(looks).toFixed(0)} MiB`)
    return problem
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Counted by DuckDB, not by the product. */
async function wrong (output: string, to: string, rows: number, outputs: number): Promise<string | undefined> {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const path = outputs === 1 ? output : `${output}*.${to}`
    const size = 2 * Math.max(fieldBytes, 1 << 24)
    const read = to === 'parquet' ? `read_parquet('${path}')` : to === 'csv' ? `read_csv('${path}', max_line_size = ${size}, buffer_size = ${size}, all_varchar = true)` : `read_json('${path}', format = 'newline_delimited', maximum_object_size = ${size})`
    const found = Number((await connection.runAndReadAll(`SELECT count(*) FROM ${read}`)).getRows()[0]![0])
    return found === rows ? undefined : `${found} rows instead of ${rows}`
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

const only = values.only?.split(',')
const chosen = CASES.filter(({ name }) => only == null || only.includes(name))
if (chosen.length === 0 || [files, fieldBytes, columns, rows].some(value => !Number.isSafeInteger(value) || value < 1)) {
  console.error('usage: npm run scale -- [--files N] [--field-bytes N] [--columns N] [--rows N] [--only files,field,columns]')
  process.exit(2)
}
const base = await mkdtemp(join(tmpdir(), 'weft-scale-'))
try {
  for (const one of chosen) {
    // A network of its own, so that the high-water mark is this case's.
    const testnet = await startTestnet({ nodes: 1, seed: 41 })
    try {
      if (await convert(testnet, one, base) != null) process.exitCode = 1
    } finally {
      await testnet.down()
    }
  }
} finally {
  await rm(base, { recursive: true, force: true })
}
