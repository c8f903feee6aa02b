import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { BatchSigner, ORDERS_DOMAIN, RECEIPTS_DOMAIN, verifyBatch } from '../../../daemon/trust/batch-signature.ts'

describe('batch signatures', () => {
  const root = randomBytes(32)

  it('are plain Ed25519 signatures over domain, zero and root', async () => {
    const key = await generateKeyPair('Ed25519')
    const signer = new BatchSigner(key)
    const signature = signer.sign(RECEIPTS_DOMAIN, root)
    assert.equal(signature.length, 64)
    assert.ok(await key.publicKey.verify(Buffer.concat([Buffer.from('weft/receipts/1\0'), root]), signature))
    assert.ok(verifyBatch(key.publicKey.raw, RECEIPTS_DOMAIN, root, await key.sign(Buffer.concat([Buffer.from('weft/receipts/1\0'), root]))))
    assert.ok(verifyBatch(signer.publicKey, RECEIPTS_DOMAIN, root, signature))
  })

  it('hold for one domain, one root and one key only', async () => {
    const signer = new BatchSigner(await generateKeyPair('Ed25519'))
    const other = new BatchSigner(await generateKeyPair('Ed25519'))
    const signature = signer.sign(ORDERS_DOMAIN, root)
    assert.ok(verifyBatch(signer.publicKey, ORDERS_DOMAIN, root, signature))
    assert.equal(verifyBatch(signer.publicKey, RECEIPTS_DOMAIN, root, signature), false)
    assert.equal(verifyBatch(signer.publicKey, ORDERS_DOMAIN, randomBytes(32), signature), false)
    assert.equal(verifyBatch(other.publicKey, ORDERS_DOMAIN, root, signature), false)
    for (let bit = 0; bit < 64; bit++) {
      assert.equal(verifyBatch(signer.publicKey, ORDERS_DOMAIN, root, signature.map((b, i) => i === bit ? b ^ 1 : b)), false)
    }
  })

  it('are false, not an exception, for anything malformed', async () => {
    const signer = new BatchSigner(await generateKeyPair('Ed25519'))
    const signature = signer.sign(ORDERS_DOMAIN, root)
    assert.equal(verifyBatch(signer.publicKey, ORDERS_DOMAIN, root, signature.subarray(1)), false)
    assert.equal(verifyBatch(signer.publicKey, ORDERS_DOMAIN, root.subarray(1), signature), false)
    assert.equal(verifyBatch(signer.publicKey.subarray(1), ORDERS_DOMAIN, root, signature), false)
    assert.equal(verifyBatch(new Uint8Array(32).fill(255), ORDERS_DOMAIN, root, signature), false)
    assert.throws(() => signer.sign(ORDERS_DOMAIN, root.subarray(1)), RangeError)
  })

  it('are not made with other kinds of keys', async () => {
    const key = await generateKeyPair('secp256k1')
    assert.throws(() => new BatchSigner(key), TypeError)
  })
})
