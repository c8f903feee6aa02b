/** The bad-input table: every row is run here and on other machines (`--local`, `--remote`). */
import assert from 'node:assert/strict'
import { linkSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { Cell, Report, Row } from './row.ts'

const data = join(import.meta.dirname, '..', '..', '..', 'node_modules', 'vega-datasets', 'data')

const SMALL = 'a,b\n1,x\n2,y\n'
const SMALL_CELLS: Cell[][] = [['1', 'x'], ['2', 'y']]
const small = { name: 'out.parquet', format: 'parquet' as const, names: ['a', 'b'], rows: SMALL_CELLS }
const toParquet = ['--to', 'parquet', '-o', 'out/out.parquet']
const note = (code: string) => (report: Report): void => { assert.ok(report.notes.some(found => found.code === code), `no note ${code} among ${report.notes.map(found => found.code).join(', ')}`) }

/** Enough rows that small blocks have borders among them. */
const lines = (count: number, line: (i: number) => string): string => Array.from({ length: count }, (_, i) => line(i)).join('')

const QUOTED = Array.from({ length: 400 }, (_, i): [string, string] => [String(i), `line one of ${i}\nline "two", with a comma\r\n\n${'x'.repeat(i % 97)}`])
/** Longer than any block asked for, with line ends and quotes in it. */
const LONG = 'long "text", line\n'.repeat(180_000)
const wide = Array.from({ length: 5000 }, (_, i) => `c${i}`)
const deep = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

function parquetOf (bytes: number): Uint8Array {
  return readFileSync(join(data, 'flights-3m.parquet')).subarray(0, bytes)
}

const empty: Row[] = [
  { name: 'a CSV of 0 bytes', files: { 'in.csv': '' }, args: ['in.csv', ...toParquet], code: 1, says: 'is empty' },
  { name: 'an NDJSON of 0 bytes', files: { 'in.ndjson': '' }, args: ['in.ndjson', ...toParquet], code: 1, says: 'is empty' },
  { name: 'a JSON of 0 bytes', files: { 'in.json': '' }, args: ['in.json', ...toParquet], code: 1, says: 'is empty' },
  { name: 'a Parquet of 0 bytes', files: { 'in.parquet': '' }, args: ['in.parquet', '--to', 'csv', '-o', 'out/out.csv'], code: 1, says: 'Parquet' },
  { name: 'an Arrow file of 0 bytes', files: { 'in.arrow': '' }, args: ['in.arrow', '--to', 'csv', '-o', 'out/out.csv'], code: 1, says: 'Arrow' },
  { name: 'a gzip of nothing', files: { 'in.csv.gz': gzipSync('') }, args: ['in.csv.gz', ...toParquet], code: 1, says: 'is empty' },
  { name: 'a header and no rows', files: { 'in.csv': 'a,b\n' }, args: ['in.csv', ...toParquet], code: 0, output: { ...small, rows: [] } },
  { name: 'a JSON array without items', files: { 'in.json': '[]' }, args: ['in.json', ...toParquet], code: 1, says: 'no object' },
  { name: 'one row', files: { 'in.csv': 'a,b\n1,x\n' }, args: ['in.csv', ...toParquet], code: 0, output: { ...small, rows: [['1', 'x']] } },
  { name: 'no final newline', files: { 'in.csv': 'a,b\n1,x\n2,y' }, args: ['in.csv', ...toParquet], code: 0, output: small }
]

const text: Row[] = [
  {
    name: 'quotes across block borders', files: { 'in.csv': `n,t\n${QUOTED.map(([n, t]) => `${n},"${t.replaceAll('"', '""')}"\n`).join('')}` },
    args: ['in.csv', ...toParquet, '--block-size', '1kB'], code: 0, output: { ...small, names: ['n', 't'], rows: QUOTED },
    report: ({ blocks }) => { assert.ok(blocks.total > 10, `${blocks.total} blocks`) }
  },
  { name: 'an unterminated quote', files: { 'in.csv': `a,b\n1,x\n2,"y\n${lines(300, i => `${i},z\n`)}` }, args: ['in.csv', ...toParquet, '--block-size', '1kB'], code: 1, says: /line 3: a quote opened on line 3 is never closed/ },
  { name: 'NUL bytes', files: { 'in.csv': 'a,b\n1,x\0y\n' }, args: ['in.csv', ...toParquet], code: 1, says: 'NUL' },
  { name: 'invalid UTF-8, declared as UTF-8', files: { 'in.csv': Buffer.from('a,b\n1,\xe9\n', 'latin1') }, args: ['in.csv', ...toParquet, '--set', 'encoding=utf-8'], code: 1, says: /line 2.*UTF-8|UTF-8.*line 2/ },
  { name: 'invalid UTF-8 late in a large file, declared as UTF-8', files: { 'in.csv': Buffer.concat([Buffer.from(`a,b\n${lines(40_000, i => `${i},text of row ${i}\n`)}`), Buffer.from('40000,\xff\xfe\n', 'latin1')]) }, args: ['in.csv', ...toParquet, '--set', 'encoding=utf-8'], code: 1, says: 'UTF-8' },
  { name: 'duplicate and empty column names', files: { 'in.csv': 'a,A,,a\n1,2,3,4\n' }, args: ['in.csv', ...toParquet], code: 0, output: { ...small, names: ['a', 'A_2', 'column_3', 'a_3'], rows: [['1', '2', '3', '4']] }, report: note('columns-renamed') },
  { name: 'a record with too few fields', files: { 'in.csv': 'a,b\n1,x\n2\n3,z\n' }, args: ['in.csv', ...toParquet], code: 1, says: /line 3.*(1 field|fields)/ },
  { name: 'a record with too many fields', files: { 'in.csv': 'a,b\n1,x\n2,y,z\n' }, args: ['in.csv', ...toParquet], code: 1, says: /line 3.*fields/ },
  { name: 'ragged records, padded', files: { 'in.csv': 'a,b\n1,x\n2\n3,z,\n' }, args: ['in.csv', ...toParquet, '--set', 'ragged=pad'], code: 0, output: { ...small, rows: [['1', 'x'], ['2', null], ['3', 'z']] }, report: note('rows-padded') },
  { name: 'ragged records, left out', files: { 'in.csv': 'a,b\n1,x\n2\n3,z,zz\n4,y\n' }, args: ['in.csv', ...toParquet, '--set', 'ragged=skip-and-report'], code: 0, output: { ...small, rows: [['1', 'x'], ['4', 'y']] }, report: note('rows-skipped') },
  { name: 'mixed line ends', files: { 'in.csv': 'a,b\r\n1,x\n2,y\r\n3,"z\r\nz"\r4,w' }, args: ['in.csv', ...toParquet], code: 0, output: { ...small, rows: [...SMALL_CELLS, ['3', 'z\r\nz'], ['4', 'w']] } },
  { name: 'a byte order mark', files: { 'in.csv': `\ufeff${SMALL}` }, args: ['in.csv', ...toParquet], code: 0, output: small },
  { name: 'UTF-16 with a mark', files: { 'in.csv': Buffer.from(`\ufeff${SMALL.replace('x', 'é東😀')}`, 'utf16le') }, args: ['in.csv', ...toParquet], code: 0, output: { ...small, rows: [['1', 'é東😀'], ['2', 'y']] }, report: note('encoding-detected') },
  { name: 'UTF-16, big-endian', files: { 'in.csv': Buffer.from(`\ufeff${SMALL}`, 'utf16le').swap16() }, args: ['in.csv', ...toParquet], code: 0, output: small, report: note('encoding-detected') },
  { name: 'UTF-16 cut in the middle of a character', files: { 'in.csv': Buffer.from(`\ufeff${SMALL}`, 'utf16le').subarray(0, -1) }, args: ['in.csv', ...toParquet], code: 1, says: /UTF-16/i },
  { name: 'Latin-1, detected', files: { 'in.csv': Buffer.from('a,b\n1,Zürich\n2,caf\xe9\n', 'latin1') }, args: ['in.csv', ...toParquet], code: 0, output: { ...small, rows: [['1', 'Zürich'], ['2', 'café']] }, report: note('encoding-detected') },
  { name: 'Latin-1, declared', files: { 'in.csv': Buffer.from('a,b\n1,Zürich\n', 'latin1') }, args: ['in.csv', ...toParquet, '--set', 'encoding=latin1'], code: 0, output: { ...small, rows: [['1', 'Zürich']] } },
  { name: 'a field of 3 MB', files: { 'in.csv': `a,b\n1,x\n2,"${LONG.replaceAll('"', '""')}"\n` }, args: ['in.csv', ...toParquet, '--block-size', '100kB'], code: 0, output: { ...small, rows: [['1', 'x'], ['2', LONG]] } },
  { name: '5,000 columns', files: { 'in.csv': `${wide.join(',')}\n${wide.map((_, i) => i).join(',')}\n${wide.map((_, i) => `t${i}`).join(',')}\n` }, args: ['in.csv', ...toParquet], code: 0, output: { ...small, names: wide, rows: [wide.map((_, i) => String(i)), wide.map((_, i) => `t${i}`)] } }
]

/**
 * Rows of some 9 MB: more than is sampled, so there are gaps between the places that are looked at beforehand, and more than twice what is
 * split ahead (LOOK_AHEAD_BYTES), so blocks are given out before the last gap is reached, however slow the workers are to come.
 */
const MANY = 110_000
const PAD = 'x'.repeat(60)
/** In the middle of the first gap, and of the last one, by the positions of the samples (tables/sample.ts). */
const GAPS = [0.08, 0.965].map(share => Math.floor(MANY * share))
const epochRows: Cell[][] = Array.from({ length: MANY }, (_, i) => [i === GAPS[1] ? 'n/a' : String(i), i === GAPS[0] ? '007' : `${i}.5`, `row ${i} ${PAD}`])
const epochs = `n,m,t\n${epochRows.map(row => `${row.join(',')}\n`).join('')}`
const lastIsText: Cell[][] = [...Array.from({ length: 2000 }, (_, i) => [String(i), 'x']), ['n/a', 'x']]

const types: Row[] = [
  { name: 'a type that changes in the last row', files: { 'in.csv': `a,b\n${lastIsText.map(row => `${row.join(',')}\n`).join('')}` }, args: ['in.csv', ...toParquet, '--block-size', '1kB'], code: 0, output: { ...small, rows: lastIsText } },
  {
    name: 'types that change where nobody looked', files: { 'in.csv': epochs }, args: ['in.csv', ...toParquet, '--block-size', '256kB'], code: 0, output: { ...small, names: ['n', 'm', 't'], rows: epochRows },
    report: report => {
      assert.ok(report.epochs >= 2, `${report.epochs} epochs`)
      assert.ok(report.blocks.redone >= 1, 'nothing was done again')
      note('schema-widened')(report)
    }
  },
  { name: 'a value that contradicts a declared type', files: { 'in.csv': 'a,b\n1,x\n007,y\n' }, args: ['in.csv', ...toParquet, '--set', 'type:a=BIGINT'], code: 1, says: /line 3.*'a'.*007|007.*BIGINT/ },
  { name: 'types from a file', files: { 'in.csv': 'a,b\n1,x\n2,y\n', 'types.json': '{"a": "DECIMAL(5,2)"}' }, args: ['in.csv', ...toParquet, '--set', 'schema=types.json'], code: 0, output: { ...small, rows: [['1.00', 'x'], ['2.00', 'y']] } },
  { name: 'a type for a column that is not there', files: { 'in.csv': SMALL }, args: ['in.csv', ...toParquet, '--set', 'type:aa=BIGINT'], code: 2, says: 'did you mean \'a\'' },
  { name: 'leading zeros and exact decimals', files: { 'in.csv': 'a,b\n007,1.10\n08,12345678901234567890.123456789\n' }, args: ['in.csv', ...toParquet], code: 0, output: { ...small, rows: [['007', '1.100000000'], ['08', '12345678901234567890.123456789']] } }
]

const json: Row[] = [
  { name: 'a truncated JSON array', files: { 'in.json': '[{"a": 1, "b": "x"}, {"a": 2, "b": "y"' }, args: ['in.json', ...toParquet], code: 1, says: /in\.json/ },
  { name: 'a truncated NDJSON', files: { 'in.ndjson': '{"a": 1, "b": "x"}\n{"a": 2, "b' }, args: ['in.ndjson', ...toParquet], code: 1, says: 'line 2' },
  { name: 'JSON with a trailing comma', files: { 'in.json': '[{"a": 1},]' }, args: ['in.json', ...toParquet], code: 1, says: /in\.json/ },
  { name: 'a JSON array of numbers', files: { 'in.json': '[1, 2, 3]' }, args: ['in.json', ...toParquet], code: 0, output: { ...small, names: ['value'], rows: [['1'], ['2'], ['3']] } },
  { name: 'a JSON document that is one object', files: { 'in.json': '{\n  "a": 1,\n  "b": "x"\n}\n' }, args: ['in.json', ...toParquet], code: 0, output: { ...small, rows: [['1', 'x']] } },
  { name: 'a JSON document that is a number', files: { 'in.json': '42\n' }, args: ['in.json', ...toParquet], code: 1, says: /in\.json/ },
  { name: 'deep JSON within the limit', files: { 'in.ndjson': `{"a": 1, "b": ${deep(200)}}\n` }, args: ['in.ndjson', '--to', 'ndjson', '-o', 'out/out.ndjson'], code: 0, output: { name: 'out.ndjson', format: 'ndjson', names: ['a', 'b'], rows: [['1', deep(200)]] } },
  { name: 'JSON deeper than any data', files: { 'in.ndjson': `{"a": 1, "b": ${deep(100_000)}}\n` }, args: ['in.ndjson', ...toParquet], code: 1, says: /deep|nest/ },
  { name: 'a JSON array of objects', files: { 'in.json': '[\n{"a": 1, "b": "x"},\n{"b": "y", "a": 2}\n]\n' }, args: ['in.json', ...toParquet], code: 0, output: small }
]

const files: Row[] = [
  { name: 'a truncated Parquet', files: { 'in.parquet': parquetOf(100_000) }, args: ['in.parquet', '--to', 'csv', '-o', 'out/out.csv'], code: 1, says: 'Parquet' },
  { name: 'an encrypted Parquet', files: { 'in.parquet': encrypted() }, args: ['in.parquet', '--to', 'csv', '-o', 'out/out.csv'], code: 1, says: 'encrypted' },
  { name: 'a truncated Arrow file', files: { 'in.arrow': readFileSync(join(data, 'flights-200k.arrow')).subarray(0, 100_000) }, args: ['in.arrow', '--to', 'csv', '-o', 'out/out.csv'], code: 1, says: 'Arrow' },
  { name: 'a truncated Arrow stream', files: { 'in.arrows': readFileSync(join(data, 'flights-200k.arrow')).subarray(8, 100_000) }, args: ['in.arrows', '--to', 'csv', '-o', 'out/out.csv'], code: 1, says: 'cut off' },
  { name: 'a truncated gzip', files: { 'in.csv.gz': gzipSync(`a,b\n${lines(5000, i => `${i},${Math.imul(i, 2654435761)}\n`)}`).subarray(0, -2000) }, args: ['in.csv.gz', ...toParquet], code: 1, says: /gzip/ },
  { name: 'a gzip with a wrong checksum', files: { 'in.csv.gz': corrupted(gzipSync(SMALL)) }, args: ['in.csv.gz', ...toParquet], code: 1, says: /gzip/ },
  { name: 'a truncated zstd', files: { 'in.csv.zst': zstdCompressSync(`a,b\n${lines(5000, i => `${i},${Math.imul(i, 2654435761)}\n`)}`).subarray(0, -2000) }, args: ['in.csv.zst', ...toParquet], code: 1, says: /zstd/ },
  { name: 'a gzip of several members', files: { 'in.csv.gz': Buffer.concat([gzipSync('a,b\n1,x\n'), gzipSync('2,y\n')]) }, args: ['in.csv.gz', ...toParquet], code: 0, output: small },
  { name: 'a zstd of several frames', files: { 'in.csv.zst': Buffer.concat([zstdCompressSync('a,b\n1,x\n'), zstdCompressSync('2,y\n')]) }, args: ['in.csv.zst', ...toParquet], code: 0, output: small },
  { name: 'a decompression bomb', files: { 'in.csv.gz': gzipSync(Buffer.alloc(80 << 20, 'a,b\n')) }, args: ['in.csv.gz', ...toParquet], code: 1, says: 'max_expansion' },
  { name: 'a Parquet named .csv', files: { 'in.csv': (path: string) => { linkSyncOrCopy(join(data, 'flights-3m.parquet'), path) } }, args: ['in.csv', '--to', 'parquet', '-o', 'out/out.parquet', '--block-size', '4MB'], code: 0, report: ({ outputs }) => { assert.equal(outputs.length, 1) }, left: ['out.parquet'] },
  { name: 'a CSV named .parquet', files: { 'in.parquet': SMALL }, args: ['in.parquet', '--to', 'csv', '-o', 'out/out.csv'], code: 1, says: 'Parquet' },
  { name: 'a gzip named .csv', files: { 'in.csv': gzipSync(SMALL) }, args: ['in.csv', ...toParquet], code: 0, output: small },
  { name: 'a picture', files: { 'in.csv': readFileSync(join(data, '7zip.png')) }, args: ['in.csv', ...toParquet], code: 1, says: 'in.csv' },
  { name: 'a folder where a file should be', files: { 'in.csv/': '' }, args: ['in.csv', ...toParquet], code: 2, says: 'in.csv' },
  { name: 'a missing file', files: {}, args: ['in.csv', ...toParquet], code: 1, says: 'no such file' },
  { name: 'one of two files missing', files: { 'a.csv': SMALL }, args: ['a.csv', 'b.csv', ...toParquet], code: 1, says: 'b.csv' },
  { name: 'an output that is a folder', files: { 'in.csv': SMALL, 'out/in.parquet/': '' }, args: ['in.csv', '--to', 'parquet', '-o', 'out/'], code: 1, says: 'folder', left: ['in.parquet'] },
  { name: 'an output below a file', files: { 'in.csv': SMALL, 'out/file': '' }, args: ['in.csv', '--to', 'parquet', '-o', 'out/file/out.parquet'], code: 1, says: 'out.parquet', left: ['file'] },
  { name: 'an output that exists', files: { 'in.csv': SMALL, 'out/out.parquet': 'precious' }, args: ['in.csv', ...toParquet], code: 1, says: 'exists', left: ['out.parquet'] },
  { name: 'an output that is the input', files: { 'out/in.csv': SMALL }, args: ['out/in.csv', '--to', 'csv', '-o', 'out/in.csv', '--overwrite'], code: 2, says: 'input', left: ['in.csv'] },
  { name: 'an output that is the input by a symbolic link', files: { 'out/in.csv': SMALL, 'out/link.csv': path => { symlinkSync('in.csv', path) } }, args: ['out/in.csv', '--to', 'csv', '-o', 'out/link.csv', '--overwrite'], code: 2, says: 'input', left: ['in.csv', 'link.csv'] },
  { name: 'an input that is a symbolic link to the output', files: { 'out/in.csv': SMALL, 'link.csv': path => { symlinkSync('out/in.csv', path) } }, args: ['link.csv', '--to', 'csv', '-o', 'out/in.csv', '--overwrite'], code: 2, says: 'input', left: ['in.csv'] },
  { name: 'two inputs with the same output name', files: { 'x/a.csv': SMALL, 'y/a.csv': SMALL }, args: ['x/a.csv', 'y/a.csv', '--to', 'parquet', '-o', 'out/'], code: 2, says: 'both become' },
  { name: 'an unknown setting', files: { 'in.csv': SMALL }, args: ['in.csv', ...toParquet, '--set', 'delimeter=;'], code: 2, says: 'did you mean \'delimiter\'' },
  { name: 'an unknown target', files: { 'in.csv': SMALL }, args: ['in.csv', '--to', 'parket', '-o', 'out/out.parquet'], code: 2, says: 'parket' },
  { name: 'inputs of different columns', files: { 'a.csv': SMALL, 'b.csv': 'b,c\nz,3\n' }, args: ['a.csv', 'b.csv', ...toParquet], code: 0, output: { ...small, names: ['a', 'b', 'c'], rows: [['1', 'x', null], ['2', 'y', null], [null, 'z', '3']] } },
  { name: 'a division by a column that is not there', files: { 'in.csv': SMALL }, args: ['in.csv', '--to', 'csv', '-o', 'out/parts', '--set', 'partition_by=c'], code: 2, says: 'no column' },
  { name: 'a division by values that are no names of folders', files: { 'in.csv': 'a,b\n1,../x\n2,\n3,x/y\n4,""\n' }, args: ['in.csv', '--to', 'csv', '-o', 'out/parts', '--set', 'partition_by=b'], code: 0, left: ['parts'] },
  { name: '300 files as one table', files: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`all/part-${String(i).padStart(3, '0')}.csv`, `a,b\n${i},x${i}\n`])), args: ['all', ...toParquet], code: 0, output: { ...small, rows: Array.from({ length: 300 }, (_, i) => [String(i), `x${i}`]) } },
  { name: 'standard input that ends in a quote', files: {}, args: ['-', '--from', 'csv', ...toParquet], input: 'a,b\n1,"x', code: 1, says: 'standard input' }
]

/** As encrypted files with an encrypted footer are: they begin and end with another word than others. */
function encrypted (): Uint8Array {
  const bytes = Buffer.alloc(64)
  bytes.write('PARE')
  bytes.writeUInt32LE(40, 56)
  bytes.write('PARE', 60)
  return bytes
}

function corrupted (bytes: Buffer): Buffer {
  const at = bytes.length - 8
  bytes[at] = bytes[at]! ^ 0xff
  return bytes
}

function linkSyncOrCopy (from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true })
  try {
    linkSync(from, to)
  } catch {
    symlinkSync(from, to) // another file system
  }
}

export const ROWS: Row[] = [...empty, ...text, ...types, ...json, ...files]
