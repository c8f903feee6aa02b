/** The blocks of one job as the splitter described them, under the schema as it is now. */
import { ConversionError, type BlockRecipe, type Conversion } from '../block-convert/index.ts'
import { SLICE_BYTES_MAX } from '../task-protocol/index.ts'
import { encodeCanonical } from '../trust/index.ts'

export class Recipes {
  readonly #conversion: Conversion
  readonly #recipes: BlockRecipe[] = []
  #widen: Record<string, unknown> | undefined
  #widenBytes = 0
  /** Of the largest slice among the first `#measured` recipes; measured only once the schema was widened. */
  #sliceBytes = 0
  #measured = 0
  /** Changes of the schema so far. */
  epoch = 0

  constructor (conversion: Conversion) {
    this.#conversion = conversion
  }

  /** The job's conversion as it is now: a schema that was widened is part of its parameters. */
  get conversion (): Conversion {
    const { converter, parameters } = this.#conversion
    return this.#widen == null ? this.#conversion : { converter, parameters: { ...parameters, ...this.#widen } }
  }

  /** Throws ConversionError `unsupported` if a block has more special about it than an order can say. */
  add (recipes: BlockRecipe[]): void {
    for (const recipe of recipes) this.#recipes.push(recipe)
    this.#measure()
  }

  /** All blocks, those known and those to come, have these overrides from now on, instead of earlier ones. Throws as `add`. */
  widen (overrides: Record<string, unknown>): void {
    this.epoch++
    this.#widen = overrides
    this.#widenBytes = encodeCanonical(overrides).byteLength
    this.#measure()
  }

  /** One that was given out keeps its slice: what is made of it under an older schema can be told by its attempt. */
  get (block: number): BlockRecipe | undefined {
    const recipe = this.#recipes[block]
    return this.#widen == null || recipe == null ? recipe : { ...recipe, slice: { ...recipe.slice, ...this.#widen } }
  }

  /** Two maps encoded apart take at least what they take together. */
  #measure (): void {
    if (this.#widen == null) return
    let last: unknown
    for (; this.#measured < this.#recipes.length; this.#measured++) {
      const { slice } = this.#recipes[this.#measured] as BlockRecipe
      // Blocks of one file share theirs.
      if (slice == null || slice === last) continue
      last = slice
      this.#sliceBytes = Math.max(this.#sliceBytes, encodeCanonical(slice).byteLength)
    }
    if (this.#widenBytes + this.#sliceBytes <= SLICE_BYTES_MAX) return
    throw new ConversionError('unsupported', 'too many columns turned out to have other types than the samples showed; fix the types beforehand with --set types=text or --set schema=FILE')
  }
}
