import assert from 'node:assert/strict'
import fc from 'fast-check'
import { formOf, planLie, type LieForm } from '../../../daemon/executor/lie.ts'

function lied (text: string, form: LieForm, random: () => number, whole = true): string | undefined {
  const bytes = Buffer.from(text)
  const lie = planLie(bytes, form, whole, random)
  if (lie == null) return undefined
  bytes[lie.at] = lie.byte
  return bytes.toString()
}

function kind (byte: number): string {
  const character = String.fromCharCode(byte)
  return /\d/.test(character) ? 'digit' : /[a-z]/.test(character) ? 'lower' : 'upper'
}

describe('lies', () => {
  it('know the form of a media type', () => {
    assert.deepEqual(['text/csv', 'application/x-ndjson', 'application/vnd.apache.parquet', 'application/octet-stream'].map(formOf), ['delimited', 'json', 'bytes', 'bytes'])
  })

  it('change the last digit of a number, or a letter of a text, but no header, date, boolean or long number', () => {
    const csv = 'id,name,when,ok\n12,Anna,2020-01-31,true\n"-3.50",\n0,"x, y",NaN,12345678901234567\n'
    for (let i = 0; i < 200; i++) {
      const text = lied(csv, 'delimited', () => i / 200) ?? ''
      assert.match(text, /^id,name,when,ok\n(1[1-9],An[a-z]a|12,Anna),2020-01-31,true\n"-3\.5[0-9]",\n[0-9],"x, y",NaN,12345678901234567\n$/)
      assert.notEqual(text, csv)
    }
    const json = '{"a": 10, "b": "text", "c": true, "d":"2020-01-31", "e":1.5e9}\n'
    for (let i = 0; i < 200; i++) assert.match(lied(json, 'json', () => i / 200) ?? '', /^\{"a": 1[0-9], "b": "t[a-z]xt", "c": true, "d":"2020-01-31", "e":1.5e9\}\n$/)
  })

  it('have nothing to say about a header alone, or a line cut in front', () => {
    assert.equal(lied('id,name', 'delimited', Math.random), undefined)
    assert.equal(lied('id,name\n', 'delimited', Math.random), undefined)
    assert.equal(lied('{"a":1}', 'json', Math.random, false), undefined)
    assert.equal(lied('', 'bytes', Math.random), undefined)
  })

  it('always change exactly one byte, into one of the same kind', () => {
    const field = fc.oneof(fc.integer().map(String), fc.double({ noNaN: true }).map(String), fc.stringMatching(/^[A-Za-z ]{0,8}$/), fc.string().map(text => JSON.stringify(text)))
    const csv = fc.array(fc.array(field, { minLength: 1, maxLength: 4 }).map(row => row.join(',')), { maxLength: 6 }).map(rows => `${rows.join('\n')}\n`)
    fc.assert(fc.property(csv, fc.constantFrom<LieForm>('delimited', 'json', 'bytes'), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (text, form, drawn) => {
      const bytes = Buffer.from(text)
      const lie = planLie(bytes, form, true, () => drawn)
      if (lie == null) return
      const was = bytes[lie.at] ?? -1
      assert.notEqual(lie.byte, was)
      if (form !== 'bytes') assert.equal(kind(lie.byte), kind(was))
    }))
  })
})
