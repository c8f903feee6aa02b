/** What batch signatures cover: leaves of orders and of results, the signatures over their roots, and the checks of both. */
import { hash } from 'node:crypto'
import { leafHash, merklePath, merkleRoot, verifyBatch, type BatchSigner, type Receipt } from '../trust/index.ts'
import { offerCodec, type WireOffer, type WireOrder, type WireResult } from './messages.ts'
import { orderLeafCodec, receiptLeafCodec, type OrderLeaf, type ReceiptLeaf } from './task-messages.ts'
import { Writer } from './wire.ts'

/** Signature domains: a signature of one kind never passes as one of another. */
const ORDERS_DOMAIN = 'weft/orders/1'
const RECEIPTS_DOMAIN = 'weft/receipts/1'

export const NO_SIGNATURE = new Uint8Array(0)

/** Scratch for leaves: their bytes are hashed at once and forgotten. */
const writer = new Writer()

export function sha256 (bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer')
}

/** Identity of an offer, whatever number it has on a lease. */
export function offerDigest (offer: WireOffer): Uint8Array {
  return sha256(offerCodec.encode({ ...offer, offer: 0 }))
}

export function orderLeaf (offer: Uint8Array, order: WireOrder): Uint8Array {
  const leaf: OrderLeaf = { offer, block: order.block, attempt: order.attempt, size: order.size, digest: order.digest, slice: order.slice }
  orderLeafCodec.write(writer, leaf)
  return leafHash(writer.take())
}

/** The leaf of a result that succeeded; `input` is the digest of its order. */
export function receiptLeaf (job: string, input: Uint8Array, result: WireResult, chunks?: Uint8Array): Uint8Array {
  const leaf: ReceiptLeaf = {
    job, block: result.block, attempt: result.attempt, input, output: result.digest, size: result.size, units: result.units, cpuMs: result.cpuMs, chunks
  }
  receiptLeafCodec.write(writer, leaf)
  return leafHash(writer.take())
}

export function signOrders (signer: BatchSigner, leaves: Uint8Array[]): Uint8Array {
  return signer.sign(ORDERS_DOMAIN, merkleRoot(leaves))
}

export function verifyOrders (publicKey: Uint8Array, leaves: Uint8Array[], signature: Uint8Array): boolean {
  return verifyBatch(publicKey, ORDERS_DOMAIN, merkleRoot(leaves), signature)
}

/** A batch without a single success has nothing to sign. */
export function signReceipts (signer: BatchSigner, leaves: Uint8Array[]): Uint8Array {
  return leaves.length === 0 ? NO_SIGNATURE : signer.sign(RECEIPTS_DOMAIN, merkleRoot(leaves))
}

/** One result's share in a batch receipt. */
export interface ReceiptShare {
  receipt: Receipt
  /** Of the result's leaf. */
  index: number
  /** Siblings from the leaf up to the root, made when asked for. */
  path: () => Uint8Array[]
}

/** The receipt of a batch, or undefined if the signature is not the worker's. */
export function openReceipt (publicKey: Uint8Array, leaves: Uint8Array[], signature: Uint8Array): ((index: number) => ReceiptShare) | undefined {
  const root = merkleRoot(leaves)
  if (!verifyBatch(publicKey, RECEIPTS_DOMAIN, root, signature)) return undefined
  const receipt: Receipt = { root, signature: signature.slice(), leaves: leaves.length }
  return index => ({ receipt, index, path: () => merklePath(leaves, index) })
}
