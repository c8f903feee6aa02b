/** Resident memory and descriptors of every daemon over time, and whether they grow. The decisions are pure. */
import { readdir, readFile, writeFile } from 'node:fs/promises'

export interface Sample {
  /** Seconds after the beginning. */
  at: number
  node: string
  pid: number
  rssMb: number
  descriptors: number
}

/** A process that lives; undefined if it does not. */
export async function sampleOf (node: string, pid: number, at: number): Promise<Sample | undefined> {
  try {
    const [status, descriptors] = await Promise.all([readFile(`/proc/${pid}/status`, 'utf8'), readdir(`/proc/${pid}/fd`)])
    return { at, node, pid, rssMb: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024, descriptors: descriptors.length }
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

export async function writeSamples (path: string, samples: Sample[]): Promise<void> {
  const lines = samples.map(({ at, node, pid, rssMb, descriptors }) => `${at.toFixed(1)},${node},${pid},${rssMb.toFixed(1)},${descriptors}`)
  await writeFile(path, `seconds,node,pid,rss_mb,descriptors\n${lines.join('\n')}\n`)
}

/** Least squares: how much `y` grows per unit of `x`. 0 for fewer than two different `x`. */
export function slopeOf (points: Array<[x: number, y: number]>): number {
  const n = points.length
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n
  let [over, under] = [0, 0]
  for (const [x, y] of points) {
    over += (x - meanX) * (y - meanY)
    under += (x - meanX) ** 2
  }
  return under > 0 ? over / under : 0
}

/** A process is judged if it was seen so often in the second half: six minutes; a shorter life says nothing about growth. */
export const SAMPLES_MIN = 36
/** Seconds of a process's life that are not looked at: caches fill, code is compiled. */
const WARM_UP_S = 120
/** What may be added over the time that is looked at: this share of the mean, and at least so much. */
const GROWTH_SHARE = 0.15
const GROWTH_MB = 40
const GROWTH_DESCRIPTORS = 10

export interface Growth {
  node: string
  pid: number
  seconds: number
  what: 'memory' | 'descriptors'
  mean: number
  /** By the regression's line, over these seconds. */
  grown: number
  flat: boolean
}

/** Every process that lived long enough in the second half of `seconds`. */
export function growthOf (samples: Sample[], seconds: number): Growth[] {
  const found: Growth[] = []
  for (const [key, life] of Map.groupBy(samples, ({ node, pid }) => `${node} ${pid}`)) {
    const born = life[0]?.at ?? 0
    const late = life.filter(({ at }) => at >= seconds / 2 && at >= born + WARM_UP_S)
    if (late.length < SAMPLES_MIN) continue
    const [node = '', pid = ''] = key.split(' ')
    const span = (late.at(-1) as Sample).at - (late[0] as Sample).at
    for (const [what, value, least] of [['memory', (one: Sample) => one.rssMb, GROWTH_MB], ['descriptors', (one: Sample) => one.descriptors, GROWTH_DESCRIPTORS]] as const) {
      const mean = late.reduce((sum, one) => sum + value(one), 0) / late.length
      const grown = slopeOf(late.map(one => [one.at, value(one)])) * span
      found.push({ node, pid: Number(pid), seconds: span, what, mean, grown, flat: grown <= Math.max(least, GROWTH_SHARE * mean) })
    }
  }
  return found
}

const BARS = '▁▂▃▄▅▆▇█'
const SPARK_WIDTH = 48

/** One character per stretch of time, the highest value in it, from 0 to the highest of all; a space where there is none. */
export function sparkline (points: Array<[at: number, value: number]>, seconds: number): string {
  const most = Math.max(...points.map(([, value]) => value), 1)
  const cells = Array.from({ length: SPARK_WIDTH }, (): number | undefined => undefined)
  for (const [at, value] of points) {
    const cell = Math.min(SPARK_WIDTH - 1, Math.floor(at / seconds * SPARK_WIDTH))
    cells[cell] = Math.max(cells[cell] ?? 0, value)
  }
  return cells.map(value => value == null ? ' ' : BARS[Math.min(BARS.length - 1, Math.floor(value / most * BARS.length))]).join('')
}
