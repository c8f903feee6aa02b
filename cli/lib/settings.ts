/** `--set key=value` as typed: pairs, and a file of column types read in place of its name. */
import { readFile, stat } from 'node:fs/promises'
import { SCHEMA_BYTES_MAX } from './constants.ts'
import { Failure, usage } from './failure.ts'

/** @throws Failure `usage` for what is no pair or a schema that is no JSON; `input-unreadable` for a file that cannot be read */
export async function readSettings (pairs: string[]): Promise<Record<string, string>> {
  const settings: Record<string, string> = {}
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    if (at < 1) throw usage(`--set: '${pair}' is not of the form key=value`, { option: '--set' })
    const key = pair.slice(0, at)
    const value = pair.slice(at + 1)
    settings[key] = key === 'schema' ? await schemaText(value) : value
  }
  return settings
}

/** Column types: JSON itself where it begins like that, otherwise a file of it. */
async function schemaText (value: string): Promise<string> {
  if (/^\s*[{[]/.test(value)) return value
  if (value === '') throw usage('--set schema= names no file: write schema=FILE, or the JSON itself', { option: '--set' })
  const text = await read(value)
  try {
    JSON.parse(text)
  } catch (error) {
    throw usage(`--set schema=${value}: the file is not JSON (${(error as Error).message}); write for instance {"id": "BIGINT", "price": "DECIMAL(12,2)"}`, { option: '--set', path: value })
  }
  return text
}

async function read (path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > SCHEMA_BYTES_MAX) throw usage(`--set schema=${path}: the file has ${size} bytes, which is no list of column types (at most ${SCHEMA_BYTES_MAX})`, { option: '--set', path })
    return (await readFile(path, 'utf8')).replace(/^\ufeff/, '')
  } catch (error) {
    if (error instanceof Failure) throw error
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'there is no such file; name a file of column types, or write the JSON itself' : code === 'EISDIR' ? 'it is a folder' : code === 'EACCES' ? 'permission denied' : message
    throw new Failure('input-unreadable', `--set schema=${path}: ${why}`, { option: '--set', path }, { cause: error })
  }
}
