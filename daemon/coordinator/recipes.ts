/** The blocks of one job as the splitter described them, under the schema as it is now. */
import { hash } from 'node:crypto'
import { ConversionError, type BlockRecipe, type Conversion } from '../block-convert/index.ts'
import { SLICE_BYTES_MAX } from '../task-protocol/index.ts'
import { encodeCanonical } from '../trust/index.ts'
import { SPEC_BYTES_MAX } from './constants.ts'

export class Recipes {
  readonly #conversion: Conversion
  readonly #recipes: BlockRecipe[] = []
  #widen: Record<string, unknown> | undefined
  #widenBytes = 0
  /** Of the largest slice among the first `#measured` recipes; measured only once the schema was widened. */
  #sliceBytes = 0
  #measured = 0
  /** Identities under the schema as it is now, by slice. */
  #identities = new WeakMap<object, Uint8Array>()
  /** Of blocks without a slice. */
  #plainIdentity: Uint8Array | undefined
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
    this.#identities = new WeakMap()
    this.#plainIdentity = undefined
    this.#measure()
  }

  /** Blocks known so far. */
  get count (): number { return this.#recipes.length }

  /**
   * sha2-256 of what is done to a block as things are now: DAG-CBOR of converter, version and all its parameters. With the digest of the
   * block's bytes it says what a result is of, whichever run of the job made it.
   */
  identity (block: number): Uint8Array {
    const slice = this.#recipes[block]?.slice
    const known = slice == null ? this.#plainIdentity : this.#identities.get(slice)
    if (known != null) return known
    const { converter: { id, version }, parameters } = this.#conversion
    const digest = hash('sha256', encodeCanonical([id, version, { ...parameters, ...slice, ...this.#widen }], { maxBytes: SPEC_BYTES_MAX }), 'buffer')
    // Blocks of one file share their slice.
    if (slice == null) this.#plainIdentity = digest
    else this.#identities.set(slice, digest)
    return digest
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
