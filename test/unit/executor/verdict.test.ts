import assert from 'node:assert/strict'
import { ConversionError } from '../../../daemon/block-convert/index.ts'
import { lastLine, verdictOfDeath, verdictOfError, type Death } from '../../../daemon/executor/verdict.ts'

const MEMORY = 1000
const death = (fields: Partial<Death>): Death => ({ code: null, signal: null, lastWords: '', peakBytes: 0, memoryBytes: MEMORY, ...fields })

describe('verdict of a death', () => {
  const table: Array<[what: string, fields: Partial<Death>, reason: string]> = [
    ['we killed it', { killed: { reason: 'hang', message: '' }, signal: 'SIGKILL', peakBytes: MEMORY }, 'hang'],
    ['a segmentation fault', { signal: 'SIGSEGV' }, 'crash'],
    ['the same under bwrap', { code: 139 }, 'crash'],
    ['an early end', { code: 0 }, 'crash'],
    ['killed from outside', { signal: 'SIGKILL', peakBytes: MEMORY * 0.4 }, 'crash'],
    ['killed while memory was high', { signal: 'SIGKILL', peakBytes: MEMORY * 0.6 }, 'out-of-memory'],
    ['the same under bwrap', { code: 137, peakBytes: MEMORY * 0.6 }, 'out-of-memory'],
    ['a full heap', { signal: 'SIGABRT', lastWords: 'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n' }, 'out-of-memory'],
    ['a failed allocation', { signal: 'SIGABRT', lastWords: 'terminate called after throwing an instance of \'std::bad_alloc\'' }, 'out-of-memory'],
    ['a file too large', { signal: 'SIGXFSZ' }, 'output-limit'],
    ['the same under bwrap', { code: 153 }, 'output-limit']
  ]
  for (const [what, fields, reason] of table) {
    it(`${what}: ${reason}`, () => { assert.equal(verdictOfDeath(death(fields)).reason, reason) })
  }

  it('says how it died and what it last said', () => {
    assert.equal(verdictOfDeath(death({ code: 139, lastWords: 'fine\n' })).message, 'the engine process was ended by SIGSEGV: fine')
    assert.equal(verdictOfDeath(death({ code: 3 })).message, 'the engine process ended with code 3')
  })
})

describe('verdict of an error', () => {
  const table: Array<[error: unknown, reason: string, code: string | undefined]> = [
    [new ConversionError('contradiction', 'x', { line: 1 }), 'conversion', 'contradiction'],
    [new ConversionError('bad-input', 'the text says: out of memory'), 'conversion', 'bad-input'],
    [new ConversionError('engine', 'Out of Memory Error: could not allocate block'), 'out-of-memory', undefined],
    [new ConversionError('engine', 'IO Error: Could not write: File too large'), 'output-limit', undefined],
    [new ConversionError('engine', 'IO Error: No space left on device'), 'unavailable', undefined],
    [new ConversionError('engine', 'Internal Error'), 'conversion', 'engine'],
    [Object.assign(new Error('write'), { code: 'EFBIG' }), 'output-limit', undefined],
    [Object.assign(new Error('write'), { code: 'ENOSPC' }), 'unavailable', undefined],
    [new TypeError('x'), 'conversion', 'engine'],
    ['just a text', 'conversion', 'engine'],
    [undefined, 'conversion', 'engine']
  ]
  for (const [error, reason, code] of table) {
    it(`${String(error)}: ${reason}`, () => {
      const verdict = verdictOfError(error)
      assert.equal(verdict.reason, reason)
      assert.equal(verdict.code, code)
    })
  }

  it('keeps details, and bounds the message', () => {
    assert.deepEqual(verdictOfError(new ConversionError('contradiction', 'x', { line: 1 })).details, { line: 1 })
    assert.ok(verdictOfError(new Error('x'.repeat(1e6))).message.length < 3000)
  })
})

describe('last line', () => {
  it('prefers one that names an error, and drops control characters', () => {
    assert.equal(lastLine('a\nTypeError: \u001b[31mx\n    at y\n\nNode.js v24\n'), 'TypeError:  [31mx')
    assert.equal(lastLine('one\ntwo\n\n'), 'two')
    assert.equal(lastLine(''), '')
  })
})
