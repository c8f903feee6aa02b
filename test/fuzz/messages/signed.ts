/** Signed things: mutated as bytes, and inside a signature that holds. */
import { createPrivateKey, sign } from 'node:crypto'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { RecordEnvelope } from '@libp2p/peer-record'
import { openAdvert, sealAdvert } from '../../../daemon/dht-registry/adverts.ts'
import { ADVERT_BYTES_MAX, ADVERT_DOMAIN, ADVERT_VALIDITY_MS, RECORD_BYTES_MAX, RECORD_DOMAIN } from '../../../daemon/dht-registry/constants.ts'
import { AdvertError } from '../../../daemon/dht-registry/errors.ts'
import type { Advert } from '../../../daemon/dht-registry/index.ts'
import { contentId } from '../../../daemon/dht-registry/keys.ts'
import { advertSelectors, openRecord, sealRecord } from '../../../daemon/dht-registry/records.ts'
import { openBulletin, peekBulletin, sealBulletin } from '../../../daemon/market/bulletin.ts'
import { BULLETIN_BYTES_MAX, BULLETIN_DOMAIN, BULLETIN_VALIDITY_MS } from '../../../daemon/market/constants.ts'
import { BulletinError } from '../../../daemon/market/errors.ts'
import type { Bulletin } from '../../../daemon/market/index.ts'
import { CanonicalError, DAG_CBOR_PAYLOAD, decodeCanonical, DelegationError, DELEGATION_BYTES_MAX, didOf, encodeCanonical, EnvelopeError, open, seal, verifyDelegation } from '../../../daemon/trust/index.ts'
import { below, mutated, mutatedValue, pick, type Random } from './mutate.ts'
import type { Target } from './run.ts'

const NETWORK = 'fuzz'
const NOW = Date.UTC(2026, 5, 1)
const OPTIONS = { network: NETWORK, now: NOW }

/** A sealed thing: the bytes, whose key signed them, under which domain. */
interface Sealed { name: string, bytes: Uint8Array, key: PrivateKey, domain: string, maxBytes: number, decode: (bytes: Uint8Array) => unknown, errors: Target['errors'] }

export async function signedTargets (): Promise<Target[]> {
  const [node, operator] = await Promise.all([generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(1)), generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(2))])
  const peer = peerIdFromPrivateKey(node).toString()
  const delegation = await seal(operator, 'weft/delegation/1', DAG_CBOR_PAYLOAD, encodeCanonical({ v: 1, operator: didOf(operator.publicKey), peer, issued: NOW, expires: NOW + 86_400_000 }))
  const advert: Advert = {
    version: 1, network: NETWORK, peer, operator: didOf(operator.publicKey), delegation, addresses: ['/ip4/127.0.0.1/tcp/4001', `/ip6/::1/tcp/4001/p2p/${peer}`], sequence: NOW, issued: NOW, expires: NOW + ADVERT_VALIDITY_MS,
    resources: { cores: 2, memoryBytes: 1e9, diskBytes: 1e10, slots: 2 },
    converters: [{ id: 'table/csv-parquet', version: '1.0.0', from: 'text/csv', to: 'application/vnd.apache.parquet', bytesPerSecond: 5 }, { id: 'archive/gzip', version: '1', from: 'application/octet-stream', to: 'application/gzip', bytesPerSecond: 0 }],
    price: '250000', unit: 'credit', roles: ['worker', 'requester'], draining: false, policy: { hours: [[1080, 1920]], maxLeases: 8, everyone: true }
  }
  const sealedAdvert = await sealAdvert(node, advert)
  const sealedRecord = await sealRecord(node, advert, await contentId(sealedAdvert))
  const bulletin: Bulletin = { version: 1, network: NETWORK, peer, sequence: NOW, issued: NOW, expires: NOW + BULLETIN_VALIDITY_MS, price: '250000', unit: 'credit', draining: false, load: { slots: 2, busy: 1, loopDelayMs: 3 } }
  const sealedBulletin = await sealBulletin(node, bulletin)
  const select = advertSelectors()['weft-advert'] as (key: Uint8Array, records: Uint8Array[]) => Promise<number>
  const sealed: Sealed[] = [
    { name: 'delegation', bytes: delegation, key: operator, domain: 'weft/delegation/1', maxBytes: DELEGATION_BYTES_MAX, decode: async bytes => await verifyDelegation(bytes, peer, NOW), errors: [DelegationError, EnvelopeError, CanonicalError] },
    { name: 'advert', bytes: sealedAdvert, key: node, domain: ADVERT_DOMAIN, maxBytes: ADVERT_BYTES_MAX, decode: async bytes => await openAdvert(bytes, OPTIONS), errors: [AdvertError] },
    {
      name: 'record',
      bytes: sealedRecord,
      key: node,
      domain: RECORD_DOMAIN,
      maxBytes: RECORD_BYTES_MAX,
      decode: async bytes => {
        // The selector sees what no validator has: it must take anything.
        await select(new Uint8Array(), [bytes])
        return await openRecord(bytes, OPTIONS)
      },
      errors: [AdvertError]
    },
    {
      name: 'bulletin',
      bytes: sealedBulletin,
      key: node,
      domain: BULLETIN_DOMAIN,
      maxBytes: BULLETIN_BYTES_MAX,
      decode: async bytes => {
        // Read before it is verified: whatever that says, the rest is tried, too.
        try {
          peekBulletin(bytes)
        } catch (error) {
          if (!(error instanceof BulletinError)) throw error
        }
        return await openBulletin(bytes, OPTIONS)
      },
      errors: [BulletinError]
    }
  ]
  return await Promise.all(sealed.flatMap(one => [asBytes(one), signed(one)]))
}

/** The envelope's own bytes mutated: nearly all end at the signature, or before. */
async function asBytes ({ name, bytes, maxBytes, decode, errors }: Sealed): Promise<Target> {
  return { name: `${name}-envelope`, maxBytes: maxBytes + 1, corpus: [bytes], decode, errors }
}

/** The payload mutated, as a value mostly and as bytes sometimes, and signed: what a member that means ill can send. */
async function signed ({ name, bytes, key, domain, maxBytes, decode, errors }: Sealed): Promise<Target> {
  const { payload } = await open(bytes, domain, { maxBytes })
  const value = decodeCanonical(payload)
  const sealQuickly = sealer(key)
  const make = async (random: Random): Promise<Uint8Array | undefined> => {
    const wrong = below(random, 3) === 0 ? mutated(random, payload, [payload], maxBytes) : encoded(mutatedValue(random, value))
    if (wrong == null) return undefined
    return sealQuickly(below(random, 50) === 0 ? 'weft/other/1' : domain, below(random, 50) === 0 ? pick(random, [new Uint8Array(), Uint8Array.of(0x71, 0x71)]) : DAG_CBOR_PAYLOAD, wrong)
  }
  // The second is sealed as the mutants are: if that were wrong, every one of them would end at its signature.
  return { name: `${name}-signed`, maxBytes, corpus: [bytes, sealQuickly(domain, DAG_CBOR_PAYLOAD, payload)], decode, errors, make }
}

/** DER in front of a raw Ed25519 seed (PKCS#8, RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** What `seal` does, with a key that is prepared once: libp2p prepares it anew for each signature, which would be most of the time of a run. */
function sealer (key: PrivateKey): (domain: string, payloadType: Uint8Array, payload: Uint8Array) => Uint8Array {
  const object = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, key.raw.subarray(0, 32)]), format: 'der', type: 'pkcs8' })
  return (domain, payloadType, payload) => {
    const parts = [Buffer.from(domain), payloadType, payload].flatMap(part => [length(part.byteLength), part])
    return new RecordEnvelope({ publicKey: key.publicKey, payloadType, payload, signature: sign(null, Buffer.concat(parts), object) }).marshal()
  }
}

/** As a varint. */
function length (value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128)
  return Uint8Array.from([...bytes, rest])
}

function encoded (value: unknown): Uint8Array | undefined {
  try {
    return encodeCanonical(value)
  } catch (error) {
    if (error instanceof CanonicalError) return undefined
    throw error
  }
}
