import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { ExchangeError } from '../../../daemon/dht-registry/errors.ts'
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from '../../../daemon/dht-registry/messages.ts'

const request = fc.record({ type: fc.nat({ max: 100 }), advert: fc.uint8Array({ maxLength: 300 }) })
const response = fc.record({ status: fc.nat({ max: 100 }), advert: fc.uint8Array({ maxLength: 300 }), reason: fc.string({ maxLength: 100, unit: 'grapheme-ascii' }) })
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))

describe('dht-registry: advert/1.0.0 messages', () => {
  it('decode to what was encoded', () => {
    fc.assert(fc.property(request, value => {
      const decoded = decodeRequest(encodeRequest(value))
      assert.deepEqual([decoded.type, hex(decoded.advert)], [value.type, hex(value.advert)])
    }))
    fc.assert(fc.property(response, value => {
      const decoded = decodeResponse(encodeResponse(value))
      assert.deepEqual([decoded.status, hex(decoded.advert), decoded.reason], [value.status, hex(value.advert), value.reason])
    }))
  })

  it('fail only with their own error on mutated and arbitrary bytes', () => {
    const tried = (input: Uint8Array): void => {
      for (const decode of [decodeRequest, decodeResponse]) {
        try {
          decode(input)
        } catch (error) {
          assert.ok(error instanceof ExchangeError && error.code === 'malformed', String(error))
        }
      }
    }
    fc.assert(fc.property(response, fc.nat(), fc.nat({ max: 255 }), (value, at, byte) => {
      const encoded = encodeResponse(value)
      encoded[at % encoded.length] = byte
      tried(encoded)
    }), { numRuns: 500 })
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), tried), { numRuns: 500 })
  })

  it('take a reason without its control characters', () => {
    assert.equal(decodeResponse(encodeResponse({ status: 2, advert: new Uint8Array(), reason: 'a\u001b[2Jb' })).reason, 'a [2Jb')
  })

  it('equal the test vectors', () => {
    const vectors = JSON.parse(readFileSync(new URL('../../fixtures/vectors/advert.json', import.meta.url), 'utf8')) as {
      request: Array<{ value: { type: number, advert: string }, bytes: string }>
      response: Array<{ value: { status: number, advert: string, reason: string }, bytes: string }>
    }
    for (const { value, bytes: encoded } of vectors.request) assert.equal(hex(encodeRequest({ ...value, advert: bytes(value.advert) })), encoded)
    for (const { value, bytes: encoded } of vectors.response) assert.equal(hex(encodeResponse({ ...value, advert: bytes(value.advert) })), encoded)
    assert.ok(vectors.request.length === 3 && vectors.response.length === 3)
  })
})
