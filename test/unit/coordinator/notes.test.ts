import assert from 'node:assert/strict'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { NOTE_COLUMNS_MAX, NOTE_MESSAGE_MAX, NOTES_MAX } from '../../../daemon/coordinator/constants.ts'
import { NoteList } from '../../../daemon/coordinator/notes.ts'
import { UserPaths } from '../../../daemon/coordinator/user-paths.ts'
import { ConversionError, type Input, type Note, type Toolbox } from '../../../daemon/block-convert/index.ts'
import type { JobReport, WorkerSource } from '../../../daemon/coordinator/index.ts'
import { bench, inProcessToolbox, result, ScriptedWorker, type Bench, type Work } from './fakes.ts'

const note = (message: string): Note => ({ code: 'x', message })
const copyOf = (path: string, original?: string): Input => ({ path, mediaType: 'text/csv', size: 1, mtimeMs: 1, ...(original != null ? { original } : {}) })

describe('coordinator/notes', () => {
  it('keeps a bounded number, the last of which says how many more there were', () => {
    fc.assert(fc.property(fc.array(fc.nat(60), { maxLength: 8 }), groups => {
      const list = new NoteList()
      let total = 0
      for (const size of groups) list.add(Array.from({ length: size }, () => note(String(total++))))
      const kept = list.list()
      assert.ok(kept.length <= NOTES_MAX)
      const told = kept.filter(({ code }) => code === 'x')
      assert.deepEqual(told.map(({ message }) => message), Array.from({ length: told.length }, (_, i) => String(i)))
      const more = kept.filter(({ code }) => code === 'more-notes')
      assert.equal(told.length + (more[0]?.count ?? 0), total)
      assert.equal(more.length, total > told.length ? 1 : 0)
      if (more.length > 0) assert.equal(kept.at(-1), more[0])
    }))
  })

  it('keeps none longer than a report may have, however long names in the input are', () => {
    const list = new NoteList()
    list.add([{ code: 'x', message: 'y'.repeat(10 * NOTE_MESSAGE_MAX), columns: new Array<string>(5000).fill('c'), count: 5000 }])
    const [kept] = list.list()
    assert.deepEqual([kept?.message.length, kept?.columns?.length, kept?.count], [NOTE_MESSAGE_MAX, NOTE_COLUMNS_MAX, 5000])
  })
})

describe('coordinator/user-paths', () => {
  const paths = new UserPaths([copyOf('/scratch/decoded-1', '/home/me/a.csv.gz'), copyOf('/scratch/decoded-10', '/home/me/b.csv.gz'), copyOf('/home/me/c.csv')])

  it('names the user\'s file wherever a copy is named', () => {
    assert.equal(paths.text('\'/scratch/decoded-10\' line 3, after /scratch/decoded-1: odd'), '\'/home/me/b.csv.gz\' line 3, after /home/me/a.csv.gz: odd')
    assert.equal(paths.text('/scratch/decoded-1'), '/home/me/a.csv.gz')
  })

  it('leaves alone what is no copy', () => {
    for (const said of ['', '/home/me/c.csv', '/scratch/', 'see /scratch/other and /scratch/', '/scratchy/decoded-1', 'decoded-1']) assert.equal(paths.text(said), said)
    const none = new UserPaths([copyOf('/home/me/c.csv')])
    const error = { code: 'bad-input' as const, message: 'x', details: { path: '/home/me/c.csv' } }
    assert.equal(none.error(error), error)
  })

  it('does so in details and notes, however they are nested', () => {
    const error = paths.error({ code: 'bad-input', message: 'in /scratch/decoded-1', details: { path: '/scratch/decoded-1', line: 3, more: [{ path: '/scratch/decoded-10' }], none: null } })
    assert.deepEqual(error, { code: 'bad-input', message: 'in /home/me/a.csv.gz', details: { path: '/home/me/a.csv.gz', line: 3, more: [{ path: '/home/me/b.csv.gz' }], none: null } })
    assert.deepEqual(paths.note({ code: 'x', message: '/scratch/decoded-1: UTF-16', input: '/scratch/decoded-1', count: 2 }), { code: 'x', message: '/home/me/a.csv.gz: UTF-16', input: '/home/me/a.csv.gz', count: 2 })
  })

  it('said twice is said the same', () => {
    fc.assert(fc.property(fc.array(fc.constantFrom('/scratch/decoded-1', '/scratch/decoded-10', '/scratch/', '0', '\'', ' ', '/', '/home/me/a.csv.gz')), words => {
      const once = paths.text(words.join(''))
      assert.equal(paths.text(once), once)
      assert.ok(!once.includes('/scratch/decoded-1'))
    }))
  })
})

describe('coordinator/job over a decoded copy', () => {
  let root: string
  let on: Bench
  const copy = (): string => join(root, 'data', 'scratch', 'decoded-1')

  /** Prepares a copy of the input, as for one that is compressed. */
  const decoding = (more: Partial<Toolbox> = {}): Toolbox => {
    const inner = inProcessToolbox()
    return {
      ...inner,
      describe: async (path, from) => ({ ...await inner.describe(path, from), encoding: 'gzip' }),
      async prepare (inputs, to, settings) {
        const prepared = await inner.prepare(inputs, to, settings)
        await copyFile(inputs[0]!.path, copy())
        const { encoding, ...decoded } = inputs[0]!
        return { ...prepared, inputs: [{ ...decoded, path: copy(), original: decoded.path }], notes: [{ code: 'decoded', message: `'${copy()}' was ${encoding}`, input: copy() }], copies: [copy()] }
      },
      release: async ({ copies }) => { for (const path of copies) await rm(path, { force: true }) },
      ...more
    }
  }

  const run = async (work: Work, more?: Partial<Toolbox>): Promise<JobReport> => {
    on = await bench(root, (): WorkerSource => ({
      async workers (offer, _edge, _request, sink) {
        sink.found(new ScriptedWorker('a', 2, offer, sink.events('a'), work))
        sink.found(new ScriptedWorker('b', 2, offer, sink.events('b'), work))
        sink.settled(2)
      }
    }), decoding(more))
    const inputs = [await on.file('in.bin', Buffer.alloc(300_000, 7))]
    return await (await on.coordinator.submit({ inputs, to: 'copy', output: on.path('out.copy'), blockBytes: 100_000, place: 'remote' })).done
  }

  beforeEach(async () => { root = await mkdtemp(join(tmpdir(), 'weft-notes-')) })

  afterEach(async () => {
    await on.close()
    await rm(root, { recursive: true, force: true })
  })

  it('reports the file as the user has it, and names it in notes', async () => {
    const report = await run(async (_order, input) => result(input))
    assert.equal(report.state, 'done', report.error?.message)
    assert.deepEqual(await readFile(on.path('out.copy')), Buffer.alloc(300_000, 7))
    assert.deepEqual(report.inputs.map(({ path, encoding, bytes }) => ({ path, encoding, bytes })), [{ path: on.path('in.bin'), encoding: 'gzip', bytes: 300_000 }])
    assert.deepEqual(report.notes, [{ code: 'decoded', message: `'${on.path('in.bin')}' was gzip`, input: on.path('in.bin') }])
    assert.deepEqual(on.coordinator.list()[0]?.notes, report.notes)
    await assert.rejects(readFile(copy()), { code: 'ENOENT' })
  })

  it('names the user\'s file and the line in it when a worker says the input is bad', async () => {
    const report = await run(async ({ block }, input) => block === 1 ? { ok: false, reason: 'conversion', message: 'an odd value', code: 'bad-input', details: { lineInBlock: 1 } } : result(input))
    const { code, message, details } = report.error ?? {}
    assert.equal(code, 'bad-input')
    assert.match(message ?? '', new RegExp(`^${on.path('in.bin')}, line \\d+: `))
    assert.equal(details?.path, on.path('in.bin'))
    await assert.rejects(readFile(copy()), { code: 'ENOENT' })
  })

  it('names it once when the copy is what is named', async () => {
    const said = (): string => `'${copy()}' ends in the middle of a record`
    const report = await run(async (_order, input) => result(input), {
      split: () => { throw new ConversionError('bad-input', said(), { path: copy() }) }
    })
    assert.deepEqual(report.error, { code: 'bad-input', message: said().replace(copy(), on.path('in.bin')), details: { path: on.path('in.bin') } })
    assert.ok(!JSON.stringify(on.events).includes(copy()))
  })

  it('looks at the user\'s file for changes at the end, not at the copy', async () => {
    let touched = false
    const report = await run(async (_order, input) => {
      if (!touched) await on.file('in.bin', 'changed')
      touched = true
      return result(input)
    })
    assert.equal(report.error?.code, 'input-changed')
    assert.match(report.error?.message ?? '', /in\.bin/)
  })
})
