import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { UPLOADS_MAX, UPLOAD_BYTES_MAX } from '../constants.ts'
import { ApiError } from '../errors.ts'
import type { NodeApi } from '../index.ts'
import { upload, uploadParams } from '../schemas.ts'

const ENDED: readonly string[] = ['done', 'failed', 'cancelled']
const UPLOAD_NAME = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Inputs that are no files of this machine: kept until deleted, or until the gateway stops, and beyond that while an unfinished job reads them. */
export function uploadRoutes (plain: FastifyInstance, node: Pick<NodeApi, 'jobs' | 'subscribe'>, folder: string): void {
  const server = plain.withTypeProvider<ZodTypeProvider>()
  const kept = new Set<string>()
  /** Of an earlier run: who uploaded them is gone, so they go with the job that reads them. */
  const adopted = new Set<string>()
  const remove = async (id: string): Promise<void> => { await rm(join(folder, id), { force: true }) }

  /** Uploads that a job reads which has not ended, or with which somebody may go on. */
  const needed = (): Set<string> => {
    const paths = new Set<string>()
    for (const { state, resumableUntil, inputs } of node.jobs()) if (!ENDED.includes(state) || resumableUntil != null) for (const { path } of inputs) paths.add(path)
    return new Set([...kept].filter(id => paths.has(join(folder, id))))
  }

  const removeUnneeded = async (ids: Iterable<string>): Promise<void> => {
    const stay = needed()
    for (const id of ids) {
      if (stay.has(id)) continue
      kept.delete(id)
      adopted.delete(id)
      await remove(id)
    }
  }

  // How a job failed may be mended, so that only what is over for good lets its uploads go.
  const unsubscribe = node.subscribe(event => {
    if (adopted.size === 0 || event.type !== 'state' || (event.state !== 'done' && event.state !== 'cancelled')) return
    // What cannot be removed now goes when the gateway stops, or starts again.
    removeUnneeded(adopted).catch(() => {})
  })

  server.addHook('onReady', async () => {
    for (const name of await readdir(folder).catch(() => [/* nothing was ever uploaded */])) {
      if (!UPLOAD_NAME.test(name)) continue
      kept.add(name)
      adopted.add(name)
    }
    await removeUnneeded(adopted)
  })

  server.addContentTypeParser('application/octet-stream', (_request, payload, done) => { done(null, payload) })

  server.post('/uploads', { bodyLimit: UPLOAD_BYTES_MAX, schema: { summary: 'Upload an input as application/octet-stream', tags: ['jobs'], response: { 201: upload } } }, async ({ body, headers }, reply) => {
    if (!/^application\/octet-stream\b/.test(headers['content-type'] ?? '')) throw new ApiError(415, 'bad-content-type', 'send application/octet-stream in the Content-Type header')
    if (kept.size >= UPLOADS_MAX) throw new ApiError(429, 'too-many-uploads', `${UPLOADS_MAX} uploads are kept already: delete some`)
    const id = randomUUID()
    const path = join(folder, id)
    kept.add(id)
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      let bytes = 0
      await pipeline(body as Readable, async function * (source: AsyncIterable<Buffer>) {
        for await (const chunk of source) {
          bytes += chunk.length
          if (bytes > UPLOAD_BYTES_MAX) throw new ApiError(413, 'too-large', `an upload may have ${UPLOAD_BYTES_MAX} bytes`)
          yield chunk
        }
      }, createWriteStream(path, { flags: 'wx', mode: 0o600 }))
      return await reply.code(201).header('location', `/uploads/${id}`).send({ id, path, bytes })
    } catch (error) {
      kept.delete(id)
      await rm(path, { force: true })
      if (['ENOSPC', 'EDQUOT'].includes(String((error as NodeJS.ErrnoException).code))) throw new ApiError(507, 'no-space', `no space for the upload in ${folder}: make room on that disk, or name a file of this machine in the job instead`)
      throw error
    }
  })

  server.delete('/uploads/:id', { schema: { summary: 'Remove an upload', tags: ['jobs'], params: uploadParams } }, async ({ params: { id } }, reply) => {
    if (!kept.delete(id)) throw new ApiError(404, 'unknown-upload', `no upload ${id}`)
    adopted.delete(id)
    await remove(id)
    return await reply.code(204).send()
  })

  server.addHook('onClose', async () => {
    unsubscribe()
    await removeUnneeded(kept)
    // Only if it is empty: what somebody else put there is not ours.
    await rmdir(folder).catch(() => {})
  })
}
