/** Signed adverts to break. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ADVERT_VALIDITY_MS } from '../../../daemon/dht-registry/constants.ts'
import type { Advert } from '../../../daemon/dht-registry/index.ts'
import { DAG_CBOR_PAYLOAD, didOf, encodeCanonical, seal } from '../../../daemon/trust/index.ts'

export const NETWORK = 'test'
export const NOW = Date.UTC(2026, 5, 1)

export interface Signer { node: PrivateKey, operator: PrivateKey, peer: string }

export async function signer (): Promise<Signer> {
  const node = await generateKeyPair('Ed25519')
  return { node, operator: await generateKeyPair('Ed25519'), peer: peerIdFromPrivateKey(node).toString() }
}

export async function delegation ({ operator, peer }: Signer, issued = NOW, expires = NOW + 86_400_000): Promise<Uint8Array> {
  return await seal(operator, 'weft/delegation/1', DAG_CBOR_PAYLOAD, encodeCanonical({ v: 1, operator: didOf(operator.publicKey), peer, issued, expires }))
}

export async function advertOf (who: Signer, fields: Partial<Advert> = {}): Promise<Advert> {
  return {
    version: 1,
    network: NETWORK,
    peer: who.peer,
    operator: didOf(who.operator.publicKey),
    delegation: await delegation(who),
    addresses: ['/ip4/127.0.0.1/tcp/4001'],
    sequence: NOW,
    issued: NOW,
    expires: NOW + ADVERT_VALIDITY_MS,
    resources: { cores: 2, memoryBytes: 1e9, diskBytes: 1e10, slots: 2 },
    converters: [{ id: 'table/csv-parquet', version: '1.0.0', from: 'text/csv', to: 'application/vnd.apache.parquet', bytesPerSecond: 5 }],
    price: '0',
    unit: 'credit',
    roles: ['worker'],
    draining: false,
    policy: { hours: [[1080, 1920]], maxLeases: 8, everyone: true },
    ...fields
  }
}

/** Seals any value as if it were an advert or record. */
export async function forge (who: Signer, domain: string, value: unknown): Promise<Uint8Array> {
  return await seal(who.node, domain, DAG_CBOR_PAYLOAD, encodeCanonical(value))
}

export async function forgeBytes (who: Signer, domain: string, payload: Uint8Array): Promise<Uint8Array> {
  return await seal(who.node, domain, DAG_CBOR_PAYLOAD, payload)
}
