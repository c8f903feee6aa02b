/** A post with an `Idempotency-Key` is carried out once: later ones get the first one's answer. Bounded, in memory. */
import { createHash } from 'node:crypto'
import { IDEMPOTENCY_KEY_MAX, IDEMPOTENCY_MAX, IDEMPOTENCY_MS } from './constants.ts'
import { ApiError } from './errors.ts'

interface Entry<T> { body: string, at: number, answer: Promise<T> }

export class Idempotency<T> {
  /** In order of insertion, so that the first is the oldest. */
  readonly #entries = new Map<string, Entry<T>>()
  readonly #now: () => number

  constructor (now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** @throws ApiError 422 if the key came with another body before */
  async once (key: string | undefined, body: unknown, act: () => Promise<T>): Promise<T> {
    if (key == null) return await act()
    if (key === '' || key.length > IDEMPOTENCY_KEY_MAX) throw new ApiError(400, 'bad-request', `Idempotency-Key: expected 1 to ${IDEMPOTENCY_KEY_MAX} characters`)
    const now = this.#now()
    for (const [old, { at }] of this.#entries) {
      if (now - at < IDEMPOTENCY_MS) break
      this.#entries.delete(old)
    }
    const digest = createHash('sha256').update(JSON.stringify(body)).digest('base64')
    const before = this.#entries.get(key)
    if (before != null) {
      if (before.body !== digest) throw new ApiError(422, 'idempotency-mismatch', 'this Idempotency-Key was used with another body: use a new key for a new request')
      return await before.answer
    }
    if (this.#entries.size >= IDEMPOTENCY_MAX) this.#entries.delete(this.#entries.keys().next().value as string)
    const answer = act()
    this.#entries.set(key, { body: digest, at: now, answer })
    try {
      return await answer
    } catch (error) {
      // A refusal is not remembered: the cause may be mended and the same request sent again.
      this.#entries.delete(key)
      throw error
    }
  }
}
