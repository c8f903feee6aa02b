import assert from 'node:assert/strict'
import fc from 'fast-check'
import { canonicalJson, canonicalNumber, JSON_DEPTH_MAX, jsonValue } from '../../../../../daemon/block-convert/tables/json/text.ts'

describe('json-text', () => {
  it('has one form for equal texts', () => {
    assert.equal(canonicalJson(' { "b" : [ 1.0 , 1e0, 10e-1 ] , "a" : "\\u0041\\/" } '), '{"b":[1,1,1],"a":"A/"}')
    assert.equal(canonicalJson('[]'), '[]')
    assert.equal(canonicalJson('{"a":1,"a":2}'), '{"a":1,"a":2}')
    assert.notEqual(canonicalJson('{"a":1,"b":2}'), canonicalJson('{"b":2,"a":1}'))
  })

  it('keeps the exact value of numbers', () => {
    for (const [lexeme, canonical] of [
      ['0', '0'], ['-0', '0'], ['-0.000e5', '0'], ['100', '100'], ['1e2', '100'], ['1.50', '15e-1'], ['0.0015', '15e-4'], ['-12E+3', '-12000'], ['1e400', '1e400'], ['10e399', '1e400'],
      ['9007199254740993', '9007199254740993'], ['1e30', `1${'0'.repeat(30)}`], [`1${'0'.repeat(30)}`, `1${'0'.repeat(30)}`], [`1${'0'.repeat(50)}`, '1e50']
    ]) assert.equal(canonicalNumber(lexeme!), canonical)
  })

  it('agrees with JSON.parse on what is JSON', () => {
    fc.assert(fc.property(fc.json(), value => {
      const canonical = canonicalJson(value)
      assert.notEqual(canonical, undefined)
      assert.deepEqual(JSON.stringify(JSON.parse(canonical!)).replaceAll('-0', '0'), JSON.stringify(JSON.parse(value)).replaceAll('-0', '0'))
      assert.equal(canonicalJson(canonical!), canonical)
    }), { numRuns: 300 })
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', ':', '1', '0', 'e', '-', '.', ' ', '\n', 'null', 'true', 'u00fc', '\t') }), value => {
      let isJson = true
      try {
        JSON.parse(value)
      } catch {
        // that is the question
        isJson = false
      }
      assert.equal(canonicalJson(value) !== undefined, isJson)
    }), { numRuns: 1000 })
  })

  it('limits nesting', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
    assert.equal(canonicalJson(nested(JSON_DEPTH_MAX)), nested(JSON_DEPTH_MAX))
    assert.equal(canonicalJson(nested(JSON_DEPTH_MAX + 1)), undefined)
    assert.equal(canonicalJson('{"a":'.repeat(100_000)), undefined)
  })

  it('makes NULL of null', () => {
    assert.equal(jsonValue(' null '), null)
    assert.equal(jsonValue('[null]'), '[null]')
    assert.equal(jsonValue('nul'), undefined)
  })
})
