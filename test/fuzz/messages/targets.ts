/** Every decoder that takes bytes of strangers. */
import type { Stream } from '@libp2p/interface'
import { mockMuxer, multiaddrConnectionPair } from '@libp2p/utils'
import { converterById, listConverters } from '../../../daemon/block-convert/index.ts'
import { ConfigError } from '../../../daemon/config/errors.ts'
import { decodeJoinString, encodeJoinString, validateConfig } from '../../../daemon/config/index.ts'
import { EXCHANGE_BYTES_MAX } from '../../../daemon/dht-registry/constants.ts'
import { ExchangeError } from '../../../daemon/dht-registry/errors.ts'
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse, REQUEST, STATUS } from '../../../daemon/dht-registry/messages.ts'
import { HELLO_BYTES_MAX } from '../../../daemon/network/constants.ts'
import { DIALBACK_BYTES_MAX } from '../../../daemon/network/dialback-constants.ts'
import { DialbackError } from '../../../daemon/network/dialback-errors.ts'
import { decodeDialbackRequest, decodeDialbackResponse, encodeDialbackRequest, encodeDialbackResponse } from '../../../daemon/network/dialback-messages.ts'
import { planDialback } from '../../../daemon/network/dialback-plan.ts'
import { HelloError } from '../../../daemon/network/errors.ts'
import { guardLengths, MessageLengthError, messagesOf } from '../../../daemon/network/framing.ts'
import { decodeHello, decodeVerdict, encodeHello, encodeVerdict, VERDICT } from '../../../daemon/network/messages.ts'
import { DETAILS_BYTES_MAX, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, PARAMETERS_BYTES_MAX } from '../../../daemon/task-protocol/constants.ts'
import { ProtocolError } from '../../../daemon/task-protocol/errors.ts'
import { FrameParser } from '../../../daemon/task-protocol/frames.ts'
import { judgeOffer } from '../../../daemon/task-protocol/judge.ts'
import { leaseMessage, type LeaseMessage, type WireOffer, type WireOrder, type WireResult } from '../../../daemon/task-protocol/messages.ts'
import { failureOutcome } from '../../../daemon/task-protocol/outcome.ts'
import { taskMessage } from '../../../daemon/task-protocol/task-messages.ts'
import { creditFrame, DATA_FRAME, endFrame, header, MESSAGE_FRAME, TransferParser } from '../../../daemon/task-protocol/transfer-parser.ts'
import { Reader } from '../../../daemon/task-protocol/wire.ts'
import { CanonicalError, decodeCanonical, encodeCanonical } from '../../../daemon/trust/index.ts'
import { below, type Random } from './mutate.ts'
import type { Target } from './run.ts'
import { signedTargets } from './signed.ts'

const PEER = '12D3KooWRBy97UB99e3J6hiPesre1MZeuNQvfan4gBziswrRJsNK'
const digest = new Uint8Array(32).fill(9)
const signature = new Uint8Array(64).fill(8)

const offer: WireOffer = { offer: 1, job: 'bafyjob', converter: 'table/csv-ndjson', version: '1.0.0', parameters: encodeCanonical({ header: true, columns: ['a', 'b'] }), deadline: 1_780_000_000_000, outputBytes: 1 << 20, price: '250000', unit: 'credit' }
const order: WireOrder = { offer: 1, block: 3, attempt: 1, size: 5, digest, slice: encodeCanonical({ from: 0, to: 5 }), bytes: Uint8Array.of(1, 2, 3, 4, 5) }
const good: WireResult = { offer: 1, block: 3, attempt: 1, digest, size: 3, bytes: Uint8Array.of(7, 8, 9), units: 2, cpuMs: 3, wallMs: 4 }
const bad: WireResult = { offer: 1, block: 4, attempt: 2, digest: new Uint8Array(), size: 0, bytes: new Uint8Array(), cpuMs: 0, wallMs: 0, failure: { reason: 'conversion', message: 'no', code: 'bad-value', details: encodeCanonical({ row: 7 }), retryAfterMs: 5 } }

const leases: LeaseMessage[] = [
  { type: 'request', incarnation: 3, counter: 1 },
  { type: 'grant', incarnation: 3, counter: 1, processSlots: 2, inlineSlots: 8, heartbeatMs: 500, inlineBytes: 65_536 },
  { type: 'refuse', reason: 'busy', message: 'later', retryAfterMs: 1000 },
  { type: 'offer', ...offer },
  { type: 'accept-offer', offer: 1, pool: 'inline' },
  { type: 'refuse-offer', offer: 1, reason: 'policy', message: 'no', retryAfterMs: 0 },
  { type: 'withdraw', offer: 1 },
  { type: 'orders', orders: [order, { ...order, block: 4 }], signature },
  { type: 'results', sequence: 1, results: [good, bad], signature },
  { type: 'ack', sequence: 1 },
  { type: 'cancel', attempts: [{ offer: 1, block: 3, attempt: 1 }] },
  { type: 'slots', processSlots: 1, inlineSlots: 1, draining: true },
  { type: 'beat', sequence: 7, active: 2, loopDelayMs: 3, progress: [{ offer: 1, block: 3, attempt: 1, done: 100 }] }
]
const leaseCorpus = leases.map(message => Uint8Array.from(leaseMessage.encode(message)))

const taskCorpus = [
  taskMessage.encode({ type: 'order', incarnation: 3, counter: 1, offer, order: { ...order, bytes: new Uint8Array() }, signature, trace: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }),
  taskMessage.encode({ type: 'accept' }),
  taskMessage.encode({ type: 'refuse', reason: 'busy', message: 'later', retryAfterMs: 1 }),
  taskMessage.encode({ type: 'output', size: 5 }),
  taskMessage.encode({ type: 'result', result: { ...good, bytes: new Uint8Array() }, signature, chunks: digest })
].map(bytes => Uint8Array.from(bytes))

const delimited = (message: Uint8Array): Uint8Array => Uint8Array.from(message.byteLength < 128 ? [message.byteLength, ...message] : [(message.byteLength & 127) | 128, message.byteLength >> 7, ...message])
const joined = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts))

/** In pieces, as a stream hands them over. */
function * pieces (bytes: Uint8Array, random: Random): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.byteLength;) {
    const length = 1 + below(random, below(random, 2) === 0 ? 8 : bytes.byteLength)
    yield bytes.subarray(at, at + length)
    at += length
  }
}

function leaseFrames (bytes: Uint8Array, random: Random): void {
  const parser = new FrameParser(FRAME_BYTES_MAX, (buffer, at, end) => { leaseMessage.read(new Reader(buffer, at, end)) })
  for (const piece of pieces(bytes, random)) parser.push(piece)
}

function transferFrames (bytes: Uint8Array, random: Random): void {
  const parser = new TransferParser({ onMessage: message => { taskMessage.decode(message) }, onData: () => {}, onEnd: () => {}, onCredit: () => {} })
  for (const piece of pieces(bytes, random)) parser.push(piece)
}

/** The guard of streams that a library reads: it resets them, or lets everything pass. */
function guarded (bytes: Uint8Array, random: Random): void {
  class Fake extends EventTarget { abort (error: Error): void { this.dispatchEvent(Object.assign(new Event('aborted'), { error })) } }
  const stream = new Fake()
  let reason: Error | undefined
  stream.addEventListener('aborted', event => { reason ??= (event as Event & { error: Error }).error })
  guardLengths(stream as unknown as Stream, 300)
  for (const data of pieces(bytes, random)) {
    stream.dispatchEvent(Object.assign(new Event('message'), { data }))
    if (reason != null) throw reason
  }
}

/** Streams of one connection: libp2p's pairs have a port of their own each, of which there are 65,536. */
const STREAMS_OF_A_PAIR = 1000

type Muxer = ReturnType<ReturnType<typeof mockMuxer>['createStreamMuxer']>
let muxers: { near: Muxer, far: Muxer, left: number } | undefined

async function streams (): Promise<[Stream, Stream]> {
  if (muxers == null || muxers.left-- === 0) {
    await muxers?.near.close()
    const [near, far] = multiaddrConnectionPair()
    muxers = { near: mockMuxer().createStreamMuxer(near), far: mockMuxer().createStreamMuxer(far), left: STREAMS_OF_A_PAIR }
  }
  const { near, far } = muxers
  const arrived = Promise.withResolvers<Stream>()
  far.addEventListener('stream', event => { arrived.resolve(event.detail) }, { once: true })
  return [await near.createStream(), await arrived.promise]
}

/** Messages until the stream ends. */
async function framed (bytes: Uint8Array): Promise<void> {
  const [near, far] = await streams()
  // Not one with a timer, which would keep all of this until it fires: hangs are for whoever watches the run.
  const { signal } = new AbortController()
  const messages = messagesOf(far, HELLO_BYTES_MAX)
  try {
    near.send(bytes)
    const closing = near.close({ signal }).catch(() => { /* the other end reset it: told by the read below */ })
    try {
      for (;;) await messages.read({ signal })
    } finally {
      far.abort(new Error('read'))
      await closing
    }
  } catch (error) {
    // What every stream ends with; the rest is for the caller to judge.
    if ((error as Error).name !== 'UnexpectedEOFError') throw error
  }
}

/** A worker's judgement of what strangers want converted: always a verdict. */
function judged (parameters: Uint8Array): void {
  const converters = { find: (id: string) => converterById(id) }
  for (const converter of ['table/csv-ndjson', 'table/csv-parquet']) judgeOffer(converters as never, undefined, { ...offer, converter, parameters })
}

const secret = Buffer.alloc(32, 5).toString('base64url')
const joins = [encodeJoinString({ network: 'net-1', secret, addresses: [`/ip4/192.0.2.1/tcp/4001/p2p/${PEER}`] }), encodeJoinString({ network: 'open', addresses: [] })].map(text => Buffer.from(text))
const JOIN_PREFIX = 'weft1-'
/** Mutated inside its base64url: otherwise hardly any would be JSON. */
const joinContents = joins.map(bytes => Uint8Array.from(Buffer.from(bytes.toString().slice(JOIN_PREFIX.length), 'base64url')))
const joinString = (content: Uint8Array): string => JOIN_PREFIX + Buffer.from(content).toString('base64url')

const nonce = new Uint8Array(32).fill(4)
const asked = { addresses: ['/ip4/192.0.2.7/tcp/4001', `/ip4/127.0.0.1/tcp/1/p2p/${PEER}`, '/ip6/2001:db8::1/tcp/65535', '/dns4/example.org/tcp/1'] }

/** Whole, so that a run of one decoder costs no other's preparation but its own. */
export async function allTargets (): Promise<Target[]> {
  if (listConverters().length === 0) throw new Error('no converters: offers cannot be judged')
  return [
    { name: 'hello', maxBytes: HELLO_BYTES_MAX, corpus: [encodeHello({ version: 1, network: 'net', agent: 'weft/0.1.0', roles: ['worker', 'requester'], nonce, delegation: new Uint8Array(350).fill(1) }), encodeHello({ version: 1, network: 'n', agent: '', roles: [], nonce, delegation: new Uint8Array() })], decode: decodeHello, errors: [HelloError] },
    { name: 'verdict', maxBytes: HELLO_BYTES_MAX, corpus: [encodeVerdict({ code: VERDICT.ok, reason: '', proof: nonce }), encodeVerdict({ code: VERDICT.network, reason: 'another network', proof: new Uint8Array() })], decode: decodeVerdict, errors: [HelloError] },
    { name: 'framing', maxBytes: HELLO_BYTES_MAX + 8, corpus: [joined(delimited(Uint8Array.of(1, 2, 3)), delimited(new Uint8Array(200)))], decode: framed, errors: [MessageLengthError], names: ['InvalidDataLengthError', 'InvalidDataLengthLengthError', 'StreamBufferError'] },
    { name: 'guard', maxBytes: 4096, corpus: [joined(delimited(Uint8Array.of(1, 2, 3)), delimited(new Uint8Array(200)), delimited(new Uint8Array()))], decode: guarded, errors: [MessageLengthError] },
    { name: 'advert-request', maxBytes: EXCHANGE_BYTES_MAX, corpus: [encodeRequest({ type: REQUEST.ask, advert: new Uint8Array() }), encodeRequest({ type: REQUEST.push, advert: new Uint8Array(500).fill(3) })], decode: decodeRequest, errors: [ExchangeError] },
    { name: 'advert-response', maxBytes: EXCHANGE_BYTES_MAX, corpus: [encodeResponse({ status: STATUS.ok, advert: new Uint8Array(500).fill(3), reason: '' }), encodeResponse({ status: STATUS.refused, advert: new Uint8Array(), reason: 'stale: of a peer' })], decode: decodeResponse, errors: [ExchangeError] },
    { name: 'dialback-request', maxBytes: DIALBACK_BYTES_MAX, corpus: [encodeDialbackRequest(asked), encodeDialbackRequest({ addresses: [] })], decode: bytes => planDialback('/ip4/192.0.2.7/tcp/50000', PEER, decodeDialbackRequest(bytes).addresses), errors: [DialbackError] },
    { name: 'dialback-response', maxBytes: DIALBACK_BYTES_MAX, corpus: [encodeDialbackResponse({ status: 0, reason: '', observed: '/ip4/192.0.2.7/tcp/50000', now: 1_780_000_000_000, outcomes: [{ outcome: 'reachable', reason: '' }, { outcome: 'not-tried', reason: 'another IP address' }] }), encodeDialbackResponse({ status: 1, reason: 'busy', observed: '', now: 0, outcomes: [] })], decode: decodeDialbackResponse, errors: [DialbackError] },
    { name: 'lease-message', maxBytes: FRAME_BYTES_MAX, corpus: leaseCorpus, decode: leaseMessage.decode, errors: [ProtocolError] },
    { name: 'lease-frames', maxBytes: 64 << 10, corpus: [joined(...leaseCorpus.map(delimited)), ...leaseCorpus.map(delimited)], decode: leaseFrames, errors: [ProtocolError] },
    { name: 'task-message', maxBytes: MESSAGE_BYTES_MAX, corpus: taskCorpus, decode: taskMessage.decode, errors: [ProtocolError] },
    { name: 'transfer-frames', maxBytes: 64 << 10, corpus: [joined(...taskCorpus.flatMap(message => [header(MESSAGE_FRAME, message.byteLength), message]), header(DATA_FRAME, 5), Uint8Array.of(1, 2, 3, 4, 5), endFrame(digest, 5), creditFrame(65_536))], decode: transferFrames, errors: [ProtocolError] },
    { name: 'canonical', maxBytes: 64 << 10, corpus: [offer.parameters, encodeCanonical({ a: [1, -1, 2 ** 40, 1.5, null, true], b: { c: 'text', d: new Uint8Array(40) }, e: [[[[]]]] }), encodeCanonical('x'), encodeCanonical(0)], decode: bytes => decodeCanonical(bytes), errors: [CanonicalError] },
    { name: 'offer-parameters', maxBytes: PARAMETERS_BYTES_MAX, corpus: [offer.parameters, encodeCanonical({ delimiter: ';', quote: '"', types: { a: 'BIGINT' } }), encodeCanonical({})], decode: judged, errors: [] },
    { name: 'failure-details', maxBytes: DETAILS_BYTES_MAX, corpus: [encodeCanonical({ row: 7, column: 'a' }), encodeCanonical([1])], decode: details => failureOutcome({ block: 1, attempt: 1 }, { reason: 'conversion', message: Buffer.from(details).toString('latin1'), code: Buffer.from(details).toString('utf8').slice(0, 200), details, retryAfterMs: 0 }), errors: [] },
    { name: 'join-string', maxBytes: 9000, corpus: joins, decode: bytes => decodeJoinString(Buffer.from(bytes).toString('latin1')), errors: [ConfigError] },
    { name: 'join-content', maxBytes: 6000, corpus: joinContents.slice(0, 1), decode: bytes => validateConfig({ bootstrap: [joinString(bytes)] }, 'the join string'), errors: [ConfigError] },
    ...await signedTargets()
  ]
}
