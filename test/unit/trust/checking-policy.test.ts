import assert from 'node:assert/strict'
import fc from 'fast-check'
import { SAMPLE_SHARE, shouldCheck } from '../../../daemon/trust/checking-policy.ts'

const never = (): number => { throw new Error('nothing is to be drawn') }

describe('trust/checking-policy', () => {
  it('compares all, or none, without a draw', () => {
    assert.equal(shouldCheck({ mode: 'all' }, { drawn: 7, distrusted: false }, never), true)
    assert.equal(shouldCheck({ mode: 'none' }, { drawn: 0, distrusted: false }, never), false)
  })

  it('compares everything of a worker that was caught, whatever the mode', () => {
    for (const mode of ['none', 'sample', 'all'] as const) assert.equal(shouldCheck({ mode }, { drawn: 7, distrusted: true }, never), true)
  })

  it('compares the first result of each worker', () => {
    assert.equal(shouldCheck({ mode: 'sample' }, { drawn: 0, distrusted: false }, never), true)
  })

  it('draws the others by their share', () => {
    fc.assert(fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }), (draw, share) => {
      assert.equal(shouldCheck({ mode: 'sample', share }, { drawn: 1, distrusted: false }, () => draw), draw < (share ?? SAMPLE_SHARE))
    }))
  })
})
