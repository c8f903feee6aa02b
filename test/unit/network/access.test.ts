import assert from 'node:assert/strict'
import { Access, checkLists, checkSubject, parseBans, type BanStore } from '../../../daemon/network/access.ts'
import { ACCESS_LIST_MAX, BANS_MAX } from '../../../daemon/network/constants.ts'
import type { Ban } from '../../../daemon/network/index.ts'

const PEER = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5'
const OTHER = '12D3KooWEChVMMMzV8acJ53mJHrw1pQ27UAGkCxWXLJutbeUMvVu'
const OPERATOR = 'did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp'
const lists = (allow: string[] = [], deny: string[] = []): { allow: string[], deny: string[] } => ({ allow, deny })

function memory (bans: Ban[] = []): BanStore & { bans: Ban[] } {
  const store = { bans, read: async () => store.bans, write: async (next: Ban[]) => { store.bans = structuredClone(next) } }
  return store
}

describe('network: who is talked to', () => {
  it('everybody, unless lists say otherwise; denying is stronger', () => {
    assert.equal(new Access(lists()).refusal(PEER, OPERATOR), undefined)
    assert.match(new Access(lists([], [PEER])).refusal(PEER) ?? '', /denies/)
    assert.match(new Access(lists([], [OPERATOR])).refusal(PEER, OPERATOR) ?? '', /denies/)
    assert.equal(new Access(lists([], [OPERATOR])).refusal(PEER), undefined, 'who it acts for is not known yet')
    assert.match(new Access(lists([PEER], [PEER])).refusal(PEER) ?? '', /denies/)
    assert.equal(new Access(lists([PEER])).refusal(PEER), undefined)
    assert.match(new Access(lists([PEER])).refusal(OTHER) ?? '', /allows/)
  })

  it('waits for hello where an operator is allowed', () => {
    const access = new Access(lists([OPERATOR]))
    assert.equal(access.refusal(PEER), undefined)
    assert.equal(access.refusal(PEER, OPERATOR), undefined)
    assert.match(access.refusal(PEER, 'did:key:z6MkOther') ?? '', /allows/)
  })

  it('not who is banned, until that is lifted, over restarts', async () => {
    const store = memory()
    const access = new Access(lists([PEER]), store)
    await access.ban(PEER, 'wrong results', 17)
    await access.ban(OPERATOR, '', 18)
    const again = new Access(lists(), store)
    await again.load()
    assert.deepEqual(again.bans(), [{ subject: PEER, reason: 'wrong results', since: 17 }, { subject: OPERATOR, reason: '', since: 18 }])
    assert.match(again.refusal(PEER) ?? '', /banned/)
    assert.match(again.refusal(OTHER, OPERATOR) ?? '', /banned/)
    assert.equal(await again.unban(PEER), true)
    assert.equal(await again.unban(PEER), false)
    assert.equal(again.refusal(PEER), undefined)
    assert.equal(store.bans.length, 1)
  })

  it('keeps so many bans, and refuses what is no subject', async () => {
    const full = Array.from({ length: BANS_MAX }, (_, i) => ({ subject: `p${i}`, reason: '', since: i }))
    const access = new Access(lists(), memory(full))
    await access.load()
    await assert.rejects(access.ban(PEER, '', 0), /1024 bans are kept/)
    await access.unban('p0')
    await access.ban(PEER, '', 0)
    await access.ban(PEER, 'again', 1)
    assert.equal(access.bans().length, BANS_MAX)
    await assert.rejects(access.ban(OTHER, 'x'.repeat(300), 0), /reason/)
    await assert.rejects(access.ban(OTHER, 'a\u001b[2J', 0), /control characters/)
    for (const wrong of ['', 'somebody', 'did:key:zQ3sh', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N']) assert.throws(() => { checkSubject(wrong, 'ban') }, { name: 'NetworkConfigError', code: 'access' }, wrong)
    for (const right of [PEER, OPERATOR]) checkSubject(right, 'ban')
  })

  it('checks the configured lists', () => {
    assert.throws(() => { checkLists(lists(['nobody'])) }, /peers allowed: 'nobody'/)
    assert.throws(() => { checkLists(lists([], Array.from({ length: ACCESS_LIST_MAX + 1 }, () => PEER))) }, /peers denied: 1025 entries/)
  })

  it('says when a ban could not be written, and writes the next', async () => {
    const store = memory()
    let failing = true
    const access = new Access(lists(), { read: store.read, write: async bans => { if (failing) throw new Error('disk full'); await store.write(bans) } })
    await assert.rejects(access.ban(PEER, '', 0), /disk full/)
    assert.match(access.refusal(PEER) ?? '', /banned/, 'it holds until the restart')
    failing = false
    await access.ban(OTHER, '', 0)
    assert.equal(store.bans.length, 2)
  })

  it('does not take a list it cannot read for an empty one', () => {
    for (const wrong of ['', '{}', '[{"subject":1}]', '[null]']) assert.throws(() => parseBans(wrong), { name: 'NetworkConfigError', code: 'access' }, wrong)
    assert.deepEqual(parseBans('[]'), [])
  })
})
