import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Peer {
  address: string
  /** SIGSTOP: the connection stays, nothing comes any more. */
  pause: () => void
  /** SIGKILL; resolves when the process is gone. */
  kill: () => Promise<void>
}

export async function peerProcess (role: 'worker' | 'sender' | 'receiver'): Promise<Peer> {
  // a killed process cleans up nothing: what it makes goes into a folder that is removed here
  const folder = await mkdtemp(join(tmpdir(), 'weft-peer-'))
  const child: ChildProcess = fork(join(import.meta.dirname, 'peer-process.ts'), [role], { env: { ...process.env, TMPDIR: folder } })
  const [address] = await once(child, 'message') as [string]
  return {
    address,
    pause () { child.kill('SIGSTOP') },
    async kill () {
      if (child.exitCode != null || child.signalCode != null) return
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
      await rm(folder, { recursive: true, force: true })
    }
  }
}
