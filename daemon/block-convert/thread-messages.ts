/**
 * What crosses between the toolbox and its threads: recipes packed into flat arrays (a structured clone of 500 small
 * objects costs more than making them), and errors with what callers look at.
 */
import { ConversionError, type ConversionErrorCode } from './errors.ts'
import type { BlockRecipe, BlockSource, BlockTarget, Conversion, Input, Note, RecipePart } from './index.ts'

/** Numbers per recipe before its parts: index, size, units (-1 = unknown), origin.input, origin.line, number of parts. */
const RECIPE_NUMBERS = 6
/** Numbers per part: kind or input (LITERAL, or the input's number), offset or literal's number, length. */
const PART_NUMBERS = 3
const LITERAL = -1
const DIGEST_BYTES = 32

export interface PackedRecipes {
  count: number
  numbers: Float64Array<ArrayBuffer>
  digests: Uint8Array<ArrayBuffer>
  literals: Uint8Array[]
  slices: Array<[at: number, slice: Record<string, unknown>]>
}

export function packRecipes (recipes: BlockRecipe[]): PackedRecipes {
  const parts = recipes.reduce((sum, recipe) => sum + recipe.parts.length, 0)
  const numbers = new Float64Array(recipes.length * RECIPE_NUMBERS + parts * PART_NUMBERS)
  const digests = new Uint8Array(recipes.length * DIGEST_BYTES)
  const literals = new Map<Uint8Array, number>()
  const slices: PackedRecipes['slices'] = []
  let n = 0
  recipes.forEach((recipe, at) => {
    digests.set(recipe.digest, at * DIGEST_BYTES)
    numbers[n++] = recipe.index
    numbers[n++] = recipe.size
    numbers[n++] = recipe.units ?? -1
    numbers[n++] = recipe.origin.input
    numbers[n++] = recipe.origin.line
    numbers[n++] = recipe.parts.length
    for (const part of recipe.parts) {
      if ('bytes' in part) {
        let number = literals.get(part.bytes)
        if (number == null) literals.set(part.bytes, number = literals.size)
        numbers[n++] = LITERAL
        numbers[n++] = number
        numbers[n++] = part.bytes.length
      } else {
        numbers[n++] = part.input
        numbers[n++] = part.offset
        numbers[n++] = part.length
      }
    }
    if (recipe.slice != null) slices.push([at, recipe.slice])
  })
  // Copies, since a clone takes the whole memory a view is cut from.
  return { count: recipes.length, numbers, digests, literals: [...literals.keys()].map(bytes => bytes.slice()), slices }
}

export function unpackRecipes (packed: PackedRecipes): BlockRecipe[] {
  const { numbers, digests, literals } = packed
  const recipes: BlockRecipe[] = []
  let n = 0
  for (let at = 0; at < packed.count; at++) {
    const index = numbers[n++]!
    const size = numbers[n++]!
    const units = numbers[n++]!
    const origin = { input: numbers[n++]!, line: numbers[n++]! }
    const count = numbers[n++]!
    const parts: RecipePart[] = []
    for (let i = 0; i < count; i++, n += PART_NUMBERS) {
      const kind = numbers[n]!
      parts.push(kind === LITERAL ? { bytes: literals[numbers[n + 1]!]! } : { input: kind, offset: numbers[n + 1]!, length: numbers[n + 2]! })
    }
    const recipe: BlockRecipe = { index, parts, size, digest: digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES), origin }
    if (units >= 0) recipe.units = units
    recipes.push(recipe)
  }
  for (const [at, slice] of packed.slices) recipes[at]!.slice = slice
  return recipes
}

/** An error as data. `kind` says which class it was. */
export interface PackedError {
  kind: 'conversion' | 'system' | 'other'
  message: string
  code?: string
  details?: Record<string, unknown>
  /** Of system errors. */
  syscall?: string
  path?: string
  stack?: string
}

export function packError (error: unknown): PackedError {
  if (error instanceof ConversionError) return { kind: 'conversion', message: error.message, code: error.code, details: error.details }
  if (!(error instanceof Error)) return { kind: 'other', message: String(error) }
  const { message, stack } = error
  const { code, syscall, path } = error as NodeJS.ErrnoException
  if (typeof code === 'string') return { kind: 'system', message, code, syscall, path, stack }
  return { kind: 'other', message, stack }
}

export function unpackError (packed: PackedError): Error {
  if (packed.kind === 'conversion') return new ConversionError(packed.code as ConversionErrorCode, packed.message, packed.details)
  const error = new Error(packed.message)
  if (packed.kind === 'system') Object.assign(error, { code: packed.code, syscall: packed.syscall, path: packed.path })
  // Where it happened is worth more than where it was rebuilt.
  if (packed.stack != null) error.stack = packed.stack
  return error
}

/** Parts of an output: the small ones as one run of bytes, since cloning thousands of little arrays costs more than writing them. */
export interface PackedParts {
  /** Per part: its bytes if `path` has none at that place, else the file's size. */
  sizes: Float64Array<ArrayBuffer>
  bytes: Uint8Array<ArrayBuffer>
  paths: Array<[at: number, path: string]>
}

export function packParts (parts: BlockSource[]): PackedParts {
  const sizes = new Float64Array(parts.length)
  const paths: PackedParts['paths'] = []
  let total = 0
  parts.forEach((part, at) => {
    if ('bytes' in part) total += sizes[at] = part.bytes.length
    else {
      sizes[at] = part.size
      paths.push([at, part.path])
    }
  })
  const bytes = new Uint8Array(total)
  let offset = 0
  for (const part of parts) {
    if (!('bytes' in part)) continue
    bytes.set(part.bytes, offset)
    offset += part.bytes.length
  }
  return { sizes, bytes, paths }
}

export function unpackParts ({ sizes, bytes, paths }: PackedParts): BlockSource[] {
  const files = new Map(paths)
  let offset = 0
  return Array.from(sizes, (size, at) => {
    const path = files.get(at)
    if (path != null) return { path, size }
    offset += size
    return { bytes: bytes.subarray(offset - size, offset) }
  })
}

/** What every short task of a thread gives. */
export type Outcome<T> = { ok: true, value: T } | { ok: false, error: PackedError }

/** The toolbox's side of a splitting session says: one more batch may come; or: stop. */
export type SplitOrder = { type: 'more' } | { type: 'stop' }
/** The thread's side: a batch; the end; why it ended early. */
export type SplitNews = { type: 'batch', batch: PackedRecipes, notes: Note[], widen?: Record<string, unknown> } | { type: 'end' } | { type: 'error', error: PackedError }

export interface SplitTask { inputs: Input[], conversion: Conversion, target: BlockTarget }

export interface OutputTask { finalPath: string, conversion: Conversion, overwrite: boolean }

export type OutputOrder =
  | { id: number, type: 'add', parts: PackedParts }
  | { id: number, type: 'finish', expected: { units?: number, blocks: number } }
  | { id: number, type: 'commit' }
  | { id: number, type: 'reset', conversion?: Conversion }
  | { id: number, type: 'abort' }

/** The answer to an order; id 0 answers the opening. */
export interface OutputNews { id: number, outcome: Outcome<unknown> }
