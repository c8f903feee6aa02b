/** What the nodes of a test network are like: `{ "nodes": [{ "speed"?, "price"?, "converters"?, "cores"?, "executor"?, "faults"? }] }`. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { FAULT, FAULTS_EXPECTED, FAULTS_MAX } from '../../daemon/config/faults.ts'
import { usage } from '../lib/failure.ts'

export interface NodeProfile {
  /** 1 is this machine's speed, 0.5 half of it. */
  speed?: number
  /** 10^-6 of a credit per resource hour. */
  price?: string
  /** Only these converters; a `*` at the end matches any rest. */
  converters?: string[]
  /** Engine processes at once. */
  cores?: number
  /** Limits of its engine processes, as in the configuration. */
  executor?: { memoryBytes?: number, stallMs?: number, wallMs?: number }
  faults?: string[]
}

const fault = z.string().refine(text => FAULT.test(text), { error: issue => `'${String(issue.input)}' is not a fault that can be planted: ${FAULTS_EXPECTED}` })

/** Also within a scenario. */
export const profile = z.strictObject({
  nodes: z.array(z.strictObject({
    speed: z.number().gt(0).max(1, { error: 'expected at most 1: a node can be made slower than this machine, not faster' }).optional(),
    price: z.union([z.string(), z.int().min(0).transform(String)]).optional(),
    converters: z.array(z.string().min(1)).min(1).optional(),
    cores: z.int().min(1).max(1024).optional(),
    executor: z.strictObject({ memoryBytes: z.int().optional(), stallMs: z.int().optional(), wallMs: z.int().optional() }).optional(),
    faults: z.array(fault).max(FAULTS_MAX).optional()
  })).max(64)
})

/** Profiles by node; nodes beyond the file's are ordinary ones. */
export async function readProfile (path: string): Promise<NodeProfile[]> {
  return (await readJson(path, '--profile', profile)).nodes
}

/** A file of a user, held against a schema; what is wrong with it in one line. */
export async function readJson<T> (path: string, option: string, schema: z.ZodType<T>): Promise<T> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw usage(`${option}: cannot read ${path}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message}`, { path })
  }
  let tree: unknown
  try {
    tree = JSON.parse(text)
  } catch (error) {
    throw usage(`${option}: ${path} is not valid JSON: ${(error as Error).message}`, { path })
  }
  const parsed = schema.safeParse(tree)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const key = (issue?.path ?? []).map((part, index) => typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part)}`).join('')
  throw usage(`${option}: ${path}: ${key === '' ? '' : `${key}: `}${(issue?.message ?? 'not valid').replace(/^Invalid input: /, '')}`, { path, key })
}

/** The part of a node's configuration that makes it what its profile says. */
export function configOf ({ speed, price, converters, cores, executor = {}, faults = [] }: NodeProfile): Record<string, unknown> & { faults: string[] } {
  const slow = speed != null && speed < 1 && !faults.some(name => name.startsWith('slow')) ? [`slow:${Number((1 / speed).toFixed(3))}`] : []
  return {
    ...(price != null ? { prices: { perHour: price } } : {}),
    ...(converters != null ? { converters: { only: converters } } : {}),
    executor: { ...executor, ...(cores != null ? { slots: cores } : {}) },
    faults: [...faults, ...slow]
  }
}
