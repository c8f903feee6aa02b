import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { encodeCanonical, BatchSigner, merkleRoot, verifyBatch, verifyPath } from '../../../daemon/trust/index.ts'
import type { ClientOrder } from '../../../daemon/task-protocol/client-types.ts'
import { ProtocolError } from '../../../daemon/task-protocol/errors.ts'
import { failure } from '../../../daemon/task-protocol/execution.ts'
import { leaseMessage, type Orders, type Results, type WireOffer, type WireResult } from '../../../daemon/task-protocol/messages.ts'
import { offerDigest, orderLeaf, receiptLeaf, sha256, signOrders, signReceipts, verifyOrders } from '../../../daemon/task-protocol/receipts.ts'
import { checkResults } from '../../../daemon/task-protocol/result-check.ts'
import { revive } from './vector.ts'

const JOB = 'job'
const NO_BYTES = new Uint8Array(0)

function orderOf (block: number): ClientOrder {
  const bytes = Buffer.from(`input ${block}`)
  const digest = sha256(bytes)
  return { offer: 1, block, attempt: 1, size: bytes.length, digest, bytes, weight: bytes.length, large: false, source: { block, attempt: 1, size: bytes.length, digest, bytes } }
}

function resultOf (block: number): WireResult {
  const bytes = Buffer.from(`output ${block}`)
  return { offer: 1, block, attempt: 1, digest: sha256(bytes), size: bytes.length, bytes, units: block, cpuMs: 5, wallMs: 6 }
}

describe('results, before a job hears of them', () => {
  let signer: BatchSigner
  const ordered = ({ block }: WireResult): { job: string, order: ClientOrder } | undefined => block < 10 ? { job: JOB, order: orderOf(block) } : undefined

  before(async () => { signer = new BatchSigner(await generateKeyPair('Ed25519')) })

  function batch (results: WireResult[], leavesOf = results): Results {
    const leaves = leavesOf.filter(result => result.failure == null).map(result => receiptLeaf(JOB, orderOf(result.block).digest, result))
    return { type: 'results', sequence: 1, results, signature: signReceipts(signer, leaves) }
  }

  it('are right, with a receipt and a path that proves each', () => {
    const results = [0, 1, 2, 3, 4].map(resultOf)
    results[2] = failure({ offer: 1, block: 2, attempt: 1 }, { reason: 'conversion', message: 'line 3', code: 'bad-input', details: encodeCanonical({ line: 3 }), retryAfterMs: 9 })
    const checked = checkResults(batch(results), signer.publicKey, ordered)
    assert.deepEqual(checked.map(({ block, ok, reason }) => [block, ok, reason]), [[0, true, undefined], [1, true, undefined], [2, false, 'conversion'], [3, true, undefined], [4, true, undefined]])
    const failed = checked[2]!.outcome
    assert.deepEqual(failed, { ok: false, block: 2, attempt: 1, reason: 'conversion', message: 'line 3', code: 'bad-input', details: { line: 3 }, retryAfterMs: 9 })
    const last = checked[4]!.outcome
    assert.ok(last.ok && last.receipt != null)
    assert.equal(last.receipt.index, 3)
    assert.equal(last.receipt.receipt.leaves, 4)
    const leaf = receiptLeaf(JOB, orderOf(4).digest, resultOf(4))
    assert.ok(verifyPath(leaf, 3, 4, last.receipt.path(), last.receipt.receipt.root))
    assert.ok(verifyBatch(signer.publicKey, 'weft/receipts/1', last.receipt.receipt.root, last.receipt.receipt.signature))
  })

  it('fail as transfer where the bytes are not what the digest says', () => {
    const wrong = { ...resultOf(1), bytes: Buffer.from('other  1') }
    const short = { ...resultOf(2), bytes: Buffer.from('output') }
    const outcomes = checkResults(batch([resultOf(0), wrong, short]), signer.publicKey, ordered).map(({ outcome }) => outcome)
    assert.deepEqual(outcomes.map(outcome => outcome.ok || outcome.reason), [true, 'transfer', 'transfer'])
  })

  for (const [what, change] of [
    ['units', (result: WireResult) => ({ ...result, units: 99 })],
    ['cpuMs', (result: WireResult) => ({ ...result, cpuMs: 0 })],
    ['the output', (result: WireResult) => ({ ...result, bytes: Buffer.from('x'), size: 1, digest: sha256(Buffer.from('x')) })]
  ] as Array<[string, (result: WireResult) => WireResult]>) {
    it(`fail as protocol, the whole batch, where the receipt says other ${what}`, () => {
      const results = [0, 1].map(resultOf)
      const outcomes = checkResults(batch([results[0]!, change(results[1]!)], results), signer.publicKey, ordered).map(({ outcome }) => outcome)
      assert.deepEqual(outcomes.map(outcome => outcome.ok || outcome.reason), ['protocol', 'protocol'])
    })
  }

  it('fail as protocol with somebody else\'s signature, or none', () => {
    const message = batch([resultOf(0)])
    for (const signature of [NO_BYTES, Buffer.alloc(64)]) {
      assert.equal(checkResults({ ...message, signature }, signer.publicKey, ordered)[0]!.ok, false)
    }
  })

  it('end the lease if nobody ordered them', () => {
    assert.throws(() => checkResults(batch([resultOf(10)]), signer.publicKey, ordered), ProtocolError)
  })

  it('need no receipt if all failed', () => {
    const message = batch([failure({ offer: 1, block: 0, attempt: 1 }, { reason: 'needs-stream', message: 'large' })])
    assert.equal(message.signature.length, 0)
    const [checked] = checkResults(message, signer.publicKey, ordered)
    // the machine is told the wire's reason, a job would be told that it was cancelled
    assert.equal(checked!.reason, 'needs-stream')
    assert.equal(!checked!.outcome.ok && checked!.outcome.reason, 'cancelled')
  })

  it('agree with the test vectors', () => {
    const { messages, signed } = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'fixtures', 'vectors', 'task-protocol.json'), 'utf8'))
    const decoded = (type: string): any => revive(messages.find((vector: any) => vector.decoded.type === type).decoded)
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
    const offer = decoded('offer') as WireOffer
    const orders = leaseMessage.decode(leaseMessage.encode(decoded('orders'))) as Orders
    assert.equal(hex(offerDigest(offer)), signed.offerDigest)
    assert.equal(hex(offerDigest({ ...offer, offer: 99 })), signed.offerDigest)
    const leaves = orders.orders.map(order => orderLeaf(offerDigest(offer), order))
    assert.deepEqual(leaves.map(hex), signed.orderLeaves)
    assert.equal(hex(merkleRoot(leaves)), signed.ordersRoot)
    assert.ok(verifyOrders(Buffer.from(signed.requesterPublicKey, 'hex'), leaves, orders.signature))
    const results = leaseMessage.decode(leaseMessage.encode(decoded('results'))) as Results
    const checked = checkResults(results, Buffer.from(signed.workerPublicKey, 'hex'), result => ({ job: offer.job, order: { ...orders.orders.find(({ block }) => block === result.block)! } as ClientOrder }))
    assert.deepEqual(checked.map(({ ok }) => ok), [true, false])
  })

  it('orders: one that was changed is not signed', () => {
    const offer: WireOffer = { offer: 1, job: JOB, converter: 'c', version: '1', parameters: NO_BYTES, deadline: 0, outputBytes: 1, price: '0', unit: '' }
    const digest = offerDigest(offer)
    const orders = [0, 1, 2].map(orderOf)
    const signature = signOrders(signer, orders.map(order => orderLeaf(digest, order)))
    assert.ok(verifyOrders(signer.publicKey, orders.map(order => orderLeaf(digest, order)), signature))
    for (const change of [{ block: 9 }, { attempt: 2 }, { size: 1 }, { digest: Buffer.alloc(32) }, { slice: Buffer.from('a0', 'hex') }]) {
      assert.ok(!verifyOrders(signer.publicKey, orders.map((order, i) => orderLeaf(digest, i === 1 ? { ...order, ...change } : order)), signature))
    }
    assert.ok(!verifyOrders(signer.publicKey, orders.map(order => orderLeaf(offerDigest({ ...offer, price: '1' }), order)), signature))
  })
})
