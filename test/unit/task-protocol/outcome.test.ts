import assert from 'node:assert/strict'
import { failureOutcome } from '../../../daemon/task-protocol/outcome.ts'

describe('outcome', () => {
  it('takes control characters out of what a worker says of a failure', () => {
    const outcome = failureOutcome({ block: 1, attempt: 1 }, { reason: 'conversion', message: 'evil\u001b]0;title\u0007\r\n\u009b2J é', code: 'bad-input\u001b', retryAfterMs: 0 })
    assert.equal(outcome.message, 'evil ]0;title    2J é')
    assert.equal(outcome.code, 'bad-input ')
  })
})
