import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { openJournal, type JournalDatabase } from '../../../daemon/store/journal.ts'
import { openDataDir, type Journal } from '../../../daemon/store/index.ts'

type Operation = { type: 'put', key: string, value: Uint8Array } | { type: 'del', key: string }

/** A database whose commits take as long, and end, as the test says. */
class SlowDatabase {
  readonly content = new Map<string, string>()
  #pending: Array<{ operations: Operation[], settle: { resolve: () => void, reject: (error: Error) => void } }> = []

  get under (): number {
    return this.#pending.length
  }

  batch (operations: Operation[]): Promise<void> {
    return new Promise((resolve, reject) => { this.#pending.push({ operations, settle: { resolve, reject } }) })
  }

  /** `unsure`: it fails, and is there all the same (only its sync failed). */
  async end (how: 'well' | 'failed' | 'unsure'): Promise<void> {
    const commit = this.#pending.shift()
    if (commit == null) return
    if (how !== 'failed') {
      for (const operation of commit.operations) {
        if (operation.type === 'put') this.content.set(operation.key, Buffer.from(operation.value).toString())
        else this.content.delete(operation.key)
      }
    }
    if (how === 'well') commit.settle.resolve()
    else commit.settle.reject(new Error('the disk is full'))
    // Once for the failure to be told, once for who was told to begin anew.
    await turn()
    await turn()
  }
}

const open = (db: SlowDatabase): Journal => openJournal(db as unknown as JournalDatabase, 'j')
const bytes = (text: string): Uint8Array => Buffer.from(text)

describe('store/journal failures', () => {
  it('a failed commit takes all that waits with it, in order, and the next one may succeed', async () => {
    const db = new SlowDatabase()
    const journal = open(db)
    const told: string[] = []
    const append = (key: string): void => { journal.appendThen(key, bytes(key), error => { told.push(`${key} ${error == null ? 'durable' : 'failed'}`) }) }
    append('a')
    await turn()
    append('b')
    append('c')
    assert.equal(db.under, 1)
    await db.end('failed')
    assert.deepEqual(told, ['a failed', 'b failed', 'c failed'])
    assert.equal(db.under, 0)
    append('d')
    await turn()
    await db.end('well')
    assert.deepEqual(told.slice(3), ['d durable'])
    assert.deepEqual([...db.content.keys()], ['journal/j/d'])
    assert.deepEqual(journal.stats().failures, 1)
    assert.equal(journal.stats().entries, 1)
  })

  it('who appends before it can know of the failure fails, too', async () => {
    const db = new SlowDatabase()
    const journal = open(db)
    const late: string[] = []
    journal.appendThen('a', bytes('1'), () => {
      // In the same turn in which the failure is told, before anybody else heard of it.
      journal.appendThen('b', bytes('2'), error => { late.push(error == null ? 'durable' : 'failed') })
      queueMicrotask(() => { journal.appendThen('c', bytes('3'), error => { late.push(error == null ? 'durable' : 'failed') }) })
    })
    await turn()
    await db.end('failed')
    assert.equal(db.under, 0)
    assert.deepEqual(late, ['failed', 'failed'])
  })

  it('closes after a failure without waiting for what will never come', async () => {
    const db = new SlowDatabase()
    const journal = open(db)
    const appended = assert.rejects(journal.append('a', bytes('1')), /disk is full/)
    const waiting = assert.rejects(turn().then(async () => { await journal.append('b', bytes('2')) }), /disk is full/)
    await turn()
    await turn()
    const closed = journal.close()
    await db.end('failed')
    await Promise.all([appended, waiting, closed])
    await assert.rejects(journal.append('c', bytes('3')), /closed/)
  })

  it('law: what was told durable is there; what came after a failed entry and waited with it never is', async () => {
    type Step = { do: 'append', entries: number } | { do: 'end', how: 'well' | 'failed' | 'unsure' } | { do: 'turn' }
    const step: fc.Arbitrary<Step> = fc.oneof(
      fc.record({ do: fc.constant('append' as const), entries: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ do: fc.constant('end' as const), how: fc.constantFrom('well' as const, 'well' as const, 'failed' as const, 'unsure' as const) }),
      fc.record({ do: fc.constant('turn' as const) })
    )
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async steps => {
      const db = new SlowDatabase()
      const journal = open(db)
      const told: Array<'durable' | 'failed' | undefined> = []
      let order = -1
      const append = (): void => {
        const number = told.push(undefined) - 1
        journal.appendThen(String(number), bytes(String(number)), error => {
          told[number] = error == null ? 'durable' : 'failed'
          assert.ok(number > order, `${number} was told after ${order}`)
          order = number
        })
      }
      for (const now of steps) {
        if (now.do === 'append') for (let i = 0; i < now.entries; i++) append()
        else if (now.do === 'end') await db.end(now.how)
        else await turn()
      }
      await turn()
      while (db.under > 0) await db.end('well')
      await turn()
      assert.ok(!told.includes(undefined), 'everybody is told')
      const there = (number: number): boolean => db.content.has(`journal/j/${number}`)
      for (const [number, what] of told.entries()) if (what === 'durable') assert.ok(there(number), `${number} was told durable`)
      // Of a run of failures only the commit that failed can be there (where its sync alone failed): a prefix of the run.
      for (const [number, what] of told.entries()) {
        if (what === 'failed' && told[number - 1] === 'failed' && !there(number - 1)) {
          assert.ok(!there(number) || steps.some(one => one.do === 'end' && one.how === 'unsure'), `${number} outlived ${number - 1}`)
        }
      }
    }), { numRuns: 300 })
  })

  it('needs no restart of the daemon: the same journal, over the same database, after it was closed and opened', async () => {
    const root = await mkdtemp(join(tmpdir(), 'weft-journal-'))
    try {
      await using dir = await openDataDir(join(root, 'data'))
      const journal = dir.journal('jobs')
      await dir.db.close()
      await assert.rejects(journal.append('a', bytes('1')))
      await dir.db.open()
      await turn()
      await journal.append('b', bytes('2'))
      const found: string[] = []
      for await (const [key] of journal.entries('')) found.push(key)
      assert.deepEqual(found, ['b'])
    } finally {
      await rm(root, { recursive: true, force: true })
    }
  })
})
