import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { CONNECT_MS_MAX } from '../constants.ts'
import { ApiError } from '../errors.ts'
import type { NodeApi } from '../index.ts'
import { banInfo, banList, banParams, banRequest, connectRequest, peerInfo, peerList } from '../schemas-network.ts'

const tags = ['peers']

/** Connections, and whom this node does not talk to. */
export function peerRoutes (plain: FastifyInstance, node: NodeApi, stopping: AbortSignal): void {
  const server = plain.withTypeProvider<ZodTypeProvider>()
  server.get('/peers', { schema: { summary: 'Members this node is connected to', tags, response: { 200: peerList } } }, () => ({ peers: node.peers() }))

  server.post('/peers', { schema: { summary: 'Connect to a member', tags, body: connectRequest, response: { 200: peerInfo } } }, async ({ body: { address } }, reply) => {
    const gone = new AbortController()
    reply.raw.once('close', () => { gone.abort() })
    return await node.connect(address, { signal: AbortSignal.any([gone.signal, stopping, AbortSignal.timeout(CONNECT_MS_MAX)]) })
  })

  server.get('/peers/bans', { schema: { summary: 'Whom this node does not talk to', tags, response: { 200: banList } } }, () => ({ bans: node.bans() }))

  server.post('/peers/bans', { schema: { summary: 'Talk to a peer, or to all nodes of an operator, no more; across restarts', tags, body: banRequest, response: { 201: banInfo } } }, async ({ body: { subject, reason } }, reply) => {
    const { peerId, operator } = node.status()
    if (subject === peerId || subject === operator) throw new ApiError(400, 'usage', `${subject} is this node ${subject === operator ? 'and every other of its operator' : 'itself'}, which cannot be banned`, { subject })
    return await reply.code(201).send(await node.ban(subject, reason ?? 'banned by the owner of this node'))
  })

  server.delete('/peers/bans/:subject', { schema: { summary: 'Talk to somebody again', tags, params: banParams } }, async ({ params: { subject } }, reply) => {
    if (!await node.unban(subject)) throw new ApiError(404, 'not-banned', `${subject} is not banned here: see GET /peers/bans; peers.deny of the configuration is changed there`, { subject })
    return await reply.code(204).send()
  })
}
