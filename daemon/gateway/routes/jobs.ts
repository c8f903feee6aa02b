import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { JobReport } from '../../coordinator/index.ts'
import { WAIT_MS_MAX } from '../constants.ts'
import { ApiError } from '../errors.ts'
import { Idempotency } from '../idempotency.ts'
import type { NodeApi } from '../index.ts'
import { blocksQuery, jobList, jobLook, jobParams, jobReport, jobRequest, jobsQuery, outputQuery, waitQuery } from '../schemas.ts'

/** What a compressed output is sent as: not as its media type with a `content-encoding`, which clients undo unasked. */
const ENCODED_TYPES = { gzip: 'application/gzip', zstd: 'application/zstd', brotli: 'application/octet-stream', xz: 'application/x-xz' }

const ENDED = ['done', 'failed', 'cancelled']

/** Conversions: submit, look, wait, cancel, go on, fetch the output. */
export function jobRoutes (plain: FastifyInstance, node: NodeApi, stopping: AbortSignal): void {
  const server = plain.withTypeProvider<ZodTypeProvider>()
  const submissions = new Idempotency<JobReport>()

  server.post('/jobs', { schema: { summary: 'Submit a conversion', tags: ['jobs'], body: jobRequest, response: { 202: jobReport } } }, async ({ body, headers }, reply) => {
    const report = await submissions.once(headers['idempotency-key'] as string | undefined, body, async () => await node.submit(body))
    return await reply.code(202).header('location', `/jobs/${report.job}`).send(report)
  })

  server.get('/jobs', { schema: { summary: 'Jobs, the newest first', tags: ['jobs'], querystring: jobsQuery, response: { 200: jobList } } }, ({ query }) => {
    const jobs = node.jobs().filter(({ state }) => query.state == null || state === query.state)
      .toSorted((a, b) => b.created - a.created)
    return { jobs: jobs.slice(0, query.limit) }
  })

  server.get('/jobs/:id', { schema: { summary: 'One job; ?wait=true holds the answer until it ends', tags: ['jobs'], params: jobParams, querystring: waitQuery, response: { 200: jobReport } } },
    async ({ params: { id }, query }, reply) => {
      const report = known(node.job(id), id)
      if (query.wait !== 'true' || ENDED.includes(report.state)) return report
      const gone = new AbortController()
      reply.raw.once('close', () => { gone.abort() })
      return known(await waited(node, id, AbortSignal.any([gone.signal, stopping, AbortSignal.timeout(WAIT_MS_MAX)])), id)
    })

  server.get('/jobs/:id/blocks', { schema: { summary: 'What of a running job is not done: who has each block, since when, what came of it before; who has what; what moved lately; why it waits', tags: ['jobs'], params: jobParams, querystring: blocksQuery, response: { 200: jobLook } } },
    ({ params: { id }, query }) => {
      const look = node.blocks(id, query)
      if (look == null) throw new ApiError(404, 'unknown-job', `no job ${id} on this node: see 'weft jobs list', or GET /jobs`)
      return look
    })

  server.delete('/jobs/:id', { schema: { summary: 'Cancel a job', tags: ['jobs'], params: jobParams, response: { 200: jobReport } } },
    async ({ params: { id } }) => known(await node.cancel(id), id))

  server.post('/jobs/:id/resume', { schema: { summary: 'Go on with a job that ended badly, from what it had done; a running one is left as it is', tags: ['jobs'], params: jobParams, response: { 202: jobReport } } },
    async ({ params: { id } }, reply) => await reply.code(202).header('location', `/jobs/${id}`).send(known(await node.resume(id), id)))

  server.get('/jobs/:id/output', { schema: { summary: 'The bytes of a finished output', tags: ['jobs'], params: jobParams, querystring: outputQuery } },
    async ({ params: { id }, query: { index = 0 } }, reply) => {
      const report = known(node.job(id), id)
      if (report.state !== 'done') throw new ApiError(409, 'not-done', `job ${id} is ${report.state}, so it has no output`, { state: report.state })
      const output = report.outputs[index]
      if (output == null) throw new ApiError(404, 'unknown-output', `job ${id} has ${report.outputs.length} output(s), numbered from 0`)
      const file = await opened(output.path)
      const info = await file.stat()
      if (info.isDirectory()) {
        await file.close()
        throw new ApiError(409, 'output-folder', `${output.path} is a folder of files, which cannot be sent as one; read it where it is`)
      }
      if (info.size !== output.bytes) {
        await file.close()
        throw new ApiError(409, 'output-changed', `${output.path} is no longer the file this job wrote`)
      }
      return await reply.type(output.encoding == null ? output.mediaType : ENCODED_TYPES[output.encoding]).header('content-length', output.bytes).header('etag', `"${output.cid}"`)
        .send(createReadStream('', { fd: file, start: 0 }))
    })
}

/** The final report, or the present one when the wait was given up. */
async function waited (node: NodeApi, id: string, signal: AbortSignal): Promise<JobReport | undefined> {
  try {
    return await node.wait(id, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
    return node.job(id)
  }
}

async function opened (path: string): ReturnType<typeof open> {
  try {
    return await open(path, 'r')
  } catch (error) {
    throw new ApiError(409, 'output-gone', `${path} cannot be read any more: ${(error as NodeJS.ErrnoException).code ?? 'unknown reason'}`)
  }
}

function known (report: JobReport | undefined, id: string): JobReport {
  if (report == null) throw new ApiError(404, 'unknown-job', `no job ${id} on this node: see 'weft jobs list', or GET /jobs`)
  return report
}
