/**
 * The order of nodes, and cursors in it. A cursor holds the place of the last node of a page, not its number: nodes that come, go or change
 * between two pages move only themselves. Pure.
 */
import { ApiError } from '../errors.ts'
import { SORTS, type NodeFilter, type NodeView, type Sort, type SortKey } from '../network-types.ts'
import { isWanted, type Conversion } from './filter.ts'

type Part = number | string

/** Where a node stands: `group` in one direction always (so that what is not known comes last), `value` in that of the sort, then the peer. */
interface Place { group: Part[], value: Part[], peer: string }

export interface Order {
  sort: Sort
  placeOf: (node: NodeView) => Place
  compare: (a: Place, b: Place) => number
  /** @throws ApiError 400 */
  decode: (cursor: string) => Place
  encode: (place: Place) => string
}

/** How many parts the places of a sort have: groups and values. */
const SHAPES: Record<SortKey, { group: number, value: number }> = {
  peer: { group: 0, value: 0 }, price: { group: 2, value: 2 }, speed: { group: 1, value: 1 }, latency: { group: 1, value: 1 }, age: { group: 0, value: 1 }
}

/** The order a filter asks for. `at` and `unit` as in the view. */
export function orderOf (filter: NodeFilter, { at, unit }: { at: number, unit: string }): Order {
  const sort = filter.sort ?? 'peer'
  const [key, direction = key === 'speed' ? 'desc' : 'asc'] = sort.split('_') as [SortKey, 'asc' | 'desc' | undefined]
  const sign = direction === 'desc' ? -1 : 1
  const shape = SHAPES[key]
  const unitOfPrices = filter.unit ?? unit
  return {
    sort,
    placeOf: node => ({ ...placeBy(key, node, filter, at, unitOfPrices), peer: node.peer }),
    // Peers have a direction only where nothing else has one.
    compare: (a, b) => compareParts(a.group, b.group) || sign * compareParts(a.value, b.value) || (key === 'peer' ? sign : 1) * comparePart(a.peer, b.peer),
    encode: ({ group, value, peer }) => Buffer.from(JSON.stringify([sort, ...group, ...value, peer])).toString('base64url'),
    decode: cursor => {
      const [of, ...parts] = partsOf(cursor)
      const peer = parts.pop()
      if (typeof of === 'string' && of !== sort && SORTS.some(known => of.startsWith(known))) throw wrongCursor(`is of a list sorted by ${of}, and this one is by ${sort}`)
      if (of !== sort || typeof peer !== 'string' || parts.length !== shape.group + shape.value) throw wrongCursor('is none that this API gave')
      return { group: parts.slice(0, shape.group), value: parts.slice(shape.group), peer }
    }
  }
}

function placeBy (key: SortKey, node: NodeView, filter: NodeFilter, at: number, unit: string): Pick<Place, 'group' | 'value'> {
  switch (key) {
    case 'peer': return { group: [], value: [] }
    // Units are not compared: one after the other, the asked one first. What is free is free in that one, too.
    case 'price': return { group: node.price === '0' || node.unit === unit ? [0, unit] : [1, node.unit], value: [node.price.length, node.price] }
    case 'speed': {
      const speed = speedOf(node, filter)
      return { group: [speed > 0 ? 0 : 1], value: [speed] }
    }
    case 'latency': return { group: [node.rttMs == null ? 1 : 0], value: [node.rttMs ?? 0] }
    // The time itself: ages differ with every look.
    case 'age': return { group: [], value: [node.ageMs - at] }
  }
}

/** Measured bytes per second and slot of the wanted conversion, or of the best one where none is wanted; 0 = not measured. */
export function speedOf (node: NodeView, filter: Conversion): number {
  return node.converters.reduce((best, converter) => isWanted(converter, filter) ? Math.max(best, converter.bytesPerSecond) : best, 0)
}

function partsOf (cursor: string): Part[] {
  let parts: unknown
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString())
  } catch {
    throw wrongCursor('is none that this API gave')
  }
  if (!Array.isArray(parts) || !parts.every(part => typeof part === 'string' || typeof part === 'number')) throw wrongCursor('is none that this API gave')
  return parts as Part[]
}

const wrongCursor = (why: string): ApiError => new ApiError(400, 'bad-request', `querystring 'cursor': it ${why}; leave it out to begin anew`, { field: 'cursor', in: 'querystring' })

function compareParts (a: Part[], b: Part[]): number {
  for (const [index, part] of a.entries()) {
    const order = comparePart(part, b[index] as Part)
    if (order !== 0) return order
  }
  return 0
}

/** Numbers before texts; a forged cursor may have either anywhere. */
function comparePart (a: Part, b: Part): number {
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}
