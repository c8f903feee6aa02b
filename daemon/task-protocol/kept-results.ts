/**
 * Finished conversions whose requester was not there to take them, by requester and by what was converted. Pure: `now` is monotonic milliseconds, and
 * what has to go is given back for the caller to remove.
 */
export interface KeptLimits {
  /** Milliseconds one is kept. */
  keepMs: number
  /** Bytes of small ones, which lie in memory. */
  memoryBytes: number
  /** Bytes of large ones, which lie on disk. */
  diskBytes: number
  /** Kept at a time, of either kind. */
  entries: number
}

export interface KeptResult<T> { value: T, bytes: number, place: 'memory' | 'disk' }

interface Entry<T> extends KeptResult<T> { requester: string, identity: string, until: number }

/** Faults planted by the simulator to prove that it finds them. Never set elsewhere. */
export type KeptFault = 'redelivery-wrong-block' | 'redelivery-any-requester' | 'redelivery-kept-for-ever'

export class KeptResults<T> {
  private readonly limits: KeptLimits
  private readonly faults: ReadonlySet<KeptFault>
  /** Oldest first. */
  private readonly entries = new Map<string, Entry<T>>()
  private readonly used = { memory: 0, disk: 0 }

  constructor (limits: KeptLimits, faults: ReadonlySet<KeptFault> = new Set()) {
    this.limits = limits
    this.faults = faults
  }

  get size (): number {
    return this.entries.size
  }

  get bytes (): Readonly<{ memory: number, disk: number }> {
    return { ...this.used }
  }

  /**
   * Keeps a result. Gives back what went for it: those past their time, one of the same conversion, and those beyond the limits, which may be itself.
   * Whoever holds most loses the oldest first: one requester that comes and goes does not cost the others theirs.
   */
  put (requester: string, identity: string, result: KeptResult<T>, now: number): T[] {
    const gone = this.expire(now)
    const key = keyOf(requester, identity)
    const same = this.remove(key)
    if (same != null) gone.push(same.value)
    this.entries.set(key, { ...result, requester, identity, until: now + this.limits.keepMs })
    this.used[result.place] += result.bytes
    while (this.used.memory > this.limits.memoryBytes) gone.push(this.evict(({ place, bytes }) => place === 'memory' ? bytes : 0))
    while (this.used.disk > this.limits.diskBytes) gone.push(this.evict(({ place, bytes }) => place === 'disk' ? bytes : 0))
    while (this.entries.size > this.limits.entries) gone.push(this.evict(() => 1))
    return gone
  }

  /** The oldest that counts of the requester whose results count most. Something must count. */
  private evict (weight: (entry: Entry<T>) => number): T {
    const sums = new Map<string, number>()
    for (const entry of this.entries.values()) sums.set(entry.requester, (sums.get(entry.requester) ?? 0) + weight(entry))
    const most = [...sums].reduce((a, b) => b[1] > a[1] ? b : a)[0]
    for (const [key, entry] of this.entries) if (entry.requester === most && weight(entry) > 0) return this.remove(key)!.value
    throw new Error('nothing to evict')
  }

  /** What was kept of this conversion for this requester; it is the caller's from now on. */
  take (requester: string, identity: string, now: number): T | undefined {
    const entry = this.find(requester, identity)
    if (entry == null || (now > entry.until && !this.faults.has('redelivery-kept-for-ever'))) return undefined
    return this.remove(keyOf(entry.requester, entry.identity))?.value
  }

  /** Takes out what is past its time. */
  expire (now: number): T[] {
    if (this.faults.has('redelivery-kept-for-ever')) return []
    const gone: T[] = []
    for (const [key, { until }] of this.entries) {
      if (now <= until) break
      gone.push(this.remove(key)!.value)
    }
    return gone
  }

  /** Takes out everything. */
  clear (): T[] {
    const gone = [...this.entries.values()].map(({ value }) => value)
    this.entries.clear()
    this.used.memory = 0
    this.used.disk = 0
    return gone
  }

  private find (requester: string, identity: string): Entry<T> | undefined {
    if (this.faults.has('redelivery-wrong-block')) return [...this.entries.values()].find(entry => entry.requester === requester)
    if (this.faults.has('redelivery-any-requester')) return [...this.entries.values()].find(entry => entry.identity === identity)
    return this.entries.get(keyOf(requester, identity))
  }

  private remove (key: string): Entry<T> | undefined {
    const entry = this.entries.get(key)
    if (entry == null) return undefined
    this.entries.delete(key)
    this.used[entry.place] -= entry.bytes
    return entry
  }
}

const keyOf = (requester: string, identity: string): string => `${requester}/${identity}`
