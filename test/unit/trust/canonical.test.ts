import assert from 'node:assert/strict'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { decodeCanonical, encodeCanonical } from '../../../daemon/trust/canonical.ts'
import { CANONICAL_DEPTH_MAX } from '../../../daemon/trust/constants.ts'
import { CanonicalError } from '../../../daemon/trust/errors.ts'

/** Values of the IPLD data model. */
const ipld = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof({ depthSize: 'small' },
    fc.constant(null), fc.boolean(), fc.maxSafeInteger(), fc.string({ unit: 'grapheme' }), fc.uint8Array({ maxLength: 40 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter(x => !Number.isInteger(x)),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string().filter(key => key !== '__proto__'), tie('value'), { maxKeys: 4, noNullPrototype: true }))
})).value

function refuses (bytes: Uint8Array, code: CanonicalError['code'], options = {}): void {
  assert.throws(() => decodeCanonical(bytes, options), (error: unknown) => error instanceof CanonicalError && error.code === code)
}

describe('trust: canonical DAG-CBOR', () => {
  it('gives back every value it encodes', () => {
    fc.assert(fc.property(ipld, value => { assert.deepEqual(decodeCanonical(encodeCanonical(value)), value) }))
  })

  it('accepts a mutated encoding only if it is canonical again, and fails only with its own error', () => {
    fc.assert(fc.property(ipld, fc.nat(), fc.nat({ max: 255 }), fc.integer({ min: -2, max: 2 }), (value, where, byte, cut) => {
      const bytes = encodeCanonical(value)
      const mutated = cut < 0 ? bytes.slice(0, Math.max(0, bytes.length + cut)) : new Uint8Array(bytes.length + cut)
      if (cut >= 0) mutated.set(bytes)
      if (mutated.length > 0) mutated[where % mutated.length] = byte
      let decoded
      try {
        decoded = decodeCanonical(mutated)
      } catch (error) {
        assert.ok(error instanceof CanonicalError)
        return
      }
      assert.deepEqual(encodeCanonical(decoded), mutated)
    }), { numRuns: 500 })
  })

  it('fails only with its own error on arbitrary bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
      try {
        assert.deepEqual(encodeCanonical(decodeCanonical(bytes)), bytes)
      } catch (error) {
        assert.ok(error instanceof CanonicalError)
      }
    }), { numRuns: 1000 })
  })

  it('refuses 200 KB of nested arrays without overflowing the stack', () => {
    refuses(new Uint8Array(200 * 1024).fill(0x81), 'too-deep')
    refuses(new Uint8Array(200 * 1024).fill(0xa1), 'too-deep')
    refuses(new Uint8Array(200 * 1024).fill(0xd8), 'too-deep')
  })

  it('allows exactly the depth it names', () => {
    const nested = (depth: number): Uint8Array => Uint8Array.from([...Array.from({ length: depth }, () => 0x81), 0x01])
    assert.ok(decodeCanonical(nested(CANONICAL_DEPTH_MAX)) != null)
    refuses(nested(CANONICAL_DEPTH_MAX + 1), 'too-deep')
    let value: unknown = 1
    for (let i = 0; i <= CANONICAL_DEPTH_MAX; i++) value = [value]
    assert.throws(() => encodeCanonical(value), { code: 'too-deep' })
  })

  it('refuses map keys out of order, longer integers, indefinite lengths, floats of other widths', () => {
    refuses(Uint8Array.from([0xa2, 0x61, 0x62, 1, 0x61, 0x61, 1]), 'not-canonical')
    refuses(Uint8Array.from([0xa2, 0x61, 0x61, 1, 0x61, 0x61, 1]), 'malformed')
    refuses(Uint8Array.from([0x18, 0x01]), 'malformed')
    refuses(Uint8Array.from([0x9f, 0xff]), 'malformed')
    refuses(Uint8Array.from([0xf9, 0x3c, 0x00]), 'not-canonical')
    refuses(Uint8Array.from([0xf7]), 'not-canonical')
  })

  it('refuses lengths beyond the bytes before anything is allocated', () => {
    refuses(Uint8Array.from([0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), 'malformed')
    refuses(Uint8Array.from([0xba, 0xff, 0xff, 0xff, 0xff]), 'malformed')
    refuses(Uint8Array.from([0x5a, 0xff, 0xff, 0xff, 0xff, 0]), 'malformed')
    refuses(Uint8Array.from([]), 'malformed')
    refuses(Uint8Array.from([1, 1]), 'malformed')
  })

  it('keeps a key named like the prototype an ordinary key', () => {
    const value = decodeCanonical(Uint8Array.from([0xa1, 0x69, ...new TextEncoder().encode('__proto__'), 0xa1, 0x61, 0x61, 1])) as Record<string, unknown>
    assert.ok(Object.hasOwn(value, '__proto__'))
    assert.equal(value.a, undefined)
  })

  it('keeps to the size it is given, both ways', () => {
    assert.throws(() => encodeCanonical(new Uint8Array(100), { maxBytes: 100 }), { code: 'too-large' })
    refuses(encodeCanonical(new Uint8Array(100)), 'too-large', { maxBytes: 101 })
    assert.ok(decodeCanonical(encodeCanonical(new Uint8Array(100)), { maxBytes: 102 }))
  })

  it('keeps links', () => {
    const link = CID.parse('bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy')
    assert.ok((decodeCanonical(encodeCanonical({ link })) as { link: CID }).link.equals(link))
  })

  it('says what it cannot encode', () => {
    for (const value of [undefined, Number.NaN, () => {}, Symbol('x')]) assert.throws(() => encodeCanonical(value), { code: 'unencodable' })
    const cycle: unknown[] = []
    cycle.push(cycle)
    assert.throws(() => encodeCanonical(cycle), { code: 'unencodable' })
  })
})
