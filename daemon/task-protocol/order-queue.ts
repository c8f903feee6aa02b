/** A first-in-first-out queue of orders without the cost of `Array.shift` on long arrays. */
import { BATCH_BYTES, BATCH_MAX } from './constants.ts'
import type { OrderRef } from './lease-model.ts'

/** Entries already taken are dropped from the array's front once there are this many and they are its larger half. */
const COMPACT_AT = 1024

export class OrderQueue<O extends OrderRef> {
  private orders: O[] = []
  private head = 0

  get length (): number {
    return this.orders.length - this.head
  }

  push (order: O): void {
    this.orders.push(order)
  }

  first (): O | undefined {
    return this.orders[this.head]
  }

  shift (): O | undefined {
    const order = this.orders[this.head]
    if (order == null) return undefined
    this.head++
    if (this.head === this.orders.length) {
      this.clear()
    } else if (this.head >= COMPACT_AT && this.head * 2 > this.orders.length) {
      this.orders = this.orders.slice(this.head)
      this.head = 0
    }
    return order
  }

  /** Takes one order out, wherever it stands. */
  remove (block: number, attempt: number): O | undefined {
    for (let i = this.head; i < this.orders.length; i++) {
      const order = this.orders[i]!
      if (order.block === block && order.attempt === attempt) {
        this.orders.splice(i, 1)
        return order
      }
    }
    return undefined
  }

  /** Empties the queue; what was in it, in order. */
  takeAll (): O[] {
    const orders = this.orders.slice(this.head)
    this.clear()
    return orders
  }

  clear (): void {
    this.orders = []
    this.head = 0
  }
}

/** Cuts orders into batches that stay below their number and bytes; one larger order still goes alone. */
export function * batches<O extends OrderRef> (orders: O[]): Generator<O[]> {
  let from = 0
  let bytes = 0
  for (let i = 0; i < orders.length; i++) {
    const { weight } = orders[i]!
    if (i - from >= BATCH_MAX || (bytes > 0 && bytes + weight > BATCH_BYTES)) {
      yield orders.slice(from, i)
      from = i
      bytes = 0
    }
    bytes += weight
  }
  if (from < orders.length) yield from === 0 ? orders : orders.slice(from)
}
