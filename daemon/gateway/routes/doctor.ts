import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { DoctorReport, NodeApi } from '../index.ts'

/**
 * Milliseconds the checks may take together. What is not known by then is reported as not known; neighbours asked to dial back are the slowest
 * part, and have their own, shorter limit. Below what the command line waits for an answer.
 */
export const DOCTOR_MS_MAX = 20_000

const report = z.looseObject({
  checks: z.array(z.looseObject({ name: z.string(), state: z.enum(['ok', 'warning', 'failed']), says: z.string(), mend: z.string().optional() }))
}) as unknown as z.ZodType<DoctorReport, DoctorReport>

/** The node looks at itself, and asks its neighbours whether they reach it. */
export function doctorRoutes (plain: FastifyInstance, node: NodeApi): void {
  const server = plain.withTypeProvider<ZodTypeProvider>()
  server.get('/doctor', { schema: { summary: 'What is wrong with this node, and how to mend it', tags: ['node'], response: { 200: report } } }, async (_request, reply) => {
    const gone = new AbortController()
    reply.raw.once('close', () => { gone.abort() })
    return await node.doctor({ signal: AbortSignal.any([gone.signal, AbortSignal.timeout(DOCTOR_MS_MAX)]) })
  })
}
