/** An attacker that has a lease: it signs its orders as it should, and reads or acknowledges only what it wants to. */
import type { Stream } from '@libp2p/interface'
import { FRAME_BYTES_MAX } from '../../../daemon/task-protocol/constants.ts'
import { FrameStream } from '../../../daemon/task-protocol/frames.ts'
import { leaseMessage, type LeaseMessage, type OfferMessage, type WireOrder } from '../../../daemon/task-protocol/messages.ts'
import { offerDigest, orderLeaf, signOrders } from '../../../daemon/task-protocol/receipts.ts'
import { taskMessage } from '../../../daemon/task-protocol/task-messages.ts'
import { Transfer } from '../../../daemon/task-protocol/transfer.ts'
import { BatchSigner } from '../../../daemon/trust/index.ts'
import { offerOf, sha256 } from '../task-protocol/harness.ts'
import { protocolOf, type Attacker } from './attacker.ts'

export const LEASE = protocolOf('lease')
export const TASK = protocolOf('task')

const NOTHING = new Uint8Array()

export class HostileRequester {
  readonly stream: Stream
  readonly heard: LeaseMessage[] = []
  readonly #attacker: Attacker
  readonly #frames: FrameStream<LeaseMessage>
  readonly #signer: BatchSigner
  readonly #offer: OfferMessage
  #wake: () => void = () => {}

  private constructor (attacker: Attacker, stream: Stream, converter: string) {
    this.#attacker = attacker
    this.stream = stream
    this.#signer = new BatchSigner(attacker.key as never)
    this.#offer = { ...offerOf(converter), parameters: Uint8Array.of(0xa0), offer: 1, type: 'offer' }
    this.#frames = new FrameStream(stream, leaseMessage, { frameBytes: FRAME_BYTES_MAX, writeBytes: Number.MAX_SAFE_INTEGER }, {
      onMessage: message => {
        this.heard.push(message)
        this.#wake()
      },
      onClose: () => { this.#wake() }
    })
  }

  /** With a lease and an accepted offer of this converter. */
  static async start (attacker: Attacker, converter: string): Promise<HostileRequester> {
    const requester = new HostileRequester(attacker, await attacker.stream(LEASE), converter)
    requester.#frames.send({ type: 'request', incarnation: 1, counter: 1 })
    await requester.#hears('grant')
    requester.#frames.send(requester.#offer)
    await requester.#hears('accept-offer')
    return requester
  }

  get closed (): boolean {
    return this.#frames.closed
  }

  /** One batch of inline orders, signed. */
  order (blocks: number[], bytes: Uint8Array): void {
    const orders = blocks.map(block => this.#order(block, bytes, bytes))
    this.#frames.send({ type: 'orders', orders, signature: signOrders(this.#signer, orders.map(order => orderLeaf(offerDigest(this.#offer), order))) })
  }

  /** An order on a stream of its own, its input still to be sent. */
  async task (block: number, input: Uint8Array): Promise<{ stream: Stream, transfer: Transfer, answer: string | undefined }> {
    const stream = await this.#attacker.stream(TASK)
    const transfer = new Transfer(stream)
    const order = this.#order(block, input, NOTHING)
    transfer.sendMessage(taskMessage.encode({ type: 'order', incarnation: 1, counter: 1, trace: '', offer: this.#offer, order, signature: signOrders(this.#signer, [orderLeaf(offerDigest(this.#offer), order)]) }))
    return { stream, transfer, answer: taskMessage.decode(await transfer.readMessage({ signal: AbortSignal.timeout(10_000) }))?.type }
  }

  #order (block: number, input: Uint8Array, bytes: Uint8Array): WireOrder {
    return { offer: 1, block, attempt: 1, size: input.byteLength, digest: sha256(input), slice: undefined, bytes }
  }

  async #hears (type: LeaseMessage['type']): Promise<void> {
    while (!this.heard.some(message => message.type === type)) {
      if (this.closed) throw new Error(`the lease ended before '${type}'`)
      await new Promise<void>(resolve => { this.#wake = resolve })
    }
  }
}
