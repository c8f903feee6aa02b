import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { configSchema, leaves } from '../../daemon/config/schema.ts'
import * as coordinator from '../../daemon/coordinator/constants.ts'
import type { JobWait, PeerWait } from '../../daemon/coordinator/explain.ts'
import * as health from '../../daemon/health/constants.ts'
import * as task from '../../daemon/task-protocol/constants.ts'

/** Sections of the configuration that are about time, failure, room and who works when. */
const SECTIONS = ['liveness', 'hedging', 'executor', 'policy', 'store']

const text = readFileSync(new URL('../../docs/operating.md', import.meta.url), 'utf8')

/** Rows of the tables under a heading, as cells. */
function rowsOf (heading: string): string[][] {
  const [, part] = text.split(`### ${heading}\n`)
  assert.ok(part != null, heading)
  return (part.split(/^##/m)[0] as string).split('\n').filter(line => line.startsWith('| ')).map(line => line.split('|').slice(1, -1).map(cell => cell.trim())).slice(1)
}

const nameOf = ([cell = '']: string[]): string => /^`([^`]+)`/.exec(cell)?.[1] ?? ''

describe('docs/operating.md', () => {
  it('explains every setting of time and failure, with its default and what changing it does', () => {
    const defaults = configSchema.parse({}) as unknown as Record<string, Record<string, unknown>>
    const keys = [...leaves().keys()].filter(key => SECTIONS.includes(key.split('.')[0] as string))
    const rows = rowsOf('Settings')
    assert.deepEqual(rows.map(nameOf).toSorted(), keys.toSorted())
    for (const row of rows) {
      const [section, key] = nameOf(row).split('.') as [string, string]
      const value = defaults[section]?.[key]
      assert.ok([value == null || value === 'auto' ? '`auto`' : `\`${JSON.stringify(value)}\``].includes(row[1] as string), `${nameOf(row)}: ${String(row[1])} for ${JSON.stringify(value)}`)
      assert.ok((row[2] as string).length > 0 && row.length === 5, nameOf(row))
    }
  })

  it('gives what is fixed as it is, every wait and number of tries of a job among it', () => {
    const all: Record<string, unknown> = { ...health, ...task, ...coordinator, ...coordinator.JOB_LIMITS }
    const rows = rowsOf('What is fixed')
    const names = rows.map(nameOf)
    for (const limit of Object.keys(coordinator.JOB_LIMITS)) assert.ok(names.includes(limit), limit)
    for (const row of rows) assert.equal(row[1], written(nameOf(row), all[nameOf(row)] as number), nameOf(row))
    assert.equal(new Set(names).size, names.length)
  })

  it('says after which silence a peer is suspect and dead as the failure detector has it', () => {
    const seconds = ({ floorMs, ceilingMs }: health.Band): string => `${floorMs / 1000}–${ceilingMs / 1000} s`
    const { BEACON_LIMITS, LEASE_LIMITS, STALL_SUSPECT_MS, STREAM_SUSPECT_MS, STREAM_DEAD_MS } = health
    assert.deepEqual(rowsOf('When a peer is given up').map(row => row.slice(1)), [
      ['', 'at once'],
      [seconds(BEACON_LIMITS.suspect), seconds(BEACON_LIMITS.dead)],
      [seconds(LEASE_LIMITS.suspect), seconds(LEASE_LIMITS.dead)],
      [`${STALL_SUSPECT_MS / 1000} s`, `${STREAM_DEAD_MS / 1000} s`],
      [`${STREAM_SUSPECT_MS / 1000} s`, `${STREAM_DEAD_MS / 1000} s`]
    ])
    const part = text.split('### When a peer is given up')[1] as string
    assert.ok(part.includes(`up to ${health.LOCAL_HEALTH_FACTOR_MAX} times while this node`) && part.includes(`up to ${health.WIDEN_MAX} times for a peer`))
  })

  it('has a word for every reason why a job does not run', () => {
    // Complete by their types: a new reason does not compile without being named here.
    const waits: Record<JobWait, true> = { types: true, 'earlier-run': true, disk: true, worker: true, search: true, splitter: true, results: true, output: true }
    const peers: Record<PeerWait, true> = { suspect: true, 'cut-off': true, price: true, draining: true, busy: true, distrusted: true, refused: true, lost: true, 'passed-over': true, idle: true }
    const told = rowsOf('Why is this not running').map(([cell = '']) => cell).join(' ')
    for (const reason of [...Object.keys(waits), ...Object.keys(peers), 'policy', 'unknown']) assert.ok(told.includes(`\`${reason}\``), reason)
  })
})

/** As the tables have it: the largest unit that leaves a whole number; shares and counts as they are. */
function written (name: string, value: number): string {
  if (!/Ms(Max)?$|_MS(_|$)/.test(name)) return String(value)
  const [unit, factor] = ([['d', 86_400_000], ['min', 60_000], ['s', 1000], ['ms', 1]] as Array<[string, number]>).find(([, ms]) => value % ms === 0) as [string, number]
  return `${value / factor} ${unit}`
}
