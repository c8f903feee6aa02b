import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { RecordEnvelope } from '@libp2p/peer-record'
import fc from 'fast-check'
import { DAG_CBOR_PAYLOAD } from '../../../daemon/trust/constants.ts'
import { open, seal } from '../../../daemon/trust/envelope.ts'
import { EnvelopeError } from '../../../daemon/trust/errors.ts'

const DOMAIN = 'weft/test/1'

describe('trust: envelopes', () => {
  let key: PrivateKey
  before(async () => { key = await generateKeyPair('Ed25519') })

  const sealed = async (payload: Uint8Array, domain = DOMAIN): Promise<Uint8Array> => await seal(key, domain, DAG_CBOR_PAYLOAD, payload)

  it('opens what it sealed, byte for byte, and names the signer', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async payload => {
      const opened = await open(await sealed(payload), DOMAIN, { maxBytes: 4096 })
      assert.deepEqual(new Uint8Array(opened.payload), payload)
      assert.ok(opened.peerId.equals(peerIdFromPrivateKey(key)))
    }), { numRuns: 30 })
  })

  it('refuses every mutation, only with its own error', async () => {
    const bytes = await sealed(Uint8Array.of(1, 2, 3, 4))
    await fc.assert(fc.asyncProperty(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 255 }), async (at, byte) => {
      fc.pre(bytes[at] !== byte)
      const mutated = Uint8Array.from(bytes)
      mutated[at] = byte
      await assert.rejects(open(mutated, DOMAIN, { maxBytes: 4096 }), EnvelopeError)
    }), { numRuns: 300 })
    for (let length = 0; length < bytes.length; length++) await assert.rejects(open(bytes.slice(0, length), DOMAIN, { maxBytes: 4096 }), EnvelopeError)
  })

  it('refuses a second byte string of the same signature', async () => {
    const bytes = await sealed(Uint8Array.of(1, 2, 3))
    // An unknown field 15 (varint 0): protobuf decoders skip it.
    await assert.rejects(open(Uint8Array.from([...bytes, 0x78, 0x00]), DOMAIN, { maxBytes: 4096 }), { code: 'malformed' })
  })

  it('refuses another domain, another payload type and more bytes than allowed', async () => {
    const bytes = await sealed(Uint8Array.of(1))
    await assert.rejects(open(bytes, 'weft/other/1', { maxBytes: 4096 }), { code: 'signature' })
    await assert.rejects(open(await seal(key, DOMAIN, Uint8Array.of(0x55), Uint8Array.of(1)), DOMAIN, { maxBytes: 4096 }), { code: 'payload-type' })
    await assert.rejects(open(bytes, DOMAIN, { maxBytes: bytes.length - 1 }), { code: 'too-large' })
  })

  it('refuses keys of other types before verifying', async () => {
    for (const other of [await generateKeyPair('secp256k1'), await generateKeyPair('RSA', 2048)]) {
      await assert.rejects(seal(other, DOMAIN, DAG_CBOR_PAYLOAD, Uint8Array.of(1)), { code: 'key-type' })
      const foreign = await RecordEnvelope.seal({ domain: DOMAIN, codec: DAG_CBOR_PAYLOAD, marshal: () => Uint8Array.of(1), equals: () => false }, other)
      await assert.rejects(open(foreign.marshal(), DOMAIN, { maxBytes: 8192 }), { code: 'key-type' })
    }
  })
})
