/** The HTTP server: limits, guard, routes, problem documents. */
import swagger from '@fastify/swagger'
import fastify, { type FastifyInstance } from 'fastify'
import { jsonSchemaTransform, validatorCompiler } from 'fastify-type-provider-zod'
import { BODY_BYTES_MAX, CONNECTIONS_MAX, HEADERS_MS_MAX, IDLE_MS_MAX, REQUEST_MS_MAX } from './constants.ts'
import { ApiError } from './errors.ts'
import { EventStream } from './event-stream.ts'
import { createGuard } from './guard.ts'
import type { Gateway, GatewayComponents, GatewayInit } from './index.ts'
import { problemOf } from './problem.ts'
import { doctorRoutes } from './routes/doctor.ts'
import { eventRoutes } from './routes/events.ts'
import { healthRoutes } from './routes/health.ts'
import { jobRoutes } from './routes/jobs.ts'
import { networkRoutes } from './routes/network.ts'
import { nodeRoutes } from './routes/node.ts'
import { peerRoutes } from './routes/peers.ts'
import { uploadRoutes } from './routes/uploads.ts'

/** `server` is there for tests, which inject requests without a socket. */
export function createGateway (components: GatewayComponents, init: GatewayInit): Gateway & { server: FastifyInstance } {
  return new HttpGateway(components, init)
}

/** Statuses of the guard. */
const REFUSED_CALLERS = new Set([401, 403, 421])

class HttpGateway implements Gateway {
  readonly server: FastifyInstance
  readonly #init: GatewayInit
  readonly #log: GatewayComponents['log']
  readonly #stopping = new AbortController()
  readonly #events: EventStream
  #url = ''

  constructor ({ node, log }: GatewayComponents, init: GatewayInit) {
    this.#init = init
    this.#log = log
    this.#events = new EventStream(listener => node.subscribe(listener))
    this.server = fastify({
      bodyLimit: BODY_BYTES_MAX,
      requestTimeout: REQUEST_MS_MAX,
      connectionTimeout: IDLE_MS_MAX,
      http: { headersTimeout: HEADERS_MS_MAX, connectionsCheckingInterval: HEADERS_MS_MAX },
      forceCloseConnections: true,
      logger: false
    })
    this.server.server.maxConnections = CONNECTIONS_MAX
    this.server.setValidatorCompiler(validatorCompiler)
    // Response schemas describe (see /openapi.json); what a node says is sent as it is.
    this.server.setSerializerCompiler(() => data => JSON.stringify(data))
    this.#protect()
    this.#describe()
    this.server.register(async server => {
      healthRoutes(server, node)
      nodeRoutes(server, node)
      doctorRoutes(server, node)
      networkRoutes(server, node)
      peerRoutes(server, node, this.#stopping.signal)
      jobRoutes(server, node, this.#stopping.signal)
      eventRoutes(server, this.#events)
      if (init.uploads != null) uploadRoutes(server, node, init.uploads)
    })
  }

  get url (): string {
    return this.#url
  }

  async start (): Promise<void> {
    const { host, port } = this.#init
    try {
      await this.server.listen({ host, port })
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code === 'EADDRINUSE') throw new ApiError(409, 'port-taken', `port ${port} of ${host} is taken: choose another with --api-port (0 takes any free one)`, { host, port })
      if (code === 'EACCES') throw new ApiError(403, 'port-forbidden', `no permission to listen on port ${port} of ${host}: choose one above 1023 with --api-port`, { host, port })
      throw new ApiError(500, 'cannot-listen', `the API cannot listen on ${host} port ${port}: ${message}`, { host, port })
    }
    this.#url = `http://${host.includes(':') ? `[${host}]` : host}:${this.#port() as number}`
  }

  async stop (): Promise<void> {
    this.#stopping.abort()
    this.#events.close()
    await this.server.close()
  }

  #port (): number | undefined {
    const address = this.server.server.address()
    return typeof address === 'object' ? address?.port : undefined
  }

  #protect (): void {
    const guard = createGuard({ token: this.#init.token, host: this.#init.host, port: () => this.#port() })
    this.server.addHook('onRequest', async (request, reply) => {
      reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
      guard({ method: request.method, route: request.routeOptions.url, headers: request.headers })
    })
    // Simple posts of a web page carry text/plain or a form; requiring JSON (or octets) makes a browser ask first, in vain.
    this.server.removeContentTypeParser('text/plain')
    this.server.setNotFoundHandler(request => { throw new ApiError(404, 'unknown-route', `no ${request.method} ${request.url.split('?')[0] ?? ''} here: see /openapi.json`) })
    this.server.setErrorHandler((error, request, reply) => {
      const problem = problemOf(error)
      // A client that goes away in the middle of its body is no fault of ours, and hears no answer.
      const left = request.raw.errored != null && (request.raw.errored as NodeJS.ErrnoException).code === 'ECONNRESET'
      if (problem.status >= 500 && problem.code === 'internal' && !left) this.#log.error({ error: (error as Error).stack, method: request.method, route: request.routeOptions.url }, 'a request failed unexpectedly')
      if (problem.status === 401) reply.header('www-authenticate', 'Bearer')
      // Whoever may not call keeps no connection: the body it announced is not waited for.
      if (REFUSED_CALLERS.has(problem.status)) reply.header('connection', 'close')
      return reply.code(problem.status).type('application/problem+json').send(problem)
    })
  }

  #describe (): void {
    this.server.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: { title: 'weft', version: '1', description: 'The local API of a weft daemon. Errors are problem documents (RFC 9457) with a stable `code`.' },
        components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
        security: [{ token: [] }]
      },
      transform: jsonSchemaTransform
    })
    this.server.get('/openapi.json', { schema: { hide: true } as object }, () => this.server.swagger())
  }
}
