import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { UPLOADS_MAX, UPLOAD_BYTES_MAX } from '../constants.ts'
import { ApiError } from '../errors.ts'
import { upload, uploadParams } from '../schemas.ts'

/** Inputs that are no files of this machine: kept until deleted, or until the gateway stops. */
export function uploadRoutes (plain: FastifyInstance, folder: string): void {
  const server = plain.withTypeProvider<ZodTypeProvider>()
  const kept = new Set<string>()
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
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw new ApiError(507, 'no-space', `no space for the upload in ${folder}`)
      throw error
    }
  })

  server.delete('/uploads/:id', { schema: { summary: 'Remove an upload', tags: ['jobs'], params: uploadParams } }, async ({ params: { id } }, reply) => {
    if (!kept.delete(id)) throw new ApiError(404, 'unknown-upload', `no upload ${id}`)
    await rm(join(folder, id), { force: true })
    return await reply.code(204).send()
  })

  server.addHook('onClose', async () => {
    for (const id of kept) await rm(join(folder, id), { force: true })
    // Only if it is empty: what somebody else put there is not ours.
    await rmdir(folder).catch(() => {})
  })
}
