/** Makes what workers are asked out of a job's recipes: the offer once, an order for each attempt. */
import type { BlockRecipe, Conversion, RecipeReader, Toolbox, Input } from '../block-convert/index.ts'
import type { Offer } from '../task-protocol/index.ts'
import { INLINE_BYTES_MAX, OUTPUT_BYTES_MAX, OUTPUT_BYTES_MIN, OUTPUT_GROWTH_MAX } from './constants.ts'
import { conversionCode } from './job-errors.ts'
import type { LocalOrder } from './local-worker.ts'

export interface OrdersComponents {
  toolbox: Pick<Toolbox, 'materialise'>
  /** What blocks are cut from. */
  inputs: Input[]
  reader: RecipeReader
  /** An input is not what it was, or cannot be read. */
  broken: (error: unknown) => void
}

export class Orders {
  readonly #components: OrdersComponents

  constructor (components: OrdersComponents) {
    this.#components = components
  }

  make (recipe: BlockRecipe, attempt: number, kind: 'local' | 'remote'): LocalOrder | Promise<LocalOrder> {
    const { toolbox, inputs, reader } = this.#components
    const order: LocalOrder = { block: recipe.index, attempt, size: recipe.size, digest: recipe.digest, slice: recipe.slice }
    if (recipe.size <= INLINE_BYTES_MAX) {
      return reader.bytes(recipe).then(bytes => {
        order.bytes = bytes
        return order
      })
    }
    if (kind === 'local') order.materialise = async path => { await toolbox.materialise(inputs, recipe, path) }
    order.open = signal => this.#stream(recipe, signal)
    return order
  }

  async * #stream (recipe: BlockRecipe, signal: AbortSignal): AsyncIterable<Uint8Array> {
    try {
      for await (const chunk of this.#components.reader.stream(recipe)) {
        signal.throwIfAborted()
        yield chunk
      }
    } catch (error) {
      // The peer sees a broken transfer only; that the input is to blame is known here.
      if (conversionCode(error) != null) this.#components.broken(error)
      throw error
    }
  }
}

/** `deadline`: UTC milliseconds, undefined for none. */
export function makeOffer ({ job, conversion, deadline, blockBytes, unit }: { job: string, conversion: Conversion, deadline: number | undefined, blockBytes: number, unit: string }): Offer {
  return {
    job,
    converter: conversion.converter.id,
    version: conversion.converter.version,
    parameters: conversion.parameters,
    // Whole milliseconds, as the wire has them; a fraction late rather than early.
    deadline: deadline == null ? 0 : Math.ceil(deadline),
    outputBytes: Math.min(OUTPUT_BYTES_MAX, Math.max(OUTPUT_BYTES_MIN, OUTPUT_GROWTH_MAX * blockBytes)),
    // Of work on this node; a peer is offered what it posted.
    price: '0',
    unit
  }
}
