import { PassThrough } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { ApiError } from '../errors.ts'
import type { EventStream } from '../event-stream.ts'
import { eventsQuery } from '../schemas.ts'

const TYPES = ['state', 'plan', 'progress', 'worker', 'block']

/** Job events as they happen (server-sent events). */
export function eventRoutes (plain: FastifyInstance, events: EventStream): void {
  const server = plain.withTypeProvider<ZodTypeProvider>()
  server.get('/events', { schema: { summary: 'Job events as server-sent events; Last-Event-ID continues a stream', tags: ['jobs'], querystring: eventsQuery } }, async ({ query, headers }, reply) => {
    const types = query.types?.split(',')
    const unknown = types?.find(type => !TYPES.includes(type))
    if (unknown != null) throw new ApiError(400, 'bad-request', `querystring 'types': unknown event type '${unknown}', expected some of ${TYPES.join(', ')}`, { field: 'types', in: 'querystring' })
    const lastId = Number(headers['last-event-id'] ?? Number.NaN)
    const sink = new PassThrough()
    events.follow({
      sink,
      ...(query.job != null ? { job: query.job } : {}),
      ...(types != null ? { types: new Set(types) } : {}),
      ...(Number.isSafeInteger(lastId) ? { lastId } : {})
    })
    return await reply.type('text/event-stream').header('x-accel-buffering', 'no').send(sink)
  })
}
