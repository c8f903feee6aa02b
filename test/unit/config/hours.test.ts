import assert from 'node:assert/strict'
import { isWithin, parseHours, WEEK_MINUTES, type Span } from '../../../daemon/config/hours.ts'

const at = (text: string): number => Date.parse(text)
const spans = (text: string): Span[] => {
  const found = parseHours(text)
  assert.ok(found != null, text)
  return found
}

describe('hours of the week', () => {
  it('reads days and times', () => {
    assert.deepEqual(spans('Tue 09:30-17:00'), [[1440 + 570, 1440 + 1020]])
    assert.equal(spans('22:00-06:00').length, 7)
    assert.deepEqual(spans('Sat-Mon 00:00-24:00').map(([from]) => from / 1440), [5, 6, 0])
    assert.deepEqual(spans('sun 22:00-06:00'), [[6 * 1440 + 1320, WEEK_MINUTES + 360]])
  })

  it('refuses what is not of the form', () => {
    for (const text of ['', 'always', '9:00-17:00', '09:00-24:01', '25:00-06:00', '09:00-09:00', 'Mo 09:00-17:00', 'Mon,Tue 09:00-17:00']) assert.equal(parseHours(text), undefined, text)
  })

  it('knows whether a moment lies within, over midnight and over the end of the week', () => {
    const nights = spans('Mon-Fri 18:00-08:00')
    // 2026-11-21 is a Saturday.
    assert.ok(isWithin(nights, at('2026-11-20T18:00:00Z')))
    assert.ok(isWithin(nights, at('2026-11-21T07:59:59Z')), 'Friday night lasts until Saturday morning')
    assert.ok(!isWithin(nights, at('2026-11-21T08:00:00Z')))
    assert.ok(!isWithin(nights, at('2026-11-23T07:00:00Z')), 'Monday morning follows Sunday night')
    assert.ok(isWithin(spans('Sun 22:00-06:00'), at('2026-11-23T05:00:00Z')), 'over the end of the week')
    assert.ok(!isWithin(spans('Sun 22:00-06:00'), at('2026-11-23T06:00:00Z')))
    assert.ok(isWithin([], at('2026-11-21T08:00:00Z')), 'no hours: always')
  })
})
