import assert from 'node:assert/strict'
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAvailability, decideAvailability, type Availability, type AvailabilityPolicy, type MachineSample } from '../../../daemon/executor/availability.ts'
import { BUSY_SHARE, BUSY_WINDOW_MS, FREE_SHARE, FREE_WINDOW_MS, SAMPLE_MS } from '../../../daemon/executor/constants.ts'
import { busyMs, onBattery, ownMs, readMachine } from '../../../daemon/executor/machine.ts'
import type { GuestLimit } from '../../../daemon/executor/index.ts'
import { silentLog } from '../../../daemon/log.ts'

const CORES = 4
const policy = (fields: Partial<AvailabilityPolicy> = {}): AvailabilityPolicy => ({ slots: CORES, cores: CORES, cpuShare: 1, idleOnly: false, battery: 'any', open: () => true, ...fields })
const ALL: Availability = { slots: CORES, paused: false, reason: undefined }
const BUSY: Availability = { slots: 0, paused: true, reason: 'the machine is busy' }

/** Samples of `ms` until `until`, in which others use a share of the cores, and this node uses `own` of them. */
function samples (until: number, ms: number, others: number, own = 0, fields: Partial<MachineSample> = {}): MachineSample[] {
  return Array.from({ length: Math.floor(ms / SAMPLE_MS) + 1 }, (_, i) => {
    const at = until - ms + i * SAMPLE_MS
    return { at, busyMs: (others + own) * CORES * at, ownMs: own * CORES * at, onBattery: false, ...fields }
  })
}

describe('how much a node works for others', () => {
  const now = { monotonic: 100_000, utc: 0 }
  const table: Array<[what: string, policy: Partial<AvailabilityPolicy>, seen: MachineSample[], before: Availability | undefined, expected: Availability]> = [
    ['everything by default', {}, samples(100_000, 10_000, 1), undefined, ALL],
    ['no less on battery where that is allowed', {}, samples(100_000, 0, 0, 0, { onBattery: true }), undefined, ALL],
    ['nothing on battery', { battery: 'mains' }, samples(100_000, 0, 0, 0, { onBattery: true }), undefined, { slots: 0, paused: true, reason: 'on battery' }],
    ['everything on mains', { battery: 'mains' }, samples(100_000, 0, 0), undefined, ALL],
    ['half of the cores', { cpuShare: 0.5 }, [], undefined, { slots: 2, paused: false, reason: '50 % of the processor' }],
    ['one core at least', { cpuShare: 0.01 }, [], undefined, { slots: 1, paused: false, reason: '1 % of the processor' }],
    ['no more engines than there are', { cpuShare: 0.9, slots: 2 }, [], undefined, { slots: 2, paused: false, reason: undefined }],
    ['no new work outside the hours, and no pause', { open: () => false }, [], undefined, { slots: 0, paused: false, reason: 'outside its hours' }],
    ['the battery before the hours', { open: () => false, battery: 'mains' }, samples(100_000, 0, 0, 0, { onBattery: true }), undefined, { slots: 0, paused: true, reason: 'on battery' }],
    ['nothing while others work', { idleOnly: true }, samples(100_000, BUSY_WINDOW_MS, BUSY_SHARE + 0.01), ALL, BUSY],
    ['everything while only it works', { idleOnly: true }, samples(100_000, BUSY_WINDOW_MS, 0, 1), ALL, ALL],
    ['everything while others work little', { idleOnly: true }, samples(100_000, BUSY_WINDOW_MS, BUSY_SHARE - 0.01), ALL, ALL],
    ['nothing until they work less than that', { idleOnly: true }, samples(100_000, FREE_WINDOW_MS, BUSY_SHARE - 0.01), BUSY, BUSY],
    ['nothing until they were quiet for long', { idleOnly: true }, [...samples(90_000, FREE_WINDOW_MS, 0.5), ...samples(100_000, 8_000, FREE_SHARE / 2, 0).map(sample => ({ ...sample, busyMs: 90_000 * CORES * 0.5 + (sample.at - 90_000) * CORES * FREE_SHARE / 2 }))], BUSY, BUSY],
    ['everything once they were quiet', { idleOnly: true }, samples(100_000, FREE_WINDOW_MS, FREE_SHARE - 0.01), BUSY, ALL],
    ['as before while too little was seen: free', { idleOnly: true }, samples(100_000, SAMPLE_MS, 1), ALL, ALL],
    ['as before while too little was seen: busy', { idleOnly: true }, samples(100_000, SAMPLE_MS, 0), BUSY, BUSY],
    ['everything where the system does not tell', { idleOnly: true }, samples(100_000, BUSY_WINDOW_MS, 1, 0, { busyMs: undefined }), ALL, ALL]
  ]
  for (const [what, fields, seen, before, expected] of table) {
    it(what, () => { assert.deepEqual(decideAvailability(seen, policy(fields), now, before), expected) })
  }

  it('follows the share of others with hysteresis, and does not flap between its limits', () => {
    let held: Availability = ALL
    const seen: MachineSample[] = []
    let busy = 0
    const changes: Array<[number, boolean]> = []
    // idle, then between the limits, then busy, between the limits again, then quiet
    for (let at = 0; at <= 300_000; at += SAMPLE_MS) {
      const share = at < 40_000 ? 0.02 : at < 100_000 ? 0.2 : at < 140_000 ? 0.6 : at < 220_000 ? 0.2 : 0.02
      busy += share * CORES * SAMPLE_MS
      seen.push({ at, busyMs: busy, ownMs: 0, onBattery: false })
      const next = decideAvailability(seen, policy({ idleOnly: true }), { monotonic: at, utc: 0 }, held)
      if (next.paused !== held.paused) changes.push([at, next.paused])
      held = next
    }
    assert.deepEqual(changes.map(([, paused]) => paused), [true, false])
    assert.ok(changes[0]![0] >= 100_000 && changes[0]![0] <= 100_000 + BUSY_WINDOW_MS)
    assert.ok(changes[1]![0] > 220_000 && changes[1]![0] <= 220_000 + FREE_WINDOW_MS)
  })
})

describe('the service of availability', () => {
  function service (always: boolean, idleOnly = false) {
    const limits: GuestLimit[] = []
    const told: Availability[] = []
    const machine: MachineSample = { at: 0, busyMs: 0, ownMs: 0, onBattery: false }
    const made = createAvailability({
      executor: { slots: 2, limitGuests: limit => { limits.push({ ...limit }) } },
      changed: availability => { told.push(availability) },
      log: silentLog,
      sample: () => ({ ...machine }),
      utc: () => 0
    }, { always, cpuShare: 1, idleOnly, battery: 'mains', open: () => true })
    return { made, limits, told, machine }
  }

  it('tells the executor and its owner of changes only, and lifts the pause when it stops', () => {
    const { made, limits, told, machine } = service(false)
    made.start()
    assert.deepEqual(told, [])
    machine.onBattery = true
    made.look()
    made.look()
    assert.deepEqual(made.current, { slots: 0, paused: true, reason: 'on battery' })
    assert.equal(told.length, 1)
    assert.equal(limits.length, 1)
    assert.equal(limits[0]?.paused, true)
    made.stop()
    assert.equal(limits.at(-1)?.paused, false)
  })

  it('what the system forgot of its own work, when engines were killed, is not the work of others', () => {
    const { made, told, machine } = service(false, true)
    const cores = availableParallelism()
    const pass = (ms: number, ownMs: number): void => {
      machine.at += ms
      machine.busyMs = (machine.busyMs ?? 0) + ms * cores
      machine.ownMs = ownMs
      made.look()
    }
    made.start()
    for (let i = 1; i <= 4; i++) pass(2000, i * 2000 * cores)
    // killed with all they used; those that follow count from nothing
    for (let i = 0; i <= 4; i++) pass(2000, i * 2000 * cores)
    assert.deepEqual(told, [])
    for (let i = 0; i < 4; i++) pass(2000, 8000 * cores)
    assert.equal(made.current.reason, 'the machine is busy', 'others are noticed as before')
    made.stop()
  })

  it('does not look at the machine where nothing depends on it', () => {
    const { made, told, machine } = service(true)
    machine.onBattery = true
    made.start()
    assert.deepEqual(told, [])
    assert.deepEqual(made.current, { slots: 2, paused: false, reason: undefined })
    made.stop()
  })
})

describe('what a machine says', () => {
  it('of its processors: busy is neither idle nor waiting for disks', () => {
    assert.equal(busyMs('cpu  100 10 50 9999 777 5 6 7 3 2\ncpu0 1 1 1 1 1 1 1 1 0 0\n'), (100 + 10 + 50 + 5 + 6 + 7) * 10)
    assert.equal(busyMs(undefined), undefined)
    assert.equal(busyMs('intr 5\n'), undefined)
  })

  it('of this process: what it used grows with work, and is part of what all used', () => {
    const [machine, own] = [readMachine(), ownMs(process.pid)]
    const until = performance.now() + 300
    let x = 0
    while (performance.now() < until || ownMs(process.pid) < own + 50) x += Math.sqrt(x + 1)
    assert.ok(x > 0)
    const later = readMachine()
    assert.ok(later.ownMs >= machine.ownMs + 50)
    assert.ok((later.busyMs as number) - (machine.busyMs as number) >= later.ownMs - machine.ownMs - 100)
  })

  describe('of its power', () => {
    let folder: string
    beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'weft-power-')) })
    afterEach(() => { rmSync(folder, { recursive: true, force: true }) })
    const supply = (name: string, fields: Record<string, string>): void => {
      mkdirSync(join(folder, name))
      for (const [file, value] of Object.entries(fields)) writeFileSync(join(folder, name, file), `${value}\n`)
    }

    it('without supplies it is on mains', () => {
      assert.equal(onBattery(folder), false)
      assert.equal(onBattery(join(folder, 'missing')), false)
    })

    it('with a battery that is emptied it is on battery', () => {
      supply('AC', { type: 'Mains', online: '0' })
      supply('BAT0', { type: 'Battery', status: 'Discharging' })
      assert.equal(onBattery(folder), true)
    })

    it('with the mains there it is not, whatever the battery does', () => {
      supply('AC', { type: 'Mains', online: '1' })
      supply('BAT0', { type: 'Battery', status: 'Discharging' })
      assert.equal(onBattery(folder), false)
    })

    it('a full battery, and that of a mouse, are none', () => {
      supply('BAT0', { type: 'Battery', status: 'Full' })
      supply('mouse', { type: 'Battery', status: 'Discharging', scope: 'Device' })
      assert.equal(onBattery(folder), false)
    })
  })
})
