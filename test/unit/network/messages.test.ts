import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { HelloError } from '../../../daemon/network/errors.ts'
import { decodeHello, decodeVerdict, encodeHello, encodeVerdict } from '../../../daemon/network/messages.ts'

const name = (maxLength: number): fc.Arbitrary<string> => fc.string({ maxLength, unit: 'grapheme-ascii' })
const bytes = (constraints: fc.IntArrayConstraints): fc.Arbitrary<Uint8Array> => fc.uint8Array(constraints)
const hello = fc.record({
  version: fc.nat(),
  network: name(64),
  agent: name(128),
  roles: fc.array(name(32), { maxLength: 16 }),
  nonce: bytes({ minLength: 32, maxLength: 32 }),
  delegation: bytes({ maxLength: 400 })
})
const verdict = fc.record({ code: fc.nat(), reason: name(256), proof: bytes({ maxLength: 64 }) })

const same = (a: object, b: object): void => { assert.deepEqual(plain(a), plain(b)) }
const plain = (value: object): object => Object.fromEntries(Object.entries(value).map(([key, field]) => [key, field instanceof Uint8Array ? [...field] : field]))

describe('network: hello messages', () => {
  it('decode to what was encoded', () => {
    fc.assert(fc.property(hello, value => { same(decodeHello(encodeHello(value)), value) }))
    fc.assert(fc.property(verdict, value => { same(decodeVerdict(encodeVerdict(value)), value) }))
  })

  it('fail only with their own error on mutated and arbitrary bytes', () => {
    const tried = (decode: (input: Uint8Array) => unknown, input: Uint8Array): void => {
      try {
        decode(input)
      } catch (error) {
        assert.ok(error instanceof HelloError && error.code === 'malformed', String(error))
      }
    }
    fc.assert(fc.property(hello, fc.nat(), fc.nat({ max: 255 }), fc.nat({ max: 20 }), (value, at, byte, cut) => {
      const encoded = encodeHello(value)
      encoded[at % encoded.length] = byte
      tried(decodeHello, encoded.subarray(0, encoded.length - cut))
      tried(decodeVerdict, encoded)
    }), { numRuns: 500 })
    fc.assert(fc.property(bytes({ maxLength: 100 }), input => {
      tried(decodeHello, input)
      tried(decodeVerdict, input)
    }), { numRuns: 500 })
    // Nested groups, which a Protobuf decoder skips recursively.
    tried(decodeHello, new Uint8Array(4096).fill(0x7b))
  })

  it('skip fields of later versions', () => {
    const value = { version: 1, network: 'n', agent: 'a', roles: ['worker'], nonce: new Uint8Array(32), delegation: Uint8Array.of(1) }
    same(decodeHello(Uint8Array.from([...encodeHello(value), 0xfa, 0x01, 2, 1, 2])), value)
  })

  it('refuse what passes a limit', () => {
    const value = { version: 1, network: 'n', agent: 'a', roles: [], nonce: new Uint8Array(32), delegation: new Uint8Array() }
    for (const fields of [{ network: 'x'.repeat(65) }, { agent: 'x'.repeat(129) }, { roles: new Array<string>(17).fill('r') }, { roles: ['x'.repeat(33)] }, { nonce: new Uint8Array(31) }, { agent: 'a\nb' }]) {
      assert.throws(() => decodeHello(encodeHello({ ...value, ...fields })), { code: 'malformed' })
    }
    assert.throws(() => decodeVerdict(Uint8Array.of(18, 0)), { code: 'malformed' })
  })

  it('equal the test vectors', () => {
    const vectors = JSON.parse(readFileSync(new URL('../../fixtures/vectors/hello.json', import.meta.url), 'utf8')) as {
      hello: Array<{ value: { version: number, network: string, agent: string, roles: string[], nonce: string, delegation: string }, bytes: string }>
      verdict: Array<{ value: { code: number, reason: string, proof: string }, bytes: string }>
    }
    const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))
    for (const vector of vectors.hello) {
      const value = { ...vector.value, nonce: hex(vector.value.nonce), delegation: hex(vector.value.delegation) }
      assert.equal(Buffer.from(encodeHello(value)).toString('hex'), vector.bytes)
      same(decodeHello(hex(vector.bytes)), value)
    }
    for (const vector of vectors.verdict) {
      const value = { ...vector.value, proof: hex(vector.value.proof) }
      assert.equal(Buffer.from(encodeVerdict(value)).toString('hex'), vector.bytes)
      same(decodeVerdict(hex(vector.bytes)), value)
    }
    assert.ok(vectors.hello.length > 0 && vectors.verdict.length > 1)
  })
})
