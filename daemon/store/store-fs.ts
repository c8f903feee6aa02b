/** The file system as the store uses it: a seam for tests that let single calls fail. */
import { mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises'

export interface StoreFile {
  write: (chunk: Uint8Array, offset: number, length: number) => Promise<{ bytesWritten: number }>
  datasync: () => Promise<void>
  sync: () => Promise<void>
  close: () => Promise<void>
}

export interface StoreFs {
  open: (path: string, flags: string, mode?: number) => Promise<StoreFile>
  mkdir: (path: string, options: { recursive: true, mode: number }) => Promise<unknown>
  readdir: (path: string) => Promise<string[]>
  rename: (from: string, to: string) => Promise<void>
  rm: (path: string, options: { recursive?: boolean, force: boolean }) => Promise<void>
  stat: (path: string) => Promise<{ size: number, mtimeMs: number, isFile: () => boolean }>
  statfs: (path: string) => Promise<{ bavail: number, bsize: number, blocks: number }>
}

export const systemFs: StoreFs = { open, mkdir, readdir, rename, rm, stat, statfs }
