/** docs/converters.md is what `npm run fidelity` makes of the rules and the last results, and those are about every real file. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SOURCES } from '../../fuzz/arbitrary.ts'
import type { Result } from '../../../scripts/fidelity/check.ts'
import { realFiles } from '../../../scripts/fidelity/files.ts'
import { page } from '../../../scripts/fidelity/page.ts'

const docs = join(import.meta.dirname, '..', '..', '..', 'docs')
const { date, results } = JSON.parse(readFileSync(join(docs, 'converters.json'), 'utf8')) as { date: string, results: Result[] }
const files = realFiles()

describe('fidelity table', () => {
  it('is up to date', () => {
    assert.equal(readFileSync(join(docs, 'converters.md'), 'utf8'), page(files, results, date))
  })

  it('has a result for every real file in every direction', () => {
    assert.ok(files.length > 60)
    const missing = files.flatMap(({ name }) => SOURCES.filter(to => !results.some(result => result.file === name && result.to === to)).map(to => `${name} to ${to}`))
    assert.deepEqual(missing, [])
  })

  it('names a reason for whatever is not equal', () => {
    assert.deepEqual(results.filter(({ outcome, reason }) => outcome === 'differs' || (outcome !== 'equal' && (reason ?? '') === '')), [])
  })
})
