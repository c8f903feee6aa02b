/** What the DHT says about one peer. */
import type { PeerId } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import type { Advert } from './index.ts'
import { recordKey } from './keys.ts'
import { openRecord, type AdvertRecord } from './records.ts'

/**
 * The newest valid record of a peer that the DHT gives, if any.
 *
 * Values are read from the single answers: kad-dht's own result comes only after it corrected everybody who had an older
 * one, and fails as a whole if one of them refuses.
 */
export async function fetchRecord (dht: Pick<KadDHT, 'get'>, peer: PeerId, { network, now }: { network: string, now: () => number }, signal: AbortSignal): Promise<AdvertRecord | undefined> {
  let best: AdvertRecord | undefined
  const consider = async (value: Uint8Array): Promise<void> => {
    try {
      const { record } = await openRecord(value, { network, now: now() })
      if (record.peer === peer.toString() && record.sequence > (best?.sequence ?? -1)) best = record
    } catch {
      // An answer that is no valid record is no answer.
    }
  }
  try {
    for await (const event of dht.get(recordKey(peer), { signal })) {
      if (event.name === 'VALUE') await consider(event.value)
      else if (event.name === 'PEER_RESPONSE' && event.record != null) await consider(event.record.value)
    }
  } catch (error) {
    if (best == null && !isExpected(error)) throw error
  }
  return best
}

/** Not found, out of time, or somebody refused a correction: a missing record means nothing. */
function isExpected (error: unknown): boolean {
  return ['NotFoundError', 'AbortError', 'TimeoutError', 'QueryError', 'QueryAbortedError'].includes((error as Error).name)
}

/** An advert as far as a record tells: no resources, speeds, addresses, policy and delegation. */
export function viewOfRecord (record: AdvertRecord): Advert {
  const { network, peer, operator, sequence, issued, expires, price, unit, draining } = record
  return {
    version: 1,
    network,
    peer,
    operator,
    delegation: new Uint8Array(),
    addresses: [],
    sequence,
    issued,
    expires,
    resources: { cores: 0, memoryBytes: 0, diskBytes: 0, slots: 0 },
    converters: record.converters.map(([id, version, from, to]) => ({ id, version, from, to, bytesPerSecond: 0 })),
    price,
    unit,
    roles: [],
    draining,
    // Not told: what it refuses it refuses.
    policy: { hours: [], maxLeases: 0, everyone: false }
  }
}
