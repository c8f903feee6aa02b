/** Remembered members as one entry of the node's database. */
import type { Level } from 'level'
import { NEIGHBOUR_ADDRESSES_MAX, NEIGHBOURS_MAX } from './constants.ts'
import type { Neighbour, NeighbourStore } from './neighbours.ts'

const KEY = 'neighbours'

export function neighbourStore (db: Level<string, Uint8Array>): NeighbourStore {
  const level = db.sublevel<string, Uint8Array>('network', { keyEncoding: 'utf8', valueEncoding: 'view' })
  return {
    async read () {
      const bytes = await level.get(KEY)
      if (bytes == null) return []
      const entries = JSON.parse(new TextDecoder().decode(bytes)) as unknown
      return Array.isArray(entries) ? entries.filter(isNeighbour).slice(0, NEIGHBOURS_MAX) : []
    },
    async write (neighbours) {
      await level.put(KEY, new TextEncoder().encode(JSON.stringify(neighbours)))
    }
  }
}

function isNeighbour (value: unknown): value is Neighbour {
  const { peer, addresses, reached = [], seen } = (value ?? {}) as Partial<Neighbour>
  return typeof peer === 'string' && typeof seen === 'number' && [addresses, reached].every(list => Array.isArray(list) && list.length <= NEIGHBOUR_ADDRESSES_MAX && list.every(address => typeof address === 'string'))
}
