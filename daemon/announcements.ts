/**
 * What this node tells of itself: its advert, and its price and load between two adverts. Told again when it changes, and from time to time.
 */
import { statfs } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { converterById, listConverters, type Converter } from './block-convert/index.ts'
import { offers, parseHours, type Config } from './config/index.ts'
import type { AdvertContent, Registry } from './dht-registry/index.ts'
import type { MeasuredExecutor } from './executor/index.ts'
import type { LoopDelay } from './health/index.ts'
import type { Log } from './log.ts'
import type { BulletinContent, PriceGossip } from './market/index.ts'
import type { DataDir } from './store/index.ts'

/** Milliseconds between two looks whether what was told last still holds, measured throughput above all. */
const ADVERT_REFRESH_MS = 60_000

/** Milliseconds between two looks at this node's load; it goes out with the next periodic bulletin. */
const LOAD_REFRESH_MS = 5_000

/** A measured throughput that moved by less than this factor is not worth a new advert. */
const ADVERT_CHANGE_FACTOR = 1.25

/** What a converter's id begins with ('table' of 'table/csv-parquet'): prices are told and heard by these. */
export function kindsOf (converters: Array<Pick<Converter, 'id'>>): string[] {
  return [...new Set(converters.map(({ id }) => id.slice(0, id.indexOf('/'))))]
}

export interface AnnouncementsComponents {
  registry: Pick<Registry, 'publish'>
  gossip: Pick<PriceGossip, 'publish'>
  executor: MeasuredExecutor
  loopDelay: LoopDelay
  dir: Pick<DataDir, 'path' | 'db'>
  log: Log
}

export interface AnnouncementsInit {
  config: Config
  /** Takes work from others; a node that takes none has nothing to tell. */
  works: boolean
  /** Finishes what runs and takes no more. */
  draining: () => boolean
}

export class Announcements {
  readonly #components: AnnouncementsComponents
  readonly #init: AnnouncementsInit
  #posted: { price: string, unit: string }
  #told: AdvertContent | undefined
  #timers: NodeJS.Timeout[] = []

  constructor (components: AnnouncementsComponents, init: AnnouncementsInit) {
    this.#components = components
    this.#init = init
    this.#posted = { price: init.config.prices.perHour, unit: init.config.prices.unit }
  }

  /** What this node asks now: 10^-6 of the unit per resource hour. */
  get posted (): { price: string, unit: string } {
    return this.#posted
  }

  /** The converters others may ask for. */
  get offered (): Converter[] {
    return this.#init.works ? listConverters().filter(({ id }) => offers(this.#init.config, id)) : []
  }

  /** Tells everything for the first time. */
  async start (): Promise<void> {
    await this.tell()
    const { log } = this.#components
    const every = (ms: number, what: () => Promise<void> | void): void => {
      this.#timers.push(setInterval(() => {
        void (async () => { await what() })().catch((error: unknown) => { log.warn({ error: (error as Error).message }, 'what this node tells of itself could not be refreshed') })
      }, ms).unref())
    }
    every(ADVERT_REFRESH_MS, async () => {
      // told before it is saved: a full disk keeps measurements from being saved, but others must know what this node takes
      await this.refresh()
      await this.save()
    })
    every(LOAD_REFRESH_MS, () => { this.#bulletin() })
  }

  async stop (): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer)
    try {
      await this.save()
    } catch (error) {
      // A full disk must not keep the rest from being stopped; the next start measures anew.
      this.#components.log.warn({ error: (error as Error).message }, 'measured throughput could not be saved')
    }
  }

  /** Asks this from now on, and tells it at once. */
  async setPrice (price: string, unit = this.#posted.unit): Promise<void> {
    this.#posted = { price, unit }
    await this.tell()
  }

  /** Tells everything again if what was told last does not hold. */
  async refresh (): Promise<void> {
    if (changed(this.#told, await this.#advert())) await this.tell()
  }

  async tell (): Promise<void> {
    if (!this.#init.works) return
    const advert = await this.#advert()
    this.#bulletin()
    await this.#components.registry.publish(advert)
    this.#told = advert
  }

  /** What was measured is known again after a restart. */
  async save (): Promise<void> {
    const { dir, executor } = this.#components
    const rates = Object.fromEntries(listConverters().map(({ id }) => [id, executor.throughput(id)] as const).filter(([id, rate]) => rate !== 0 && converterById(id) != null))
    await dir.db.put(THROUGHPUT_KEY, Buffer.from(JSON.stringify(rates)))
  }

  #bulletin (): void {
    if (!this.#init.works) return
    const { executor, loopDelay, gossip } = this.#components
    const content: BulletinContent = {
      families: kindsOf(this.offered),
      ...this.#posted,
      draining: this.#init.draining(),
      load: { slots: slotsForOthers(executor), busy: executor.busy, loopDelayMs: loopDelay.worst() }
    }
    gossip.publish(content)
  }

  async #advert (): Promise<AdvertContent> {
    const { config, works } = this.#init
    const { dir, executor } = this.#components
    const disk = await statfs(dir.path)
    return {
      resources: { cores: availableParallelism(), memoryBytes: totalmem(), diskBytes: disk.bavail * disk.bsize, slots: slotsForOthers(executor) },
      converters: this.offered.map(({ id, version, from, to }) => ({ id, version, from, to, bytesPerSecond: executor.throughput(id) })),
      ...this.#posted,
      roles: works ? ['worker', 'requester'] : ['requester'],
      draining: this.#init.draining(),
      policy: {
        hours: config.policy.hours.flatMap(text => parseHours(text) ?? []),
        maxLeases: config.policy.maxLeases,
        everyone: config.trust.everyone || config.secret !== ''
      }
    }
  }
}

/** While it takes nothing it drains, which is told beside; how large it is does not change by that. */
const slotsForOthers = ({ guests, slots }: MeasuredExecutor): number => guests.slots === 0 ? slots : guests.slots

const THROUGHPUT_KEY = 'node/throughput'

/** Bytes per second by converter, as an earlier run of this node measured. */
export async function knownThroughput (dir: Pick<DataDir, 'db'>): Promise<Record<string, number>> {
  const stored = await dir.db.get(THROUGHPUT_KEY)
  return stored == null ? {} : JSON.parse(Buffer.from(stored).toString()) as Record<string, number>
}

/** Whether it takes more or less work (which should have been told at once, but that may have failed), or a measured throughput moved enough to be worth telling. */
function changed (before: AdvertContent | undefined, now: AdvertContent): boolean {
  if (before?.draining !== now.draining || before.resources.slots !== now.resources.slots) return true
  return now.converters.some(({ id, bytesPerSecond }) => {
    const was = before?.converters.find(c => c.id === id)?.bytesPerSecond ?? 0
    return was === 0 ? bytesPerSecond > 0 : bytesPerSecond > was * ADVERT_CHANGE_FACTOR || bytesPerSecond < was / ADVERT_CHANGE_FACTOR
  })
}
