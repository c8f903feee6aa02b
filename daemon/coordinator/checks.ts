/**
 * Carries out the always-on check and the full comparison. Results of engines go to the toolbox's threads, few at a time; the tiny results
 * of built-in converters are looked at here, since a thread per 200 bytes would cost far more than the look.
 */
import { converterById, familyOf, type BlockRecipe, type BlockSource, type Conversion, type Family, type Input, type RecipeReader, type Toolbox } from '../block-convert/index.ts'
import { INLINE_BYTES_MAX } from './constants.ts'
import { conversionCode, readsOneOf, saidBy, toJobError } from './job-errors.ts'
import { Limiter } from './limiter.ts'
import type { AttemptRef, JobEventIn } from './machine-types.ts'
import type { Result, ResultShelf } from './result-shelf.ts'

/** Checks of one job in the toolbox at a time: enough to keep its threads busy, few enough that other jobs get their turn. */
const CHECKS_AT_ONCE = 4

/** Codes by which a check says that the result is wrong. All others say that the check itself could not be done here. */
const RESULT_CODES: ReadonlySet<string> = new Set(['bad-input', 'unsupported', 'contradiction'])

export interface ChecksComponents {
  toolbox: Pick<Toolbox, 'inspect' | 'distance'>
  /** As the job began; what was changed since is in the recipes' slices. */
  conversion: Conversion
  inputs: Input[]
  reader: Pick<RecipeReader, 'bytes'>
  recipe: (block: number) => BlockRecipe
  shelf: ResultShelf
  push: (event: JobEventIn) => void
}

export class Checks {
  readonly #components: ChecksComponents
  readonly #family: Family | undefined
  readonly #limiter = new Limiter(CHECKS_AT_ONCE)
  /** Milliseconds of checking, waiting for a thread not counted. */
  checkMs = 0

  constructor (components: ChecksComponents) {
    const { id, version } = components.conversion.converter
    this.#components = components
    this.#family = converterById(id, version)?.runs === 'inline' ? familyOf(id) : undefined
  }

  inspect (refs: AttemptRef[]): void {
    for (const ref of refs) {
      const result = this.#components.shelf.get(ref.block, ref.attempt)
      const recipe = this.#components.recipe(ref.block)
      if (this.#family != null && result.bytes != null) this.#inspected(this.#family.inspect({ bytes: result.bytes }, recipe, this.#components.conversion), result)
      else this.#inspected(this.#limiter.run(async () => await this.#timed(this.#inspectInThread(result, recipe))), result)
    }
  }

  check (refs: AttemptRef[]): void {
    for (const ref of refs) {
      const result = this.#components.shelf.get(ref.block, ref.attempt)
      const recipe = this.#components.recipe(ref.block)
      const work = this.#family != null && recipe.size <= INLINE_BYTES_MAX && result.size <= INLINE_BYTES_MAX
        ? this.#compareHere(this.#family, recipe, result)
        : this.#limiter.run(async () => await this.#timed(this.#compareInThread(recipe, result)))
      work.then(({ value, difference }) => {
        this.#components.push({ type: 'checked', block: ref.block, attempt: ref.attempt, distance: value, difference })
      }, (error: unknown) => { this.#comparisonFailed(ref, error, result) })
    }
  }

  #inspected (work: Promise<{ units: number }>, result: Result): void {
    const { block, attempt } = result
    work.then(({ units }) => {
      result.units = units
      this.#components.push({ type: 'inspected', block, attempt, units })
    }, (error: unknown) => {
      // Its schema is out of date: it was let go while it was looked at.
      if (result.gone) return
      if (RESULT_CODES.has(conversionCode(error) ?? '')) this.#components.push({ type: 'unsound', block, attempt, message: saidBy(error) })
      // Whatever it is called, it was the reading of a result here that failed, so no input is named.
      else this.#components.push({ type: 'broken', error: { code: 'failed', message: `checking block ${block}: ${saidBy(error)}` } })
    })
  }

  /** What cannot be understood is as wrong as what differs; but what cannot be read from the disk is not the worker's fault. */
  #comparisonFailed ({ block, attempt }: AttemptRef, error: unknown, result: Result): void {
    if (result.gone) return
    const code = conversionCode(error) ?? ''
    const own = result.stored != null && readsOneOf(error, [result.stored])
    if (own) this.#components.push({ type: 'broken', error: { code: 'failed', message: `comparing block ${block}: ${saidBy(error)}` } })
    else if (isOriginals(error)) this.#components.push({ type: 'broken', error: { ...toJobError(error), details: { block } } })
    else if (!RESULT_CODES.has(code)) this.#components.push({ type: 'broken', error: toJobError(error, `comparing block ${block}`) })
    else this.#components.push({ type: 'checked', block, attempt, distance: Infinity, difference: saidBy(error) })
  }

  async #inspectInThread (result: Result, recipe: BlockRecipe): Promise<{ units: number }> {
    const { toolbox, conversion, shelf } = this.#components
    stillWanted(result)
    return await toolbox.inspect(await shelf.source(result), recipe, conversion)
  }

  async #compareInThread (recipe: BlockRecipe, result: Result): Promise<{ value: number, difference?: string }> {
    const { toolbox, conversion, inputs, shelf } = this.#components
    stillWanted(result)
    return await toolbox.distance(inputs, recipe, await shelf.source(result), conversion)
  }

  async #compareHere (family: Family, recipe: BlockRecipe, result: Result): Promise<{ value: number, difference?: string }> {
    const { conversion, reader, shelf } = this.#components
    const converted: BlockSource = await shelf.source(result)
    return await family.distance({ bytes: await reader.bytes(recipe) }, converted, recipe, conversion)
  }

  async #timed<T> (work: Promise<T>): Promise<T> {
    const started = performance.now()
    try {
      return await work
    } finally {
      this.checkMs += performance.now() - started
    }
  }
}

/** The block's own source cannot be read: no worker could have done better. */
function isOriginals (error: unknown): boolean {
  return (error as { details?: { original?: unknown } }).details?.original === true
}

/** Its turn has come too late: a thread is worth more than an answer nobody asks for. The failure is not told. */
function stillWanted (result: Result): void {
  if (result.gone) throw new Error('the result was let go')
}
