/**
 * How fast a private network takes somebody in, and finds itself again, over real processes: from starting a daemon that has nothing but a join
 * string until it has done a block of a job that runs already; and from killing the peer everybody joined through, with half of the others
 * being restarted, until everybody left is connected to everybody left.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobReport } from '../daemon/coordinator/index.ts'
import { PrivateNetwork } from '../test/fixtures/private-network.ts'
import { figure, type BenchOptions, type Figure } from './figure.ts'

/** Members that join through the first one; half of them are restarted. */
const OTHERS = 8
/** Longest wait, milliseconds; beyond it the network did not find itself. */
const WAIT_MS = 60_000

/** Milliseconds from starting the daemon until its first block is done. */
async function joining (): Promise<number> {
  const network = new PrivateNetwork()
  try {
    const first = await network.member()
    await network.start(first)
    const late = await network.member(await network.invite(first))
    await writeFile(join(first.user.folder, 'in.bin'), Buffer.alloc(16_000_000, 'x'))
    const events = await network.events(first)
    const converting = network.weft<JobReport>(first, 'convert', 'in.bin', '--to', 'sleep', '--set', 'milliseconds=200', '--block-size', '80kB', '-o', 'out.sleep')
    let began: number | undefined
    let ended: number | undefined
    for await (const event of events) {
      if (event.type === 'state' && ['done', 'failed', 'cancelled'].includes(event.state)) break
      if (event.type !== 'block' || event.change !== 'done' || ended != null) continue
      if (began == null) {
        began = performance.now()
        await network.start(late)
      } else if (event.peer === late.status?.peerId) {
        ended = performance.now()
      }
    }
    events.close()
    await converting
    if (began == null || ended == null) throw new Error('the newcomer did no block')
    return ended - began
  } finally {
    await network.remove()
  }
}

/** Milliseconds from the first loss, restarts included. */
async function regathering (): Promise<number> {
  const network = new PrivateNetwork()
  try {
    const first = await network.member()
    await network.start(first)
    const invitation = await network.invite(first)
    const others = await Promise.all(Array.from({ length: OTHERS }, async () => await network.member(invitation)))
    await Promise.all(others.map(async member => await network.start(member)))
    await network.connected([first, ...others], WAIT_MS)
    const began = performance.now()
    await network.end(first, 'SIGKILL')
    const restarted = others.slice(0, OTHERS / 2)
    await Promise.all(restarted.map(async member => { await network.end(member, 'SIGTERM') }))
    await Promise.all(restarted.map(async member => await network.start(member)))
    await network.connected(others, WAIT_MS)
    return performance.now() - began
  } finally {
    await network.remove()
  }
}

export async function run ({ runs, log }: BenchOptions): Promise<Record<string, Figure>> {
  const joined: number[] = []
  const regathered: number[] = []
  for (let i = 0; i < runs; i++) {
    joined.push(await joining())
    regathered.push(await regathering())
    log(`run ${i + 1}: ${(joined.at(-1) as number).toFixed(0)} ms to the first block, ${(regathered.at(-1) as number).toFixed(0)} ms to find itself`)
  }
  return { join_to_first_block_ms: figure(joined, 'ms'), regather_ms: figure(regathered, 'ms') }
}
