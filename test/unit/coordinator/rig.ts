/** Drives a job machine by hand: every order is kept until the test answers it. */
import assert from 'node:assert/strict'
import { createJobMachine } from '../../../daemon/coordinator/machine.ts'
import type { AttemptRef, Effect, JobEventIn, JobMachine, JobMachineInit } from '../../../daemon/coordinator/machine-types.ts'

/** Workers are given all their slots before they showed anything, for tests that are about something else. */
export const BELIEVED: Partial<JobMachineInit> = { faults: new Set(['declared-slots'] as const) }

export class Rig {
  readonly machine: JobMachine
  now = 0
  random = (): number => 0.99
  /** Everything since the last `take`. */
  effects: Effect[] = []

  constructor (init: Partial<JobMachineInit> = {}) {
    this.machine = createJobMachine({ job: 'job', verify: 'none', bound: 0, ...init })
  }

  step (...events: JobEventIn[]): Effect[] {
    const effects = this.machine.step(events, this.now, this.random)
    this.effects.push(...effects)
    return effects
  }

  /** A machine with workers attached and blocks split. */
  static started (sizes: number[], workers: Record<string, number>, init: Partial<JobMachineInit> = {}): Rig {
    const rig = new Rig(init)
    rig.step()
    rig.step(...Object.entries(workers).map(([id, slots]) => joined(id, slots)), { type: 'settled', count: 1 })
    rig.step({ type: 'split', sizes })
    rig.step({ type: 'split-ended' })
    return rig
  }

  of<T extends Effect['type']> (type: T): Array<Extract<Effect, { type: T }>> {
    return this.effects.filter(effect => effect.type === type) as Array<Extract<Effect, { type: T }>>
  }

  /** The orders given so far, as `worker:block/attempt`, and forgets them. */
  orders (): string[] {
    const orders = this.of('dispatch').flatMap(({ worker, orders }) => orders.map(({ block, attempt }) => `${worker}:${block}/${attempt}`))
    this.effects = this.effects.filter(({ type }) => type !== 'dispatch')
    return orders
  }

  /** Answers every inspection, store, check and journal order well until none is left. */
  settle (): void {
    for (;;) {
      const events: JobEventIn[] = []
      const rest: Effect[] = []
      for (const effect of this.effects) {
        if (effect.type === 'store') events.push(...effect.results.map(ref => ({ type: 'stored' as const, ...plain(ref) })))
        else if (effect.type === 'inspect') events.push(...effect.results.map(ref => ({ type: 'inspected' as const, ...plain(ref), units: 1 })))
        else if (effect.type === 'check') events.push(...effect.results.map(ref => ({ type: 'checked' as const, ...plain(ref), distance: 0 })))
        else if (effect.type === 'journal') events.push(...effect.results.map(ref => ({ type: 'committed' as const, ...plain(ref) })))
        else if (effect.type === 'merge') events.push({ type: 'merged', epoch: effect.epoch, upTo: (effect.results.at(-1) as AttemptRef).block + 1 })
        else if (effect.type === 'reset-merge') events.push({ type: 'merge-reset', epoch: effect.epoch })
        else rest.push(effect)
      }
      this.effects = rest
      if (events.length === 0) return
      this.step(...events)
    }
  }
}

export function last<T> (list: T[]): T {
  const value = list.at(-1)
  assert.ok(value !== undefined)
  return value
}

export function types (effects: Effect[]): string[] {
  return effects.map(({ type }) => type)
}

export function plain ({ block, attempt }: AttemptRef): { block: number, attempt: number } {
  return { block, attempt }
}

export function joined (worker: string, slots = 1, kind: 'local' | 'remote' = 'remote'): JobEventIn {
  return { type: 'joined', worker, kind, slots }
}

export function ok (worker: string, block: number, attempt = 1, held: 'inline' | 'durable' | 'volatile' = 'inline'): JobEventIn {
  return { type: 'ok', worker, block, attempt, held, size: 10, wallMs: 5 }
}

export function failed (worker: string, block: number, attempt: number, reason: Extract<JobEventIn, { type: 'failed' }>['reason'], more: { code?: string, message?: string, retryAfterMs?: number } = {}): JobEventIn {
  return { type: 'failed', worker, block, attempt, reason, message: `it was ${reason}`, ...more }
}
