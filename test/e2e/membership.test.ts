/** A private network over the life of its members: who joins while a job runs works for it, and members find one another when those they joined through are gone. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobEvent, JobReport } from '../../daemon/coordinator/index.ts'
import type { NodeStatus } from '../../daemon/gateway/index.ts'
import { PrivateNetwork } from '../fixtures/private-network.ts'

/** The network is to find itself again within it; longer than that is a failure, not a slow machine. */
const WAIT_MS = 30_000

describe('end to end: members of a private network', function () {
  this.timeout(180_000)
  const network = new PrivateNetwork()

  afterEach(async () => { await network.remove() })

  it('a daemon that is started with nothing but the join string while a job runs converts blocks of it', async () => {
    const first = await network.member()
    await network.start(first)
    const late = await network.member(await network.invite(first))
    await writeFile(join(first.user.folder, 'in.bin'), Buffer.alloc(6_400_000, 'x'))
    const events = await network.events(first)
    const converting = network.weft<JobReport>(first, 'convert', 'in.bin', '--to', 'sleep', '--set', 'milliseconds=400', '--block-size', '80kB', '-o', 'out.sleep')
    const seen: JobEvent[] = []
    let joined: Promise<NodeStatus> | undefined
    for await (const event of events) {
      seen.push(event)
      if (event.type === 'block' && event.change === 'done') joined ??= network.start(late)
      if (event.type === 'state' && ['done', 'failed', 'cancelled'].includes(event.state)) break
    }
    events.close()
    const { peerId } = await joined as NodeStatus
    const { workers } = await converting
    const blocks = workers.find(({ peer }) => peer === peerId)?.blocks ?? 0
    assert.ok(blocks > 0, JSON.stringify(workers))
    const before = seen.findIndex(event => event.type === 'block' && event.change === 'done')
    const joining = seen.findIndex(event => event.type === 'worker' && event.change === 'joined' && event.peer === peerId)
    assert.ok(before >= 0 && joining > before, 'it joined while the job ran')
  })

  it('finds itself again when the peer everybody joined through is killed and half of the others are restarted', async () => {
    const first = await network.member()
    await network.start(first)
    const invitation = await network.invite(first)
    const others = await Promise.all(Array.from({ length: 4 }, async () => await network.member(invitation)))
    await Promise.all(others.map(async member => await network.start(member)))
    await network.connected([first, ...others], WAIT_MS)

    await network.end(first, 'SIGKILL')
    const restarted = others.slice(0, 2)
    await Promise.all(restarted.map(async member => { await network.end(member, 'SIGTERM') }))
    await Promise.all(restarted.map(async member => await network.start(member)))
    await network.connected(others, WAIT_MS)
  })
})
