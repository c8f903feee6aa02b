import type { FastifyInstance } from 'fastify'
import { ApiError } from '../errors.ts'
import type { NodeApi } from '../index.ts'

/** What a supervisor asks without a token; nothing in the answers tells about data, peers or jobs. */
export function healthRoutes (server: FastifyInstance, node: NodeApi): void {
  server.get('/health', { schema: { summary: 'Is it up, and in which state', tags: ['health'], security: [] } }, () => {
    const { version, state } = node.status()
    return { status: 'ok', state, version }
  })
  server.get('/livez', { schema: { summary: 'The process answers', tags: ['health'], security: [] } }, () => ({ status: 'ok' }))
  server.get('/readyz', { schema: { summary: '200 when it takes jobs, 503 with the reason when not', tags: ['health'], security: [] } }, () => {
    const reason = node.notReady()
    if (reason != null) throw new ApiError(503, 'not-ready', `the node is not ready: ${reason}`)
    return { status: 'ready' }
  })
}
