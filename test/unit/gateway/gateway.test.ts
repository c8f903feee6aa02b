import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { InjectOptions } from 'fastify'
import { JobRefusedError } from '../../../daemon/coordinator/errors.ts'
import { createGateway } from '../../../daemon/gateway/gateway.ts'
import { BODY_BYTES_MAX } from '../../../daemon/gateway/constants.ts'
import { ApiError } from '../../../daemon/gateway/errors.ts'
import type { JobReport } from '../../../daemon/coordinator/index.ts'
import { silentLog } from '../../../daemon/log.ts'
import { FakeNode, look, report } from './fake-node.ts'

const TOKEN = 'a-token-of-the-unit-tests'
const JOB = { inputs: ['/data/in.csv'], to: 'parquet', output: '/data/out.parquet' }

interface Answer { status: number, body: any, headers: Record<string, unknown>, text: string }

describe('gateway', () => {
  let folder: string
  let node: FakeNode
  let gateway: ReturnType<typeof createGateway>

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-gateway-'))
    node = new FakeNode()
    gateway = createGateway({ node, log: silentLog }, { host: '127.0.0.1', port: 0, token: TOKEN, roots: [], uploads: join(folder, 'uploads') })
  })

  afterEach(async () => {
    await gateway.stop()
    await rm(folder, { recursive: true })
  })

  async function call (method: 'GET' | 'POST' | 'DELETE' | 'PUT', url: string, { body, headers = {} }: { body?: unknown, headers?: Record<string, string> } = {}): Promise<Answer> {
    const options: InjectOptions = { method, url, headers: { host: 'localhost', authorization: `Bearer ${TOKEN}`, ...headers } }
    if (body !== undefined) options.payload = body as object
    const response = await gateway.server.inject(options)
    const json = /json/.test(String(response.headers['content-type'] ?? ''))
    return { status: response.statusCode, body: json ? response.json() : undefined, headers: response.headers, text: response.body }
  }

  describe('who may call', () => {
    const routes: Array<['GET' | 'POST' | 'PUT' | 'DELETE', string]> = [
      ['GET', '/metrics'], ['GET', '/status'], ['GET', '/nodes'], ['GET', '/converters'], ['POST', '/jobs'], ['GET', '/jobs'], ['GET', '/jobs/x'], ['DELETE', '/jobs/x'],
      ['GET', '/jobs/x/output'], ['GET', '/jobs/x/blocks'], ['GET', '/events'], ['GET', '/discover'], ['GET', '/providers'], ['GET', '/capabilities'], ['GET', '/prices/spot'], ['GET', '/prices/posted'], ['PUT', '/prices/posted'],
      ['GET', '/peers'], ['POST', '/peers'], ['GET', '/peers/bans'], ['POST', '/peers/bans'], ['DELETE', '/peers/bans/x'], ['GET', '/doctor'], ['POST', '/drain'], ['POST', '/resume'], ['POST', '/shutdown'], ['POST', '/uploads'], ['DELETE', '/uploads/x'], ['GET', '/openapi.json'], ['GET', '/no-such-route']
    ]
    for (const [method, url] of routes) {
      it(`${method} ${url} is refused without the token and with a wrong one`, async () => {
        for (const authorization of ['', 'Bearer wrong', `Basic ${TOKEN}`, `Bearer ${TOKEN}x`]) {
          const { status, body, headers } = await call(method, url, { headers: { authorization } })
          assert.equal(status, 401)
          assert.equal(body.code, 'unauthorized')
          assert.match(String(headers['content-type']), /^application\/problem\+json/)
          assert.equal(headers['www-authenticate'], 'Bearer')
        }
        assert.equal(node.shutdowns + node.submitted.length + node.cancelled.length, 0)
      })
    }

    it('who may not call keeps no connection, whatever body was announced', async () => {
      await gateway.start()
      const { port } = new URL(gateway.url)
      const socket = connect(Number(port), '127.0.0.1')
      const closed = once(socket, 'close')
      let answer = ''
      socket.on('data', (chunk: Buffer) => { answer += chunk.toString() })
      socket.write(`POST /jobs HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{`)
      await closed
      assert.match(answer, /^HTTP\/1.1 401 /)
    })

    it('health routes answer without a token', async () => {
      for (const url of ['/health', '/livez', '/readyz']) {
        assert.equal((await call('GET', url, { headers: { authorization: '' } })).status, 200)
      }
    })

    it('hosts that are not this API are refused, also on the health routes', async () => {
      for (const host of ['evil.example', 'evil.example:80', 'localhost.evil.example', '127.0.0.1.evil.example', 'localhost@evil']) {
        for (const url of ['/status', '/health']) {
          const { status, body } = await call('GET', url, { headers: { host } })
          assert.equal(status, 421, host)
          assert.equal(body.code, 'foreign-host')
        }
      }
      for (const host of ['localhost', '127.0.0.1', '[::1]', 'LOCALHOST']) assert.equal((await call('GET', '/status', { headers: { host } })).status, 200, host)
    })

    it('once it listens, the port of the host header must be its own', async () => {
      await gateway.start()
      const { port } = new URL(gateway.url)
      assert.equal((await call('GET', '/status', { headers: { host: `localhost:${port}` } })).status, 200)
      assert.equal((await call('GET', '/status', { headers: { host: 'localhost' } })).status, 421)
      assert.equal((await call('GET', '/status', { headers: { host: `localhost:${Number(port) + 1}` } })).status, 421)
    })

    it('foreign origins are refused, its own is not', async () => {
      for (const origin of ['https://evil.example', 'null', 'http://localhost.evil.example', 'https://localhost']) {
        const { status, body } = await call('GET', '/status', { headers: { origin } })
        assert.equal(status, 403, origin)
        assert.equal(body.code, 'foreign-origin')
      }
      assert.equal((await call('GET', '/status', { headers: { 'sec-fetch-site': 'cross-site' } })).status, 403)
      assert.equal((await call('GET', '/status', { headers: { origin: 'http://localhost' } })).status, 200)
    })

    it('answers are not stored and not sniffed, refusals too', async () => {
      for (const authorization of [`Bearer ${TOKEN}`, '']) {
        const { headers } = await call('GET', '/status', { headers: { authorization } })
        assert.equal(headers['cache-control'], 'no-store')
        assert.equal(headers['x-content-type-options'], 'nosniff')
        assert.equal(headers['access-control-allow-origin'], undefined)
      }
    })
  })

  describe('the node', () => {
    it('health, liveness, readiness', async () => {
      assert.deepEqual((await call('GET', '/health')).body, { status: 'ok', state: 'ready', version: '0.1.0' })
      assert.equal((await call('GET', '/livez')).status, 200)
      assert.equal((await call('GET', '/readyz')).status, 200)
      node.reason = 'still listening'
      const { status, body } = await call('GET', '/readyz')
      assert.equal(status, 503)
      assert.equal(body.code, 'not-ready')
      assert.match(body.detail, /still listening/)
    })

    it('status, converters, metrics', async () => {
      assert.equal((await call('GET', '/status')).body.network, 'testnet-unit')
      assert.equal((await call('GET', '/converters')).body.converters[0].extensions.to[0], 'parquet')
      const metrics = await call('GET', '/metrics')
      assert.equal(metrics.text, 'weft_jobs_total 1\n')
      assert.match(String(metrics.headers['content-type']), /^text\/plain; version=0\.0\.4/)
    })

    it('shutdown answers first, then begins', async () => {
      await gateway.start()
      const response = await fetch(`${gateway.url}/shutdown`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` } })
      assert.equal(response.status, 202)
      assert.deepEqual(await response.json(), { state: 'draining' })
      assert.equal(node.shutdowns, 1)
    })

    it('drain and resume answer with the state, and drain takes a deadline within limits', async () => {
      assert.deepEqual([(await call('POST', '/drain')).body.state, node.drains], ['draining', [300_000]])
      assert.equal((await call('POST', '/drain', { body: { deadlineMs: 5 } })).status, 202)
      assert.equal((await call('POST', '/drain', { body: { deadlineMs: -1 } })).status, 400)
      assert.equal((await call('POST', '/drain', { body: { deadline: 5 } })).status, 400)
      assert.deepEqual(node.drains, [300_000, 5])
      const { status, body } = await call('POST', '/resume')
      assert.deepEqual([status, body.state], [200, 'ready'])
    })

    it('an unknown route and a wrong method say so', async () => {
      assert.equal((await call('GET', '/nope')).body.code, 'unknown-route')
      assert.equal((await call('PUT', '/jobs')).status, 404)
    })

    it('tells who has which block of a job, as many as are asked for', async () => {
      const seen = look('j', { workers: [{ peer: 'p', kind: 'remote', state: 'suspect', message: 'silent', has: 1, blocks: [3], oldestMs: 1500, done: 2 }] })
      node.looks.set('j', seen)
      assert.deepEqual((await call('GET', '/jobs/j/blocks')).body, seen)
      for (const limit of ['0', '7']) assert.equal((await call('GET', `/jobs/j/blocks?limit=${limit}`)).status, 200)
      assert.deepEqual(node.limits, [100, 0, 7])
      for (const limit of ['-1', '1001', 'x', '']) assert.equal((await call('GET', `/jobs/j/blocks?limit=${limit}`)).status, 400)
      assert.equal((await call('GET', '/jobs/none/blocks')).body.code, 'unknown-job')
    })

    it('an unexpected failure tells nothing of its inside', async () => {
      node.failure = new Error('secret path /root/x')
      const { status, body, text } = await call('GET', '/status')
      assert.equal(status, 500)
      assert.equal(body.code, 'internal')
      assert.doesNotMatch(text, /secret/)
    })

    it('openapi.json names every route', async () => {
      const { body } = await call('GET', '/openapi.json')
      assert.equal(body.openapi, '3.1.0')
      assert.deepEqual(Object.keys(body.paths).toSorted(), ['/capabilities', '/converters', '/discover', '/doctor', '/drain', '/events', '/health', '/jobs', '/jobs/{id}', '/jobs/{id}/blocks', '/jobs/{id}/output', '/jobs/{id}/resume', '/livez', '/metrics', '/nodes', '/peers', '/peers/bans', '/peers/bans/{subject}', '/prices/posted', '/prices/spot', '/providers', '/readyz', '/resume', '/shutdown', '/status', '/uploads', '/uploads/{id}'])
      assert.ok(body.paths['/jobs'].post.requestBody.content['application/json'].schema.properties.inputs)
      assert.deepEqual(body.paths['/health'].get.security, [])
      const filters = ['converter', 'cursor', 'from', 'gpu_hours', 'latency_band', 'limit', 'max_price', 'min_memory_gb', 'resource_type', 'sort', 'to', 'unit']
      for (const path of ['/nodes', '/discover']) assert.deepEqual(body.paths[path].get.parameters.map(({ name }: { name: string }) => name).toSorted(), filters)
      assert.ok(body.paths['/prices/posted'].put.requestBody.content['application/json'].schema.properties.price)
      for (const path of ['/nodes', '/discover', '/providers', '/capabilities', '/prices/spot']) assert.ok(body.paths[path].get.responses['200'].content['application/json'].schema.properties.view, path)
    })
  })

  describe('jobs', () => {
    it('submits what was sent', async () => {
      const full = { ...JOB, from: 'csv', overwrite: true, settings: { header: 'true' }, place: 'remote', nodes: ['12D3KooW'], maxPrice: '250000', verify: 'all', blockBytes: 1000, deadlineSeconds: 5, inFlight: 64 }
      const { status, body, headers } = await call('POST', '/jobs', { body: full })
      assert.equal(status, 202)
      assert.equal(body.job, 'job1')
      assert.equal(headers.location, '/jobs/job1')
      assert.deepEqual(node.submitted, [full])
    })

    const wrong: Array<[string, unknown, string]> = [
      ['no inputs', { ...JOB, inputs: [] }, 'inputs'],
      ['a relative input', { ...JOB, inputs: ['in.csv'] }, 'inputs.0'],
      ['a path with a NUL', { ...JOB, inputs: ['/a\0b'] }, 'inputs.0'],
      ['no type', { inputs: ['/a'], output: '/b' }, 'to'],
      ['a number for a path', { ...JOB, output: 3 }, 'output'],
      ['an unknown place', { ...JOB, place: 'moon' }, 'place'],
      ['an unknown key', { ...JOB, outptu: 'x' }, 'outptu'],
      ['a price with a point', { ...JOB, maxPrice: '0.25' }, 'maxPrice'],
      ['a fraction of a byte', { ...JOB, blockBytes: 1.5 }, 'blockBytes'],
      ['no time at all', { ...JOB, deadlineSeconds: 0 }, 'deadlineSeconds'],
      ['a setting that is no text', { ...JOB, settings: { a: 1 } }, 'settings.a'],
      ['a list', [JOB], ''],
      ['nothing', undefined, '']
    ]
    for (const [name, body, field] of wrong) {
      it(`refuses ${name}, naming '${field}'`, async () => {
        const answer = await call('POST', '/jobs', { body, headers: { 'content-type': 'application/json' } })
        assert.equal(answer.status, 400)
        assert.equal(answer.body.code, 'bad-request')
        if (field !== '') assert.equal(answer.body.details.field, field)
        assert.equal(node.submitted.length, 0)
      })
    }

    it('takes JSON only, so that no form of a web page gets through', async () => {
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/octet-stream']) {
        const { status } = await call('POST', '/jobs', { body: JSON.stringify(JOB), headers: { 'content-type': type } })
        assert.ok(status === 415 || status === 400, `${type}: ${status}`)
      }
      assert.equal(node.submitted.length, 0)
      assert.equal((await call('POST', '/jobs', { body: '{"inputs":', headers: { 'content-type': 'application/json' } })).status, 400)
      assert.equal((await call('POST', '/jobs', { body: JSON.stringify({ ...JOB, to: 'x'.repeat(BODY_BYTES_MAX) }), headers: { 'content-type': 'application/json' } })).status, 413)
    })

    const refusals: Array<[Error, number, string]> = [
      [new JobRefusedError({ code: 'unknown-type', message: 'unknown type \'x\'', details: { type: 'x' } }), 400, 'unknown-type'],
      [new JobRefusedError({ code: 'output-exists', message: '/out exists' }), 409, 'output-exists'],
      [new JobRefusedError({ code: 'no-provider', message: 'nobody' }), 409, 'no-provider'],
      [new JobRefusedError({ code: 'input-unreadable', message: 'no file' }), 422, 'input-unreadable'],
      [new ApiError(503, 'draining', 'draining'), 503, 'draining']
    ]
    for (const [error, status, code] of refusals) {
      it(`a refusal '${code}' keeps its code and words`, async () => {
        node.submitError = error
        const answer = await call('POST', '/jobs', { body: JOB })
        assert.equal(answer.status, status)
        assert.equal(answer.body.code, code)
        assert.equal(answer.body.detail, error.message)
      })
    }

    it('an idempotency key submits once, also when both come at once', async () => {
      const headers = { 'idempotency-key': 'k1' }
      const [first, second] = await Promise.all([call('POST', '/jobs', { body: JOB, headers }), call('POST', '/jobs', { body: JOB, headers })])
      const third = await call('POST', '/jobs', { body: JOB, headers })
      assert.deepEqual([first.body.job, second.body.job, third.body.job], ['job1', 'job1', 'job1'])
      assert.equal(node.submitted.length, 1)
      const other = await call('POST', '/jobs', { body: { ...JOB, to: 'csv' }, headers })
      assert.equal(other.status, 422)
      assert.equal(other.body.code, 'idempotency-mismatch')
      assert.equal((await call('POST', '/jobs', { body: JOB, headers: { 'idempotency-key': 'x'.repeat(200) } })).status, 400)
    })

    it('a refused submission may be sent again under its key', async () => {
      const headers = { 'idempotency-key': 'k2' }
      node.submitError = new JobRefusedError({ code: 'output-exists', message: '/out exists' })
      assert.equal((await call('POST', '/jobs', { body: JOB, headers })).status, 409)
      node.submitError = undefined
      assert.equal((await call('POST', '/jobs', { body: JOB, headers })).status, 202)
    })

    it('lists the newest first, by state, up to a limit', async () => {
      for (const id of ['a', 'b', 'c']) node.reports.set(id, report(id, { created: id.charCodeAt(0), state: id === 'b' ? 'done' : 'running' }))
      const ids = async (query: string): Promise<string[]> => (await call('GET', `/jobs${query}`)).body.jobs.map(({ job }: { job: string }) => job)
      assert.deepEqual(await ids(''), ['c', 'b', 'a'])
      assert.deepEqual(await ids('?state=done'), ['b'])
      assert.deepEqual(await ids('?limit=1'), ['c'])
      assert.equal((await call('GET', '/jobs?state=odd')).body.details.field, 'state')
    })

    it('shows and cancels one, and knows which it does not know', async () => {
      node.reports.set('a', report('a'))
      assert.equal((await call('GET', '/jobs/a')).body.state, 'running')
      assert.equal((await call('DELETE', '/jobs/a')).body.state, 'cancelled')
      assert.deepEqual(node.cancelled, ['a'])
      for (const [method, url] of [['GET', '/jobs/b'], ['DELETE', '/jobs/b'], ['GET', '/jobs/b/output'], ['GET', '/jobs/b?wait=true']] as const) {
        const { status, body } = await call(method, url)
        assert.equal(status, 404)
        assert.equal(body.code, 'unknown-job')
      }
    })

    it('wait holds the answer until the job ends', async () => {
      node.reports.set('a', report('a'))
      const answer = call('GET', '/jobs/a?wait=true')
      while (!node.endings.has('a')) await new Promise(resolve => setImmediate(resolve))
      node.endings.get('a')?.resolve(report('a', { state: 'done' }))
      assert.equal((await answer).body.state, 'done')
      node.reports.set('b', report('b', { state: 'failed' }))
      assert.equal((await call('GET', '/jobs/b?wait=true')).body.state, 'failed')
    })

    it('a wait ends with the present state when the gateway stops', async () => {
      node.reports.set('a', report('a'))
      const answer = call('GET', '/jobs/a?wait=true')
      while (!node.endings.has('a')) await new Promise(resolve => setImmediate(resolve))
      await gateway.stop()
      assert.equal((await answer).body.state, 'running')
    })

    it('serves a finished output, and nothing else', async () => {
      const path = join(folder, 'out.parquet')
      await writeFile(path, 'PAR1data')
      const output = { path, mediaType: 'application/vnd.apache.parquet', bytes: 8, cid: 'bafk' }
      node.reports.set('a', report('a', { state: 'done', outputs: [output] }))
      const { status, text, headers } = await call('GET', '/jobs/a/output')
      assert.equal(status, 200)
      assert.equal(text, 'PAR1data')
      assert.equal(headers['content-type'], 'application/vnd.apache.parquet')
      assert.equal(headers['content-length'], '8')
      assert.equal((await call('GET', '/jobs/a/output?index=1')).body.code, 'unknown-output')
      assert.equal((await call('GET', '/jobs/a/output?index=-1')).status, 400)
      await writeFile(path, 'other bytes')
      assert.equal((await call('GET', '/jobs/a/output')).body.code, 'output-changed')
      await rm(path)
      assert.equal((await call('GET', '/jobs/a/output')).body.code, 'output-gone')
      node.reports.set('b', report('b'))
      assert.equal((await call('GET', '/jobs/b/output')).body.code, 'not-done')
    })
  })

  describe('going on with a job', () => {
    it('gives its report, and refuses as the node does', async () => {
      node.reports.set('a', report('a'))
      const { status, body, headers } = await call('POST', '/jobs/a/resume')
      assert.deepEqual([status, body.job, headers['location'], node.resumed], [202, 'a', '/jobs/a', ['a']])
      assert.equal((await call('POST', '/jobs/unknown/resume')).status, 404)
      node.resumeError = new ApiError(409, 'not-resumable', 'nothing is kept')
      const refused = await call('POST', '/jobs/a/resume')
      assert.deepEqual([refused.status, refused.body.code], [409, 'not-resumable'])
    })
  })

  describe('uploads', () => {
    const octets = { 'content-type': 'application/octet-stream' }

    it('keeps the bytes until they are deleted', async () => {
      const bytes = Buffer.alloc(3 << 20, 'weft')
      const { status, body } = await call('POST', '/uploads', { body: bytes, headers: octets })
      assert.equal(status, 201)
      assert.equal(body.bytes, bytes.length)
      assert.deepEqual(await readFile(body.path), bytes)
      assert.equal((await call('DELETE', `/uploads/${body.id as string}`)).status, 204)
      assert.deepEqual(await readdir(join(folder, 'uploads')), [])
      assert.equal((await call('DELETE', `/uploads/${body.id as string}`)).status, 404)
      assert.equal((await call('DELETE', '/uploads/..%2Fkey')).status, 400)
    })

    it('takes octets only, and removes what is left when it stops', async () => {
      assert.equal((await call('POST', '/uploads', { body: '{}', headers: { 'content-type': 'application/json' } })).status, 415)
      const { body } = await call('POST', '/uploads', { body: Buffer.from('x'), headers: octets })
      await gateway.stop()
      await assert.rejects(readFile(body.path), { code: 'ENOENT' })
    })

    it('outlive a restart while a job reads them that has not ended for good, and go with it', async () => {
      const paths: string[] = []
      for (let i = 0; i < 4; i++) paths.push((await call('POST', '/uploads', { body: Buffer.from('x'), headers: octets })).body.path as string)
      const reads = (job: string, i: number, changes: Partial<JobReport>): void => { node.reports.set(job, report(job, { inputs: [{ path: paths[i] as string, mediaType: 'text/csv', bytes: 1 }], ...changes })) }
      reads('running', 0, {})
      reads('resting', 1, { state: 'failed', resumableUntil: 5 })
      reads('failed', 2, { state: 'failed' })
      const there = async (): Promise<string[]> => (await readdir(join(folder, 'uploads')).catch(() => [])).toSorted()
      const names = (...which: number[]): string[] => which.map(i => basename(paths[i] as string)).toSorted()
      await gateway.stop()
      assert.deepEqual(await there(), names(0, 1))
      // As after a crash: what was there is all still there.
      for (const path of paths) await writeFile(path, 'x')
      const again = createGateway({ node, log: silentLog }, { host: '127.0.0.1', port: 0, token: TOKEN, roots: [], uploads: join(folder, 'uploads') })
      await again.start()
      try {
        assert.deepEqual(await there(), names(0, 1))
        reads('running', 0, { state: 'done' })
        node.emit({ type: 'state', job: 'running', at: 1, state: 'done' })
        while ((await there()).length > 1) await new Promise(setImmediate)
        assert.deepEqual(await there(), names(1))
      } finally {
        await again.stop()
      }
      assert.deepEqual(await there(), names(1))
    })
  })

  it('a taken port is an error that names it', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise(resolve => taken.once('listening', resolve))
    const { port } = taken.address() as AddressInfo
    const second = createGateway({ node, log: silentLog }, { host: '127.0.0.1', port, token: TOKEN, roots: [] })
    await assert.rejects(second.start(), (error: ApiError) => error.code === 'port-taken' && error.message.includes(String(port)))
    await second.stop()
    await new Promise(resolve => taken.close(resolve))
  })
})
