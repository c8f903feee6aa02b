import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { NodeApi } from '../index.ts'
import { converterList, drainRequest, status } from '../schemas.ts'

/** The node itself. */
export function nodeRoutes (plain: FastifyInstance, node: NodeApi): void {
  const server = plain.withTypeProvider<ZodTypeProvider>()
  server.get('/status', { schema: { summary: 'This node', tags: ['node'], response: { 200: status } } }, () => node.status())
  server.get('/converters', { schema: { summary: 'Converters of this build', tags: ['node'], response: { 200: converterList } } },
    () => ({ converters: node.converters() }))
  server.get('/metrics', { schema: { summary: 'Metrics in the text format of Prometheus', tags: ['node'] } }, async (_request, reply) =>
    await reply.type('text/plain; version=0.0.4; charset=utf-8').send(await node.metrics()))
  server.post('/drain', { schema: { summary: 'Take no more work from others; hand back what has not begun, and at the deadline what still runs', tags: ['node'], body: drainRequest.nullish(), response: { 202: status } } },
    async ({ body }, reply) => {
      node.drain(drainRequest.parse(body ?? {}))
      return await reply.code(202).send(node.status())
    })
  server.post('/resume', { schema: { summary: 'Take work from others again', tags: ['node'], response: { 200: status } } }, () => {
    node.resumeWork()
    return node.status()
  })
  server.post('/shutdown', { schema: { summary: 'Drain, then stop', tags: ['node'] } }, async (_request, reply) => {
    // The caller gets its answer first: the shutdown closes this connection.
    reply.raw.once('close', () => { node.shutdown() })
    return await reply.code(202).send({ state: 'draining' })
  })
}
