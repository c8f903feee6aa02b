/** Jobs submitted straight to a daemon's API, so that a bench measures the daemon and not a command line's start. */
import { readFile } from 'node:fs/promises'
import type { JobReport, JobRequest } from '../daemon/coordinator/index.ts'
import type { TestnetNode } from '../test/fixtures/testnet.ts'

/** Submits a job and waits for its end; throws with the job's error if it fails. */
export async function convert (node: Pick<TestnetNode, 'api' | 'tokenFile'>, request: JobRequest): Promise<JobReport> {
  const authorization = `Bearer ${(await readFile(node.tokenFile, 'utf8')).trim()}`
  const posted = await fetch(`${node.api}/jobs`, { method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body: JSON.stringify(request) })
  let report = await posted.json() as JobReport
  if (!posted.ok) throw new Error(`POST /jobs answered ${posted.status}: ${JSON.stringify(report)}`)
  while (!['done', 'failed', 'cancelled'].includes(report.state)) {
    report = await (await fetch(`${node.api}/jobs/${report.job}?wait=true`, { headers: { authorization } })).json() as JobReport
  }
  if (report.state !== 'done') throw new Error(`the job ended ${report.state}: ${report.error?.message}`)
  return report
}
