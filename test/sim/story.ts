/** What happened to the blocks of one job, told so that a person can follow it. Kept as facts, put into words only when asked for. */
import type { World } from './world.ts'

/** Facts kept per job; a job that makes more is told without its middle. */
const FACTS_MAX = 20_000

interface Fact { at: number, block: number, worker: string, text: string, detail: string | number }

export class Story {
  readonly #world: World
  readonly #job: string
  readonly #facts: Fact[] = []

  constructor (job: string, world: World) {
    this.#job = job
    this.#world = world
  }

  /** Something that concerns one block. `worker` is empty where nobody in particular did it. */
  block (block: number, worker: string, text: string, detail: string | number = ''): void {
    if (this.#facts.length < FACTS_MAX) this.#facts.push({ at: this.#world.now, block, worker, text, detail })
  }

  /** Something that concerns a worker, or the whole job. */
  job (worker: string, text: string, detail: string | number = ''): void {
    this.block(-1, worker, text, detail)
  }

  /** The story of one block, with what happened meanwhile to the workers that had it. */
  of (block: number): string[] {
    const involved = new Set<string>()
    for (const fact of this.#facts) if (fact.block === block && fact.worker !== '') involved.add(fact.worker)
    const told = this.#facts.filter(fact => fact.block === block || (fact.block === -1 && (fact.worker === '' || involved.has(fact.worker))))
    return [`the story of ${this.#job}/${block} (virtual milliseconds):`, ...told.map(line)]
  }

  /** Of the job as a whole: without what happened to single blocks. */
  whole (): string[] {
    return [`the story of ${this.#job} (virtual milliseconds):`, ...this.#facts.filter(({ block }) => block === -1).map(line)]
  }
}

function line ({ at, worker, text, detail }: Fact): string {
  return `${at.toFixed(1).padStart(10)}  ${worker === '' ? '' : `${worker}: `}${text}${detail === '' ? '' : ` ${detail}`}`
}
