/** What a report says of a conversion beside its numbers: bounded, since one input may give rise to a note per file or per column. */
import type { Note } from '../block-convert/index.ts'
import { NOTE_COLUMNS_MAX, NOTE_MESSAGE_MAX, NOTES_MAX } from './constants.ts'

/** Code of the last note where there were more than a report takes; its `count` says how many. */
export const MORE_NOTES = 'more-notes'

export class NoteList {
  readonly #notes: Note[] = []
  #more = 0

  add (notes: readonly Note[]): void {
    for (const note of notes) {
      // One place is kept for the note that says how many more there were.
      if (this.#notes.length < NOTES_MAX - 1) this.#notes.push(shortened(note))
      else this.#more++
    }
  }

  list (): Note[] {
    if (this.#more === 0) return [...this.#notes]
    const message = this.#more === 1 ? 'there is one more note like these' : `there are ${this.#more} more notes like these`
    return [...this.#notes, { code: MORE_NOTES, message, count: this.#more }]
  }
}

function shortened (note: Note): Note {
  const { message, columns } = note
  return {
    ...note,
    message: message.length > NOTE_MESSAGE_MAX ? `${message.slice(0, NOTE_MESSAGE_MAX - 1)}…` : message,
    ...(columns != null ? { columns: columns.slice(0, NOTE_COLUMNS_MAX) } : {})
  }
}
