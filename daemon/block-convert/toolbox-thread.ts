/** What a thread of the toolbox does: one exported function per kind of task. Everything that costs CPU happens here. */
import { createHash, randomUUID } from 'node:crypto'
import { open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { MessagePort } from 'node:worker_threads'
import { pipe } from 'it-pipe'
import { COMPARE_IN_MEMORY_BYTES, READ_CHUNK_BYTES, SPLIT_BATCH_BYTES, SPLIT_BATCH_RECIPES, SPLIT_BATCHES_AHEAD } from './constants.ts'
import { ConversionError, unreadable } from './errors.ts'
import { converterById, familyOf } from './families.ts'
import type { BlockRecipe, BlockSource, Conversion, Distance, Input, Note, SplitItem } from './index.ts'
import { openOutput } from './output-writer.ts'
import { underOriginalName } from './original-name.ts'
import { prepareJob } from './prepare.ts'
import { describeInput } from './sniff.ts'
import { inputChanged, RecipeReader } from './source.ts'
import { packError, packRecipes, unpackParts, type Outcome, type OutputNews, type OutputOrder, type OutputTask, type SplitNews, type SplitOrder, type SplitTask } from './thread-messages.ts'
import type { OutputWriter, Prepared, SplitBatch } from './toolbox.ts'

/** An outcome instead of an exception: structured cloning of errors loses their class and fields. */
async function outcome<T> (work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await work() }
  } catch (error) {
    return { ok: false, error: packError(error) }
  }
}

export function describe (task: { path: string, from?: string }): Promise<Outcome<Input>> {
  return outcome(() => describeInput(task.path, task.from))
}

export function prepare (task: { inputs: Input[], to: string, settings: Record<string, string>, scratch: string }): Promise<Outcome<Prepared>> {
  return outcome(() => prepareJob(task.inputs, task.to, task.settings, task.scratch))
}

export function materialise (task: { inputs: Input[], recipe: BlockRecipe, path: string }): Promise<Outcome<void>> {
  return outcome(async () => { await derive(task.inputs, task.recipe, task.path) })
}

/** Writes a block to a new file; on failure the file is removed again. */
async function derive (inputs: Input[], recipe: BlockRecipe, path: string): Promise<void> {
  await using reader = new RecipeReader(inputs)
  const handle = await open(path, 'wx', 0o600)
  let done = false
  try {
    const sum = createHash('sha256')
    for await (const chunk of reader.stream(recipe, { reuse: true })) {
      sum.update(chunk)
      let written = 0
      while (written < chunk.length) written += (await handle.write(chunk, written)).bytesWritten
    }
    requireDigest(inputs, recipe, sum.digest())
    done = true
  } finally {
    await handle.close()
    if (!done) await unlink(path)
  }
}

function requireDigest (inputs: Input[], recipe: BlockRecipe, digest: Uint8Array): void {
  if (Buffer.compare(digest, recipe.digest) !== 0) throw inputChanged(inputs[recipe.origin.input]?.path ?? '', `block ${recipe.index} has another digest`)
}

export function hash (task: { path: string }): Promise<Outcome<{ digest: Uint8Array, size: number }>> {
  return outcome(async () => {
    const handle = await open(task.path, 'r').catch(error => { throw unreadable(task.path, error) })
    try {
      const sum = createHash('sha256')
      const buffer = new Uint8Array(READ_CHUNK_BYTES)
      let size = 0
      for (;;) {
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, size)
        if (bytesRead === 0) return { digest: sum.digest(), size }
        sum.update(buffer.subarray(0, bytesRead))
        size += bytesRead
      }
    } catch (error) {
      throw unreadable(task.path, error)
    } finally {
      await handle.close()
    }
  })
}

export function inspect (task: { result: BlockSource, recipe: BlockRecipe, conversion: Conversion }): Promise<Outcome<{ units: number }>> {
  return outcome(() => familyOf(task.conversion.converter.id).inspect(task.result, task.recipe, task.conversion))
}

export function distance (task: { inputs: Input[], recipe: BlockRecipe, result: BlockSource, conversion: Conversion, scratch: string }): Promise<Outcome<Distance>> {
  return outcome(async () => {
    const { inputs, recipe, result, conversion } = task
    const family = familyOf(conversion.converter.id)
    if (recipe.size <= COMPARE_IN_MEMORY_BYTES) {
      await using reader = new RecipeReader(inputs)
      const bytes = await reader.bytes(recipe)
      requireDigest(inputs, recipe, createHash('sha256').update(bytes).digest())
      return await family.distance({ bytes }, result, recipe, conversion)
    }
    const path = join(task.scratch, `compare-${randomUUID()}`)
    await derive(inputs, recipe, path)
    try {
      return await family.distance({ path, size: recipe.size }, result, recipe, conversion)
    } finally {
      await unlink(path)
    }
  })
}

/** A splitting session: batches go out over the port as long as there are credits for them. */
export async function split (session: { task: SplitTask, port: MessagePort }): Promise<void> {
  const { port } = session
  const { inputs, conversion, target } = session.task
  const credits = new Credits(SPLIT_BATCHES_AHEAD)
  port.on('message', (order: SplitOrder) => {
    if (order.type === 'more') credits.add()
    else credits.stop()
  })
  port.on('close', () => { credits.stop() })
  const say = (news: SplitNews, transfer: ArrayBuffer[] = []): void => { port.postMessage(news, transfer) }
  try {
    // The version is part of what the parameters mean.
    requireConverter(conversion)
    await pipe(
      familyOf(conversion.converter.id).split(inputs, conversion, target),
      batched,
      async batches => {
        for await (const { recipes, notes, widen } of batches) {
          if (!await credits.take()) return
          const batch = packRecipes(recipes)
          say({ type: 'batch', batch, notes, ...(widen != null ? { widen } : {}) }, [batch.numbers.buffer, batch.digests.buffer])
        }
      }
    )
    say({ type: 'end' })
  } catch (error) {
    say({ type: 'error', error: packError(underOriginalName(error, inputs)) })
  }
  // The other side closes the port, once it has read all of this.
}

/**
 * Gathers recipes: one in the first batch so that work can begin, then twice as many each time up to the limits. A change of the schema
 * begins a batch of its own, since it comes before the blocks that follow it and after those that precede it.
 */
async function * batched (items: AsyncIterable<SplitItem>): AsyncGenerator<SplitBatch> {
  let most = 1
  let bytes = 0
  let recipes: BlockRecipe[] = []
  let notes: Note[] = []
  let widen: Record<string, unknown> | undefined
  const take = (): SplitBatch => {
    const batch = { recipes, notes, ...(widen != null ? { widen } : {}) }
    recipes = []
    notes = []
    widen = undefined
    bytes = 0
    return batch
  }
  for await (const item of items) {
    if ('note' in item) {
      if ('widen' in item) {
        if (recipes.length > 0) yield take()
        widen = item.widen
      }
      notes.push(item.note)
      continue
    }
    recipes.push(item)
    bytes += item.size
    if (recipes.length < most && bytes < SPLIT_BATCH_BYTES) continue
    yield take()
    most = Math.min(most * 2, SPLIT_BATCH_RECIPES)
  }
  if (recipes.length > 0 || notes.length > 0) yield take()
}

/** Permissions to send: `take` waits for one, and gives false once the other side wants no more. */
class Credits {
  #left: number
  #stopped = false
  #wake: (() => void) | undefined

  constructor (initial: number) {
    this.#left = initial
  }

  add (): void {
    this.#left++
    this.#wake?.()
  }

  stop (): void {
    this.#stopped = true
    this.#wake?.()
  }

  async take (): Promise<boolean> {
    while (this.#left === 0 && !this.#stopped) {
      await new Promise<void>(resolve => { this.#wake = resolve })
      this.#wake = undefined
    }
    if (this.#stopped) return false
    this.#left--
    return true
  }
}

function requireConverter (conversion: Conversion): void {
  const { id, version } = conversion.converter
  if (converterById(id, version) == null) throw new ConversionError('unknown-type', `this build has no converter '${id}' version ${version}`, { converter: id, version })
}

/** An output session: orders come over the port, one after the other; it ends with `commit` or `abort`, or when the port closes. */
export async function output (session: { task: OutputTask, port: MessagePort }): Promise<void> {
  const { port, task } = session
  const say = (news: OutputNews): void => { port.postMessage(news) }
  const queue = new OrderQueue(port)
  const opened = await outcome(() => openOutput(task.finalPath, task.conversion, task.overwrite))
  say({ id: 0, outcome: opened.ok ? { ok: true, value: undefined } : opened })
  if (!opened.ok) return
  const writer = opened.value
  for (;;) {
    const order = await queue.next()
    if (order == null) {
      // Nobody is left to finish it.
      await writer.abort()
      return
    }
    const result = await outcome<unknown>(() => obey(writer, order))
    say({ id: order.id, outcome: result })
    if (order.type === 'abort' || (order.type === 'commit' && result.ok)) return
  }
}

function obey (writer: OutputWriter, order: OutputOrder): Promise<unknown> {
  switch (order.type) {
    case 'add': return writer.add(unpackParts(order.parts))
    case 'finish': return writer.finish(order.expected)
    case 'commit': return writer.commit()
    case 'reset': return writer.reset(order.conversion)
    case 'abort': return writer.abort()
  }
}

/** Orders in the order they came; undefined once the port is closed. The caller sends one at a time, so it stays short. */
class OrderQueue {
  readonly #orders: OutputOrder[] = []
  #closed = false
  #wake: (() => void) | undefined

  constructor (port: MessagePort) {
    port.on('message', (order: OutputOrder) => {
      this.#orders.push(order)
      this.#wake?.()
    })
    port.on('close', () => {
      this.#closed = true
      this.#wake?.()
    })
  }

  async next (): Promise<OutputOrder | undefined> {
    while (this.#orders.length === 0 && !this.#closed) {
      await new Promise<void>(resolve => { this.#wake = resolve })
      this.#wake = undefined
    }
    return this.#orders.shift()
  }
}
