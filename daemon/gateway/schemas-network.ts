/** What the API takes and gives about the network (zod). Answers are described, not filtered. */
import { z } from 'zod'
import { ADDRESS_MAX, BAN_REASON_MAX, CURSOR_MAX, PAGE_MAX } from './constants.ts'
import { SORTS, type BanInfo, type Capabilities, type Discovery, type NodePage, type PeerInfo, type PostedPrice, type ProviderList, type Sort, type SpotPrices } from './network-types.ts'
import { describes, typeName, whole } from './schemas.ts'
import { BANDS } from './view/filter.ts'
import { AMOUNT_FORM, parseAmount } from './view/money.ts'

const UNIT = /^[A-Za-z][A-Za-z0-9-]{0,15}$/
const SUBJECT = /^((12D3KooW|16Uiu2|Qm)|did:key:z6Mk)[1-9A-HJ-NP-Za-km-z]+$/
const REACHABLE = /^(\/\S+\/p2p\/)?(12D3KooW|16Uiu2|Qm)[1-9A-HJ-NP-Za-km-z]+$/
const SORT_NAMES = SORTS.flatMap(sort => [sort, `${sort}_asc`, `${sort}_desc`] as const)

const amount = z.string().max(100).refine(text => parseAmount(text) != null, { error: `expected ${AMOUNT_FORM}` }).transform(text => parseAmount(text) as string)
const decimal = z.string().regex(/^\d{1,9}(\.\d{1,6})?$/, { error: 'expected a number, 0 or more' }).transform(Number)
const unit = z.string().regex(UNIT, { error: 'expected a short name like "credit"' })
const subject = z.string().max(200).regex(SUBJECT, { error: 'expected a peer id like 12D3KooW... or an operator like did:key:z6Mk...' })
const band = z.string().toLowerCase().pipe(z.enum(BANDS as ['lan', 'metro', 'regional', 'global', 'far'], { error: `expected one of ${BANDS.join(', ')}` }))

export const nodesQuery = z.strictObject({
  resource_type: z.string().regex(/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/, { error: 'expected the name of a resource, like CPU' }).optional().describe('CPU; nobody offers anything else yet'),
  converter: typeName.optional().describe('Converter id'),
  from: typeName.optional().describe('Media type or extension it converts from'),
  to: typeName.optional().describe('Media type or extension it converts to'),
  max_price: amount.optional().describe(`Per resource hour: ${AMOUNT_FORM}. Free nodes pass whatever their unit`),
  unit: unit.optional().describe('What max_price is counted in, by default this node\'s unit; alone: only nodes priced in it'),
  latency_band: band.optional().describe('This band or a nearer one: lan below 3 ms, metro 10 ms, regional 30 ms, global 100 ms, far beyond'),
  min_memory_gb: decimal.optional().describe('10^9 bytes of memory at least'),
  gpu_hours: decimal.optional().describe('Above 0 nobody passes: no node offers GPUs yet'),
  sort: z.enum(SORT_NAMES, { error: `expected one of ${SORTS.join(', ')}, or one of them with _asc or _desc` }).transform(text => text as Sort).optional().describe('peer (the default), price, speed of the wanted conversion, latency, or age of the advert; without _asc or _desc the best first'),
  limit: whole(PAGE_MAX).optional(),
  cursor: z.string().min(1).max(CURSOR_MAX).optional().describe('From the page before, with the same sort')
})

export const connectRequest = z.strictObject({
  address: z.string().max(ADDRESS_MAX).regex(REACHABLE, { error: 'expected a multiaddr like /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW..., or a peer id' }).describe('Multiaddr that ends in /p2p/<peer id>, or the peer id of a known node')
})

export const banRequest = z.strictObject({
  subject: subject.describe('Peer id, or the did:key of an operator: then all its nodes'),
  reason: z.string().min(1).max(BAN_REASON_MAX).optional()
})

export const banParams = z.strictObject({ subject })

export const priceRequest = z.strictObject({
  price: z.string().regex(/^(0|[1-9]\d{0,18})$/, { error: 'expected a whole number of 10^-6 units as text, like "0" or "250000"' }).describe('10^-6 of the unit per resource hour'),
  unit: unit.optional().describe('Without it the unit stays what it is')
})

const latency = z.enum([...BANDS, 'unknown'])
const ages = z.object({ median: z.number(), oldest: z.number() }).optional()
const freshness = z.object({ at: z.number().describe('UTC milliseconds'), known: z.number(), connected: z.number(), adverts: ages, prices: ages })
  .describe('How fresh the view is that this was made from; milliseconds since adverts and prices of other nodes were had')
const fact = { source: z.enum(['self', 'direct', 'dht', 'gossip', 'memory']), ageMs: z.number() }
const spread = { count: z.number(), min: z.string(), median: z.string(), max: z.string() }
const leftOut = z.number().describe('Rows left out for want of room')

export const nodePage = describes<NodePage>(z.looseObject({
  nodes: z.array(z.looseObject({
    peer: z.string(),
    operator: z.string(),
    self: z.boolean(),
    connected: z.boolean(),
    source: fact.source.describe('Where its advert came from'),
    ageMs: z.number().describe('Milliseconds since its advert was had'),
    addresses: z.array(z.string()),
    resourceTypes: z.array(z.string()),
    resources: z.object({ cores: z.number(), memoryBytes: z.number(), diskBytes: z.number(), slots: z.number() }),
    converters: z.array(z.looseObject({
      id: z.string(), version: z.string(), from: z.string(), to: z.string(), bytesPerSecond: z.number().describe('Measured, per slot; 0 if not'), pricePerGib: z.string().optional()
    })),
    speed: z.number().optional().describe('Measured bytes per second and slot of the conversion asked for; 0 if not measured'),
    price: z.string().describe('10^-6 of the unit per resource hour'),
    unit: z.string(),
    draining: z.boolean(),
    facts: z.object({ price: z.object(fact), load: z.object({ slots: z.number(), busy: z.number(), loopDelayMs: z.number().optional(), ...fact }).optional() }).describe('Origin and age of what changes between adverts'),
    rttMs: z.number().optional().describe('Measured round trip'),
    latencyBand: latency,
    policy: z.object({ hours: z.array(z.array(z.number())).describe('Minutes of the UTC week, from Monday 00:00'), maxLeases: z.number(), everyone: z.boolean(), open: z.boolean().describe('Within its hours now') })
  })),
  conversion: z.object({ from: z.string().optional(), to: z.string().optional(), converter: z.string().optional() }).optional().describe('What was asked for, in media types'),
  total: z.number().describe('Nodes that pass the filter, on all pages'),
  cursor: z.string().optional(),
  view: freshness
}).describe('Nodes of the network'))

export const discovery = describes<Discovery>(z.looseObject({
  endpoint: z.string(),
  options: z.array(z.looseObject({
    provider: z.string().describe('did:key of the operator'),
    node: z.string(),
    resource_type: z.string(),
    price: z.string().describe('10^-6 of the unit per resource hour'),
    unit: z.string(),
    price_per_hour: z.string(),
    latency_band: latency,
    rtt_ms: z.number().optional(),
    cpu_cores: z.number(),
    slots: z.number(),
    memory_gb: z.number(),
    converters: z.array(z.looseObject({ converter: z.string(), version: z.string(), from: z.string(), to: z.string(), bytes_per_second: z.number(), price_per_gib: z.string().optional() })),
    age_ms: z.number(),
    price_age_ms: z.number()
  })),
  total: z.number(),
  cursor: z.string().optional(),
  view: freshness
}))

export const providerList = describes<ProviderList>(z.looseObject({
  endpoint: z.string(),
  unified_access: z.boolean(),
  providers: z.array(z.looseObject({
    name: z.string(),
    operator: z.string(),
    type: z.string(),
    status: z.enum(['live', 'not_connected', 'not_offering']),
    hosts: z.number(),
    connected: z.number(),
    available_resources: z.number().describe('Slots that take work and are not known to be busy'),
    resource_types: z.array(z.string()),
    cpu_cores: z.number(),
    memory_gb: z.number(),
    converters: z.number(),
    price_range: z.string(),
    prices: z.array(z.object({ unit: z.string(), ...spread })),
    payment: z.array(z.string()).describe('Empty: prices are posted, nothing is charged yet'),
    latency_band: latency,
    verification: z.string(),
    peers: z.array(z.string()),
    age_ms: z.number()
  })),
  left_out: leftOut,
  view: freshness
}))

const profiles = z.record(z.string(), z.looseObject({
  nodes: z.number(),
  cpu_cores: z.number(),
  slots: z.number(),
  memory_gb: z.number(),
  typical_price: z.string().optional(),
  converters: z.array(z.looseObject({
    converter: z.string(), from: z.string(), to: z.string(), nodes: z.number(), measured: z.number(), bytes_per_second: z.object({ min: z.number(), median: z.number(), max: z.number() }).optional()
  }))
}))

export const capabilityList = describes<Capabilities>(z.looseObject({
  endpoint: z.string(),
  description: z.string(),
  resource_profiles: profiles,
  this_node: z.object({ peer: z.string(), resource_profiles: profiles }).optional(),
  latency_bands: z.record(z.string(), z.string()),
  left_out: leftOut,
  view: freshness
}))

export const spotPrices = describes<SpotPrices>(z.looseObject({
  unit: z.string().describe('The unit of p2p_market: this node\'s'),
  p2p_market: z.record(z.string(), z.number()).describe('Median price per hour by resource, in whole units; for comparing, not for paying'),
  traditional: z.record(z.string(), z.number()).describe('Empty: nothing is known of prices outside this network'),
  resources: z.array(z.looseObject({ resource_type: z.string(), unit: z.string(), ...spread })),
  converters: z.array(z.looseObject({ converter: z.string(), from: z.string(), to: z.string(), unit: z.string(), ...spread, per_gib: z.object(spread).optional() })),
  left_out: leftOut,
  view: freshness
}).describe('Amounts are 10^-6 of their unit, per resource hour or per gibibyte; different units are never put together'))

export const peerInfo = describes<PeerInfo>(z.looseObject({
  peer: z.string(),
  operator: z.string(),
  agent: z.string(),
  roles: z.array(z.string()),
  address: z.string(),
  direction: z.enum(['inbound', 'outbound']),
  since: z.number().describe('UTC milliseconds'),
  rttMs: z.number().optional(),
  band: latency
}))

export const peerList = z.object({ peers: z.array(peerInfo) })

export const banInfo = describes<BanInfo>(z.looseObject({ subject: z.string(), reason: z.string(), since: z.number().describe('UTC milliseconds') }))

export const banList = z.object({ bans: z.array(banInfo) })

export const postedPrice = describes<PostedPrice>(z.looseObject({ price: z.string(), unit: z.string() }))
