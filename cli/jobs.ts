import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import { PAGE_MAX } from '../daemon/gateway/constants.ts'
import type { JobReport } from '../daemon/coordinator/index.ts'
import { connect, type Client } from './lib/client.ts'
import { BLOCKS_SHOWN } from './lib/constants.ts'
import { EXIT } from './lib/exit.ts'
import { usage } from './lib/failure.ts'
import { fields, print, printJson, table, tell } from './lib/terminal.ts'
import { count, formatBytes, formatSeconds, parseWhole, shortId, shortPeer } from './lib/units.ts'
import { failureOf, followJob, goesOn } from './lib/follow.ts'
import { blockTable, whyLines, workerLine } from './lib/job-view.ts'
import { noteLines, summary } from './lib/summary.ts'

interface Json { json?: boolean }

const ENDED = ['done', 'failed', 'cancelled']
const daemon = async (): Promise<Client> => await connect(resolvePaths().dataDir)

export function configure (command: Command): void {
  command.command('list', { isDefault: true }).description('jobs of this node, the newest first')
    .option('--state <state>', 'only these: preparing, running, merging, done, failed, cancelled').option('--limit <number>', 'at most so many').option('--json', 'print JSON').action(list)
  command.command('show').description('the report of a job, and why it waits while it does').argument('<job>', 'its id, or the end of it')
    .option('--blocks', 'blocks that are not done instead: who has each, for how long, what came of it before; and what each worker has')
    .option('--limit <number>', `at most so many blocks (default: ${BLOCKS_SHOWN})`).option('--json', 'print JSON').action(show)
  command.command('watch').description('follow a job to its end: who has how many blocks and for how long, what moves and why').argument('<job>', 'its id, or the end of it').option('--json', 'print every event as a line of JSON').action(watch)
  command.command('cancel').description('cancel a job').argument('<job>', 'its id, or the end of it').option('--json', 'print JSON').action(cancel)
  command.command('resume').description('go on with a job that failed, from what it had done').argument('<job>', 'its id, or the end of it').option('--json', 'print JSON').action(resume)
}

async function list ({ json = false, ...filter }: Json & { state?: string, limit?: string }): Promise<void> {
  const jobs = await (await daemon()).jobs({ ...filter })
  if (json) return printJson({ jobs })
  if (jobs.length === 0) tell('no jobs')
  else print(table(['JOB', 'STATE', 'BLOCKS', 'TIME', 'OUTPUT'], jobs.map(row)))
}

async function show (id: string, { json = false, blocks = false, limit }: Json & { blocks?: boolean, limit?: string }): Promise<void> {
  if (limit != null && !blocks) throw usage('--limit says how many blocks --blocks lists: add --blocks', { option: '--limit' })
  const shown = limit == null ? BLOCKS_SHOWN : parseWhole(limit, '--limit', 1, PAGE_MAX)
  const client = await daemon()
  if (blocks) return await showBlocks(client, await fullId(client, id), shown, json)
  const report = await client.job(await fullId(client, id))
  if (json) printJson(report)
  else print(details(report))
}

async function showBlocks (client: Client, id: string, limit: number, json: boolean): Promise<void> {
  const look = await client.look(id, limit)
  if (json) return printJson(look)
  const { state, total, known, done, blocks, workers, moreWorkers, why } = look
  if (blocks.length > 0) print(blockTable(blocks))
  const left = total - done
  tell(`weft: job ${shortId(id)} is ${state}: ${done} of ${known ? '' : 'at least '}${count(total, 'block')} done${left > blocks.length ? `; ${blocks.length} of the other ${left} are shown (--limit)` : ''}`)
  for (const worker of workers) tell(`  ${workerLine(worker)}`)
  if (moreWorkers > 0) tell(`  ... and ${count(moreWorkers, 'more worker')}`)
  for (const line of whyLines(why.filter(({ peer }) => peer == null))) tell(`  waits: ${line}`)
}

async function watch (id: string, { json = false }: Json): Promise<void> {
  const client = await daemon()
  const job = await fullId(client, id)
  const report = await followJob(client, job, { json, detailed: true, ...(json ? { event: printJson } : {}) }).catch((error: unknown) => { throw goesOn(error, job) })
  if (report.state !== 'done') throw failureOf(report)
  if (!json) print(summary(report))
}

async function cancel (id: string, { json = false }: Json): Promise<void> {
  const client = await daemon()
  const job = await fullId(client, id)
  const before = await client.job(job)
  const report = ENDED.includes(before.state) ? before : await client.cancel(job)
  if (json) printJson(report)
  else tell(`weft: job ${shortId(job)} is ${report.state}`)
  if (report.state !== 'cancelled') process.exitCode = EXIT.failed
}

async function resume (id: string, { json = false }: Json): Promise<void> {
  const client = await daemon()
  const job = await fullId(client, id)
  const before = await client.job(job)
  const report = await client.resume(job)
  if (json) return printJson(report)
  const follow = `follow it with: weft jobs watch ${shortId(job)}`
  if (ENDED.includes(before.state)) tell(`weft: job ${shortId(job)} goes on; ${follow}`)
  else tell(`weft: job ${shortId(job)} is ${before.state} already; ${follow}`)
}

/** The end of an id is enough where it means one job only. */
async function fullId (client: Client, id: string): Promise<string> {
  const end = id.replace(/^…/, '')
  const matching = (await client.jobs({ limit: '1000' })).filter(({ job }) => job === id || (end !== '' && job.endsWith(end)))
  if (matching.length > 1) throw usage(`'${id}' is the end of ${matching.length} jobs: give more of it`, { id })
  return matching[0]?.job ?? id
}

function row ({ job, state, blocks, seconds, outputs, inputs, error }: JobReport): string[] {
  const output = outputs[0]?.path ?? (error == null ? inputs[0]?.path ?? '' : error.message)
  return [shortId(job), state, `${blocks.done}/${blocks.total}`, formatSeconds(seconds), output]
}

const file = ({ path, mediaType, encoding, bytes }: JobReport['inputs'][number]): string => `${path} (${mediaType}${encoding == null ? '' : `, ${encoding}`}, ${formatBytes(bytes)})`

function details (report: JobReport): string {
  const { inputs, outputs, blocks, check, workers, conversion, error } = report
  return fields([
    ['job', report.job],
    ['state', `${report.state}, ${formatSeconds(report.seconds)}`],
    ...(error == null ? [] : [['error', `${error.code}: ${error.message}`] as [string, string]]),
    ...whyLines(report.why ?? []).map((line, index): [string, string] => [index === 0 ? 'why' : '', line]),
    ...(report.resumableUntil == null ? [] : [['kept', `what was done, until ${new Date(report.resumableUntil).toISOString()}; go on with: weft jobs resume ${shortId(report.job)}`] as [string, string]]),
    ...inputs.map((input, index): [string, string] => [index === 0 ? 'inputs' : '', file(input)]),
    ...outputs.map((output, index): [string, string] => [index === 0 ? 'outputs' : '', file(output)]),
    ['by', conversion.map(({ id, version }) => `${id} ${version}`).join(', ')],
    ['blocks', `${blocks.done} of ${blocks.total} done: ${blocks.local} here, ${blocks.remote} elsewhere; ${blocks.redispatched} sent again, ${blocks.hedged} copied, ${blocks.rejected} rejected${(blocks.redone ?? 0) > 0 ? `, ${blocks.redone} converted again since types changed` : ''}${(blocks.restored ?? 0) > 0 ? `, ${blocks.restored} kept from before the daemon stopped` : ''}`],
    ...noteLines(report.notes ?? []).map((line, index): [string, string] => [index === 0 ? 'notes' : '', line]),
    ['checked', `${check.blocksChecked} compared with their source, distance ${check.distance} (${check.equivalence}, bound ${check.bound})`],
    ...workers.map(({ peer, blocks: done, seconds, failed, lost }, index): [string, string] =>
      [index === 0 ? 'workers' : '', `${shortPeer(peer)}  ${count(done, 'block')} in ${formatSeconds(seconds)}${failed > 0 ? `, ${failed} failed` : ''}${lost == null ? '' : `, lost: ${lost}`}`])
  ])
}
