import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  BEACON_LIMITS, BEACON_LOST_MS, BEACON_MS, CONFIRM_MS, createDetector, HEARTBEAT_MS, isNewer, LEASE_LIMITS, LOOK_MS, REFUTATION_MS, STALL_SUSPECT_MS,
  STREAM_DEAD_MS, STREAM_SUSPECT_MS, WIDEN_MAX, WIDEN_STEP, type Detector, type DetectorFault, type Liveness, type OwnState
} from '../../../daemon/health/index.ts'

const INCARNATION = 1

/** A peer whose beacon and beats come on time, until `until`; the last beacon and beat are at `until`, a multiple of HEARTBEAT_MS and BEACON_MS. */
function regular (until: number, detector = createDetector(0)): Detector {
  for (let at = 100; at <= until; at += 100) {
    if (at % BEACON_MS === 0) detector.beacon({ incarnation: INCARNATION, sequence: at, progress: at }, at)
    if (at % HEARTBEAT_MS === 0) detector.beat(at)
  }
  return detector
}

/** The times of the first verdict of each kind, looking when the detector says. */
function follow (detector: Detector, from: number, until: number, own?: (now: number) => OwnState | number): Map<Liveness, number> {
  const seen = new Map<Liveness, number>()
  for (let now = from; now <= until;) {
    const verdict = detector.verdict(now, own?.(now))
    if (!seen.has(verdict)) seen.set(verdict, now)
    const next = detector.nextLook(now, own?.(now))
    assert.ok(next > now, 'looks forward')
    now = next
  }
  return seen
}

const faulty = (fault: DetectorFault, now = 0): Detector => createDetector(now, { faults: new Set([fault]) })

describe('failure detector', () => {
  describe('silence', () => {
    const END = 10_000
    const table: Array<[name: string, detector: () => Detector, suspect: number, dead: number]> = [
      ['regular beacons: the floors', () => regular(END), BEACON_LIMITS.suspect.floorMs, BEACON_LIMITS.dead.floorMs],
      ['a first beacon only, gaps unknown: the ceilings', () => {
        const detector = createDetector(END - 1)
        detector.beacon({ incarnation: 1, sequence: 1, progress: 1 }, END)
        return detector
      }, BEACON_LIMITS.suspect.ceilingMs, BEACON_LIMITS.dead.ceilingMs],
      ['regular beats, no beacon: the floors', () => {
        const detector = createDetector(0)
        for (let at = HEARTBEAT_MS; at <= END; at += HEARTBEAT_MS) detector.beat(at)
        return detector
      }, LEASE_LIMITS.suspect.floorMs, LEASE_LIMITS.dead.floorMs],
      ['nothing ever: the ceilings', () => createDetector(END), LEASE_LIMITS.suspect.ceilingMs, LEASE_LIMITS.dead.ceilingMs],
      ['beats once a second: limits of twice the length', () => {
        const detector = createDetector(0)
        detector.beatEvery(1000)
        for (let at = 1000; at <= END; at += 1000) detector.beat(at)
        return detector
      }, 2 * LEASE_LIMITS.suspect.floorMs, 2 * LEASE_LIMITS.dead.floorMs],
      ['a beat said to come once an hour: not believed', () => {
        const detector = createDetector(END)
        detector.beatEvery(3_600_000)
        return detector
      }, 2 * LEASE_LIMITS.suspect.ceilingMs, 2 * LEASE_LIMITS.dead.ceilingMs],
      ['any byte counts, whichever came last', () => {
        const detector = regular(END - 500)
        detector.byte(END)
        return detector
      }, BEACON_LIMITS.suspect.floorMs, BEACON_LIMITS.dead.floorMs]
    ]
    for (const [name, make, suspect, dead] of table) {
      it(name, () => {
        const seen = follow(make(), END, END + 30_000)
        assert.deepEqual([...seen], [['alive', END], ['suspect', END + suspect], ['dead', seen.get('dead')]])
        const killed = seen.get('dead')! - END
        assert.ok(killed >= dead && killed <= dead + LOOK_MS, `dead after ${killed}`)
      })
    }

    it('with a beacon a second copy runs within 1.5 s and blocks move within 3 s; without one within 8.1 s', () => {
      assert.ok(BEACON_LIMITS.suspect.ceilingMs <= 1500 - LOOK_MS)
      assert.ok(BEACON_LIMITS.dead.ceilingMs <= 3000 - LOOK_MS)
      assert.ok(LEASE_LIMITS.dead.ceilingMs <= 8100 - LOOK_MS)
    })

    it('arrivals that vary raise the limit, within the ceiling', () => {
      const suspectAfter = (late: number): number => {
        const detector = createDetector(0)
        let at = 0
        for (let sequence = 1; sequence <= 200; sequence++) {
          at += BEACON_MS + (sequence % 8 === 0 ? late : 0)
          detector.beacon({ incarnation: 1, sequence, progress: sequence }, at)
          detector.byte(at)
        }
        return follow(detector, at, at + 5000).get('suspect')! - at
      }
      assert.equal(suspectAfter(0), BEACON_LIMITS.suspect.floorMs)
      const some = suspectAfter(100)
      assert.ok(some > BEACON_LIMITS.suspect.floorMs && some < BEACON_LIMITS.suspect.ceilingMs, `${some}`)
      assert.equal(suspectAfter(600), BEACON_LIMITS.suspect.ceilingMs)
    })

    it('is dead for good', () => {
      const detector = regular(10_000)
      assert.ok(follow(detector, 10_000, 20_000).has('dead'))
      detector.beacon({ incarnation: 2, sequence: 1, progress: 1 }, 20_000)
      detector.byte(20_001)
      assert.equal(detector.verdict(20_001), 'dead')
    })

    it('kills nobody whom it did not suspect before, however long the silence', () => {
      const detector = regular(10_000)
      const later = 10_000 + 3_600_000
      assert.equal(detector.verdict(later), 'suspect')
      assert.equal(detector.verdict(later + CONFIRM_MS - 1), 'suspect')
      assert.equal(detector.verdict(later + CONFIRM_MS), 'dead')
    })
  })

  describe('self-doubt', () => {
    it('accuses nobody on waking from a pause of its own', () => {
      const detector = regular(10_000)
      assert.equal(detector.verdict(70_000, { loopMs: 60_000, beaconMs: 60_000 }), 'alive')
      detector.byte(70_001)
      assert.equal(detector.verdict(70_002, 60_000), 'alive')
      assert.equal(faulty('no-self-doubt').verdict(60_000, 60_000), 'suspect')
    })

    it('a late main loop does not put off what its beacon thread knows', () => {
      const seen = follow(regular(10_000), 10_000, 20_000, () => ({ loopMs: 5000, beaconMs: 0 }))
      assert.equal(seen.get('suspect'), 10_000 + BEACON_LIMITS.suspect.floorMs)
    })

    it('a thread that is late by as much as would lose a beacon: beats are judged', () => {
      const detector = regular(10_000)
      assert.equal(detector.byBeacon({ loopMs: 0, beaconMs: BEACON_LOST_MS - 1 }), true)
      assert.equal(detector.byBeacon({ loopMs: 0, beaconMs: Number.POSITIVE_INFINITY }), false)
      const seen = follow(detector, 10_000, 30_000, () => ({ loopMs: 300, beaconMs: Number.POSITIVE_INFINITY }))
      assert.equal(seen.get('suspect'), 10_000 + LEASE_LIMITS.suspect.floorMs + 300)
    })

    for (const factor of [1, 1.5, 3]) {
      it(`own health stretches all limits: times ${factor}`, () => {
        const seen = follow(regular(10_000), 10_000, 30_000, () => ({ loopMs: 0, factor }))
        assert.equal(seen.get('suspect'), 10_000 + factor * BEACON_LIMITS.suspect.floorMs)
        assert.ok(seen.get('dead')! >= 10_000 + factor * BEACON_LIMITS.dead.floorMs)
      })
    }

    it('takes a delay or a factor that makes no sense for none', () => {
      for (const own of [-50, Number.NaN, { loopMs: Number.NaN, beaconMs: -1, factor: Number.NaN }, { loopMs: 0, factor: 0.1 }]) {
        assert.equal(regular(10_000).verdict(10_000 + BEACON_LIMITS.suspect.floorMs, own), 'suspect')
      }
    })
  })

  describe('which evidence is judged', () => {
    it('a beacon that stops while bytes come is not missed: beats are judged', () => {
      const detector = regular(10_000)
      const seen = new Set<Liveness>()
      for (let at = 10_100; at <= 30_000; at += 100) {
        if (at % HEARTBEAT_MS === 0) detector.beat(at)
        seen.add(detector.verdict(at))
      }
      assert.deepEqual([...seen], ['alive'])
      assert.equal(detector.byBeacon(), false)
      detector.beacon({ incarnation: 1, sequence: 1e6, progress: 1 }, 30_000)
      assert.equal(detector.byBeacon(), true)
    })

    it('a main loop that stands still: suspect, and only much later dead', () => {
      const detector = regular(10_000)
      const seen = new Map<Liveness, number>()
      for (let at = 10_100; at <= 60_000; at += 100) {
        if (at % BEACON_MS === 0) detector.beacon({ incarnation: 1, sequence: at, progress: 10_000 }, at)
        const verdict = detector.verdict(at)
        if (!seen.has(verdict)) seen.set(verdict, at)
      }
      assert.equal(seen.get('suspect'), 10_000 + STALL_SUSPECT_MS)
      assert.equal(seen.get('dead'), 10_000 + STREAM_DEAD_MS)
      assert.match(detector.reason(60_000), /its main loop has not moved for 50000 ms/)
    })

    it('a main loop blocked for 2 s every 5 s is never suspect', () => {
      const detector = createDetector(0)
      let progress = 0
      for (let at = 100; at <= 120_000; at += 100) {
        const blocked = at % 5000 < 2000
        if (!blocked) progress++
        if (at % BEACON_MS === 0) detector.beacon({ incarnation: 1, sequence: at, progress }, at)
        if (at % HEARTBEAT_MS === 0 && !blocked) detector.beat(at)
        assert.equal(detector.verdict(at), 'alive', `${at}`)
      }
    })

    it('streams on which nothing comes though loop and beacon are at work: suspect, then dead', () => {
      const detector = regular(10_000)
      const seen = new Map<Liveness, number>()
      for (let at = 10_100; at <= 60_000; at += 100) {
        if (at % BEACON_MS === 0) detector.beacon({ incarnation: 1, sequence: at, progress: at }, at)
        const verdict = detector.verdict(at)
        if (!seen.has(verdict)) seen.set(verdict, at)
      }
      assert.equal(seen.get('suspect'), 10_000 + STREAM_SUSPECT_MS)
      assert.equal(seen.get('dead'), 10_000 + STREAM_DEAD_MS)
      assert.match(detector.reason(60_000), /nothing came on its streams for 50000 ms/)
    })

    it('progress-ignored is told from the real one', () => {
      const detector = faulty('progress-ignored')
      for (let at = 200; at <= 60_000; at += BEACON_MS) detector.beacon({ incarnation: 1, sequence: at, progress: 0 }, at)
      assert.equal(detector.verdict(60_000), 'alive')
    })
  })

  describe('refutation', () => {
    const suspected = (): Detector => {
      const detector = regular(10_000)
      assert.equal(detector.verdict(11_000), 'suspect')
      return detector
    }

    it('a newer beacon or a byte ends a suspicion', () => {
      const byBeacon = suspected()
      assert.equal(byBeacon.beacon({ incarnation: 1, sequence: 10_001, progress: 1 }, 11_100), true)
      assert.equal(byBeacon.verdict(11_100), 'alive')
      assert.equal(byBeacon.refutations, 1)
      const byByte = suspected()
      byByte.byte(11_100)
      assert.equal(byByte.verdict(11_100), 'alive')
    })

    it('an older or repeated beacon does not', () => {
      const detector = suspected()
      for (const sequence of [10_000, 9_000, 0]) assert.equal(detector.beacon({ incarnation: 1, sequence, progress: 77 }, 11_100), false)
      assert.equal(detector.beacon({ incarnation: 0, sequence: 1e9, progress: 78 }, 11_100), false)
      assert.equal(detector.verdict(11_100), 'suspect')
      assert.equal(detector.refutations, 0)
      assert.equal(detector.beacon({ incarnation: 2, sequence: 0, progress: 1 }, 11_200), true)
      assert.equal(detector.verdict(11_200), 'alive')
    })

    it('only what was missing refutes a suspicion of standing still', () => {
      const detector = regular(10_000)
      for (let at = 10_200; at <= 13_000; at += BEACON_MS) detector.beacon({ incarnation: 1, sequence: at, progress: 10_000 }, at)
      assert.equal(detector.verdict(13_000), 'suspect')
      detector.beacon({ incarnation: 1, sequence: 13_200, progress: 10_000 }, 13_200)
      assert.equal(detector.verdict(13_200), 'suspect')
      detector.beacon({ incarnation: 1, sequence: 13_400, progress: 10_001 }, 13_400)
      assert.equal(detector.verdict(13_400), 'alive')
    })

    it('each refuted suspicion widens the limits, up to twice, and is forgotten', () => {
      const detector = regular(10_000)
      let at = 10_000
      let sequence = 10_000
      const limits: number[] = []
      for (let round = 0; round < 8; round++) {
        const since = at
        while (detector.verdict(at) === 'alive') at++
        limits.push(at - since)
        at += 10
        detector.beacon({ incarnation: 1, sequence: ++sequence, progress: sequence }, at)
        detector.byte(at)
        assert.equal(detector.verdict(at), 'alive')
      }
      for (const [i, limit] of limits.entries()) {
        const widened = Math.min(WIDEN_MAX, 1 + i * WIDEN_STEP)
        assert.ok(limit >= widened * BEACON_LIMITS.suspect.floorMs && limit <= widened * BEACON_LIMITS.suspect.ceilingMs, `${i}: ${limit}`)
      }
      assert.ok(detector.refutations >= 8)
      const calm = at + 20 * REFUTATION_MS
      for (; at < calm; at += BEACON_MS) {
        detector.beacon({ incarnation: 1, sequence: ++sequence, progress: sequence }, at)
        detector.byte(at)
      }
      const last = at - BEACON_MS
      assert.equal(follow(detector, last, last + 5000).get('suspect'), last + BEACON_LIMITS.suspect.floorMs)
    })
  })

  describe('planted faults show', () => {
    it('never-dead', () => {
      assert.deepEqual([...follow(faulty('never-dead'), 0, 120_000).keys()], ['alive', 'suspect'])
    })

    it('suspect-without-refutation', () => {
      const detector = faulty('suspect-without-refutation')
      assert.equal(detector.verdict(LEASE_LIMITS.suspect.ceilingMs), 'suspect')
      detector.byte(LEASE_LIMITS.suspect.ceilingMs + 1)
      assert.equal(detector.verdict(LEASE_LIMITS.suspect.ceilingMs + 2), 'suspect')
    })

    it('stale-beat-counts', () => {
      const detector = regular(10_000, faulty('stale-beat-counts'))
      assert.equal(detector.beacon({ incarnation: 1, sequence: 5, progress: 5 }, 10_700), true)
      assert.equal(detector.verdict(10_000 + BEACON_LIMITS.suspect.floorMs), 'alive')
    })
  })

  it('says for people what it knows', () => {
    const detector = regular(10_000)
    assert.equal(detector.reason(10_060), 'heard 60 ms ago')
    assert.equal(detector.reason(10_900), 'silent for 900 ms (beacon)')
    assert.equal(createDetector(0).reason(4000.4), 'silent for 4000 ms (lease)')
    assert.ok(detector.suspicion(10_100) < 1)
    assert.ok(detector.suspicion(10_800) > 8)
  })

  it('refuses limits out of order', () => {
    const band = (floorMs: number, ceilingMs: number): { floorMs: number, ceilingMs: number } => ({ floorMs, ceilingMs })
    for (const limits of [
      { beacon: { suspect: band(0, 1), dead: band(2, 3) } },
      { lease: { suspect: band(2, 1), dead: band(3, 4) } },
      { lease: { suspect: band(1, 3), dead: band(3, 4) } },
      { beacon: { suspect: band(1, 2), dead: band(4, Number.NaN) } },
      { lookMs: 0 },
      { streamDeadMs: 1 },
      { stallMs: Number.NaN }
    ]) assert.throws(() => createDetector(0, { limits }), RangeError)
  })

  const evidence = fc.array(fc.record({ kind: fc.constantFrom('beacon', 'stalled', 'stale', 'byte', 'beat'), after: fc.integer({ min: 0, max: 900 }) }), { maxLength: 60 })

  /** Feeds the evidence; returns the time of the last that counts, and whether a beacon was among it. */
  function feed (detector: Detector, all: Array<{ kind: string, after: number }>): { now: number, heard: number } {
    let now = 0
    let heard = 0
    let progress = 1
    for (const [i, { kind, after }] of all.entries()) {
      now += after
      if (kind === 'byte') detector.byte(now)
      else if (kind === 'beat') detector.beat(now)
      else if (kind === 'stale') detector.beacon({ incarnation: 0, sequence: i, progress: 9 }, now)
      else detector.beacon({ incarnation: 1, sequence: i, progress: kind === 'beacon' ? ++progress : progress }, now)
      if (kind !== 'stale') heard = now
    }
    return { now, heard }
  }

  it('whatever was heard and whatever the own state: silent for ever is dead within the stated time, and suspect before, by looking when told', () => {
    fc.assert(fc.property(evidence, fc.integer({ min: 0, max: 3000 }), fc.constantFrom(1, 1.5, 3), (all, delay, factor) => {
      const detector = createDetector(0)
      // 'stale' ones of the first incarnation would be new if they came first
      detector.beacon({ incarnation: 1, sequence: -1, progress: 0 }, 0)
      const { now, heard } = feed(detector, all)
      const own = { loopMs: delay, beaconMs: delay, factor }
      const seen = follow(detector, now, heard + 120_000, () => own)
      const most = Math.max(LEASE_LIMITS.dead.ceilingMs * WIDEN_MAX * factor + delay, now - heard + CONFIRM_MS) + 2 * LOOK_MS
      assert.ok(seen.get('dead')! - heard <= most, `dead after ${seen.get('dead')! - heard}, at most ${most}`)
      assert.ok(seen.get('dead')! - seen.get('suspect')! >= CONFIRM_MS)
      assert.ok(seen.get('dead')! - heard >= BEACON_LIMITS.dead.floorMs)
    }))
  })

  it('old packets, whenever they come, change nothing', () => {
    fc.assert(fc.property(evidence, fc.array(fc.record({ incarnation: fc.constantFrom(0, 1), sequence: fc.integer({ min: 0, max: 60 }), at: fc.integer({ min: 0, max: 3000 }) }), { maxLength: 30 }), (all, replays) => {
      const [plain, attacked] = [createDetector(0), createDetector(0)]
      const last = { incarnation: 1, sequence: 60, progress: 1e6 }
      let end = 0
      for (const detector of [plain, attacked]) {
        detector.beacon({ incarnation: 1, sequence: -1, progress: 0 }, 0)
        end = feed(detector, all).now
        detector.beacon(last, end)
      }
      for (const { at, ...packet } of replays.toSorted((a, b) => a.at - b.at)) assert.equal(attacked.beacon({ ...packet, progress: at }, end + at), false)
      assert.deepEqual([...follow(attacked, end, end + 20_000)], [...follow(plain, end, end + 20_000)])
    }))
  })

  it('isNewer is a strict order by incarnation, then sequence', () => {
    const beat = fc.record({ incarnation: fc.nat(3), sequence: fc.nat(3) })
    fc.assert(fc.property(beat, beat, beat, (a, b, c) => {
      assert.equal(isNewer(a, b) && isNewer(b, a), false)
      assert.equal(isNewer(a, b) || isNewer(b, a), a.incarnation !== b.incarnation || a.sequence !== b.sequence)
      if (isNewer(a, b) && isNewer(b, c)) assert.ok(isNewer(a, c))
    }))
  })
})
