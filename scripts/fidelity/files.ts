/** The real files the fidelity table is about: every table of vega-datasets. */
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { Source } from '../../test/fuzz/arbitrary.ts'

export const DATA = join(import.meta.dirname, '..', '..', 'node_modules', 'vega-datasets', 'data')

/** Extensions of each format; the first is the one outputs get. */
const EXTENSIONS: Record<string, Source> = { csv: 'csv', tsv: 'csv', json: 'json', parquet: 'parquet', arrow: 'arrow' }

/** `one object`: a JSON document that is a single object, so a table of one row. `no table`: a JSON array of something else than objects. */
export type Kind = 'table' | 'one object' | 'no table'

export interface RealFile { name: string, path: string, format: Source, delimiter: string, kind: Kind }

export function realFiles (): RealFile[] {
  return readdirSync(DATA).toSorted().flatMap((name): RealFile[] => {
    const format = EXTENSIONS[extname(name).slice(1)]
    if (format == null) return []
    const path = join(DATA, name)
    return [{ name, path, format, delimiter: name.endsWith('.tsv') ? '\t' : ',', kind: format === 'json' ? kindOf(path) : 'table' }]
  })
}

function kindOf (path: string): Kind {
  const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
  if (!Array.isArray(value)) return 'one object'
  return value.every(item => typeof item === 'object' && item !== null && !Array.isArray(item)) ? 'table' : 'no table'
}
