/** Says the user's file where a copy is meant that the daemon made of it: nobody knows the copy, and it is gone when the job is. */
import { dirname, sep } from 'node:path'
import type { Input, Note } from '../block-convert/index.ts'
import type { JobError } from './index.ts'

/** Characters of a file's name after its folder, at most, as file systems have it. */
const NAME_MAX = 255

/** Depth to which details of an error are looked through; they come from this program and are flat. */
const DETAILS_DEPTH = 4

export class UserPaths {
  readonly #originals = new Map<string, string>()
  /** Of the copies, with the separator behind: mostly one, so that a text is looked through once. */
  readonly #folders = new Set<string>()

  constructor (inputs: Input[] = []) {
    for (const { path, original } of inputs) {
      if (original == null) continue
      this.#originals.set(path, original)
      this.#folders.add(dirname(path) + sep)
    }
  }

  text (said: string): string {
    let told = said
    for (const folder of this.#folders) told = this.#within(told, folder)
    return told
  }

  error (error: JobError): JobError {
    if (this.#folders.size === 0) return error
    const told: JobError = { ...error, message: this.text(error.message) }
    if (error.details != null) told.details = this.#value(error.details, 0) as Record<string, unknown>
    return told
  }

  note (note: Note): Note {
    if (this.#folders.size === 0) return note
    return { ...note, message: this.text(note.message), ...(note.input != null ? { input: this.#originals.get(note.input) ?? note.input } : {}) }
  }

  #within (said: string, folder: string): string {
    let told = ''
    let from = 0
    for (let at = said.indexOf(folder); at >= 0; at = said.indexOf(folder, from)) {
      const copy = this.#copyAt(said, at, folder.length)
      const end = at + (copy?.length ?? folder.length)
      told += said.slice(from, at) + (copy == null ? folder : this.#originals.get(copy) as string)
      from = end
    }
    return told + said.slice(from)
  }

  /** The longest known path that begins there: the name of one copy may begin with that of another. */
  #copyAt (said: string, at: number, folder: number): string | undefined {
    for (let length = Math.min(folder + NAME_MAX, said.length - at); length > folder; length--) {
      const path = said.slice(at, at + length)
      if (this.#originals.has(path)) return path
    }
    return undefined
  }

  #value (value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.text(value)
    if (value === null || typeof value !== 'object' || depth >= DETAILS_DEPTH || value instanceof Uint8Array) return value
    if (Array.isArray(value)) return value.map(entry => this.#value(entry, depth + 1))
    return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, this.#value(entry, depth + 1)]))
  }
}
