/**
 * Reading blocks out of the job's inputs, in place: a recipe's parts, one after the other.
 *
 * @example
 * ```ts
 * await using reader = new RecipeReader(inputs)
 * for await (const recipe of recipes) worker.send(await reader.bytes(recipe))
 * ```
 */
import { open, stat, type FileHandle } from 'node:fs/promises'
import { OPEN_INPUTS_MAX, READ_AHEAD_BYTES, READ_AHEAD_RANGE_MAX, READ_CHUNK_BYTES } from './constants.ts'
import { ConversionError, unreadable } from './errors.ts'
import type { BlockRecipe, Input } from './index.ts'

/** The input is not what it was when the job described it. */
export function inputChanged (path: string, how: string): ConversionError {
  return new ConversionError('input-changed', `'${path}' changed while the job ran (${how}); run the job again`, { path })
}

/** An input that is open, and how many reads of it are under way. */
interface OpenInput {
  handle: Promise<FileHandle>
  readers: number
}

/** Reads blocks of a job; keeps some inputs open and a small read-ahead, so tiny neighbouring blocks are cheap. */
export class RecipeReader implements AsyncDisposable {
  readonly #inputs: Input[]
  /** Least recently used first. */
  readonly #handles = new Map<number, OpenInput>()
  /** The read-ahead: bytes [offset, offset + length) of one input. Never handed out, only copied from. */
  readonly #ahead = { input: -1, offset: 0, length: 0, buffer: new Uint8Array(0) }
  /** Calls of `bytes` take turns at the read-ahead. */
  #turn: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor (inputs: Input[]) {
    this.#inputs = inputs
  }

  /**
   * Streams the block in chunks of at most `chunkBytes`. Every chunk is the caller's to keep; with `reuse` only until it asks for the
   * next one: a buffer per megabyte is freed by the collector long after it is of no use.
   */
  async * stream (recipe: BlockRecipe, options: { chunkBytes?: number, reuse?: boolean } = {}): AsyncGenerator<Uint8Array> {
    const chunkBytes = options.chunkBytes ?? READ_CHUNK_BYTES
    const buffer = options.reuse === true ? new Uint8Array(Math.min(chunkBytes, recipe.size)) : undefined
    for (const part of recipe.parts) {
      if ('bytes' in part) {
        if (part.bytes.length > 0) yield part.bytes
        continue
      }
      let done = 0
      while (done < part.length) {
        const length = Math.min(chunkBytes, part.length - done)
        const chunk = buffer?.subarray(0, length) ?? new Uint8Array(length)
        await this.#fill(part.input, part.offset + done, chunk)
        done += chunk.length
        yield chunk
      }
    }
  }

  /** The whole block; for small ones. */
  bytes (recipe: BlockRecipe): Promise<Uint8Array> {
    const result = this.#turn.then(() => this.#bytes(recipe))
    // The next caller's turn comes after this one's, whether it failed or not; the failure reaches its own caller.
    this.#turn = result.then(() => undefined, () => undefined)
    return result
  }

  async #bytes (recipe: BlockRecipe): Promise<Uint8Array> {
    if (this.#closed) throw new Error('the reader is closed')
    const out = new Uint8Array(recipe.size)
    let at = 0
    for (const part of recipe.parts) {
      if ('bytes' in part) {
        out.set(part.bytes, at)
        at += part.bytes.length
        continue
      }
      const target = out.subarray(at, at + part.length)
      if (part.length > READ_AHEAD_RANGE_MAX) await this.#fill(part.input, part.offset, target)
      else target.set(await this.#through(part.input, part.offset, part.length))
      at += part.length
    }
    return out
  }

  async #through (input: number, offset: number, length: number): Promise<Uint8Array> {
    const ahead = this.#ahead
    if (ahead.input !== input || offset < ahead.offset || offset + length > ahead.offset + ahead.length) {
      if (ahead.buffer.length === 0) ahead.buffer = new Uint8Array(READ_AHEAD_BYTES)
      ahead.input = -1
      const got = await this.#using(input, async handle => {
        let done = 0
        while (done < length) {
          const { bytesRead } = await this.#read(input, handle, ahead.buffer, done, READ_AHEAD_BYTES - done, offset + done)
          if (bytesRead === 0) throw inputChanged(this.#path(input), 'it became shorter')
          done += bytesRead
        }
        return done
      })
      ahead.input = input
      ahead.offset = offset
      ahead.length = got
    }
    return ahead.buffer.subarray(offset - ahead.offset, offset - ahead.offset + length)
  }

  async #fill (input: number, offset: number, target: Uint8Array): Promise<void> {
    await this.#using(input, async handle => {
      let got = 0
      while (got < target.length) {
        const { bytesRead } = await this.#read(input, handle, target, got, target.length - got, offset + got)
        if (bytesRead === 0) throw inputChanged(this.#path(input), 'it became shorter')
        got += bytesRead
      }
    })
  }

  async #read (input: number, handle: FileHandle, buffer: Uint8Array, at: number, length: number, position: number): Promise<{ bytesRead: number }> {
    try {
      return await handle.read(buffer, at, length, position)
    } catch (error) {
      throw unreadable(this.#path(input), error)
    }
  }

  async #using<T> (input: number, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    const entry = this.#open(input)
    entry.readers++
    try {
      return await work(await entry.handle)
    } finally {
      entry.readers--
      await this.#closeIdle()
    }
  }

  #open (input: number): OpenInput {
    if (this.#closed) throw new Error('the reader is closed')
    let entry = this.#handles.get(input)
    if (entry == null) {
      const path = this.#path(input)
      entry = { handle: open(path, 'r').catch(error => { throw unreadable(path, error) }), readers: 0 }
      // A later attempt may succeed, so a failed opening is not remembered.
      entry.handle.catch(() => { this.#handles.delete(input) })
    }
    this.#handles.delete(input)
    this.#handles.set(input, entry)
    return entry
  }

  /** A job of ten thousand small files must not hold them all open. */
  async #closeIdle (): Promise<void> {
    if (this.#handles.size <= OPEN_INPUTS_MAX) return
    for (const [input, { handle, readers }] of this.#handles) {
      if (readers > 0) continue
      this.#handles.delete(input)
      // One that could not be opened failed towards its reader and has nothing to close.
      await handle.then(async opened => { await opened.close() }, () => {})
      if (this.#handles.size <= OPEN_INPUTS_MAX) return
    }
  }

  #path (input: number): string {
    const path = this.#inputs[input]?.path
    if (path == null) throw new ConversionError('bad-parameters', `the recipe names input ${input} of ${this.#inputs.length}`, { input })
    return path
  }

  /** Closes the inputs. Reading afterwards is an error. */
  async close (): Promise<void> {
    this.#closed = true
    await this.#turn
    const handles = Array.from(this.#handles.values(), entry => entry.handle)
    this.#handles.clear()
    // One that could not be opened already failed towards its reader and has nothing to close.
    for (const result of await Promise.allSettled(handles)) if (result.status === 'fulfilled') await result.value.close()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.close()
  }
}

/** Streams one block's bytes, for a peer. Opens and closes the inputs itself; use a RecipeReader for many blocks. */
export async function * readRecipe (recipe: BlockRecipe, inputs: Input[], options: { chunkBytes?: number } = {}): AsyncGenerator<Uint8Array> {
  await using reader = new RecipeReader(inputs)
  yield * reader.stream(recipe, options)
}

/** One whole block in memory; for small ones. */
export async function readRecipeBytes (recipe: BlockRecipe, inputs: Input[]): Promise<Uint8Array> {
  await using reader = new RecipeReader(inputs)
  return await reader.bytes(recipe)
}

/** Throws ConversionError `input-changed` if an input's size or modification time differs from the description. */
export async function checkUnchanged (inputs: Input[]): Promise<void> {
  for (const input of inputs) {
    const now = await stat(input.path).catch(error => { throw unreadable(input.path, error) })
    if (now.size !== input.size) throw inputChanged(input.path, `${input.size} bytes before, ${now.size} now`)
    if (now.mtimeMs !== input.mtimeMs) throw inputChanged(input.path, 'it was written to')
  }
}
