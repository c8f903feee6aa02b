import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

/** What each module may import, types included; `log` is daemon/log.ts. DESIGN section 1, made executable. */
const MAY_USE: Record<string, string[]> = {
  log: [],
  'link-faults': [],
  config: [],
  store: [],
  'block-convert': [],
  health: ['link-faults'],
  executor: ['block-convert', 'log'],
  trust: ['store'],
  network: ['trust', 'store', 'log', 'link-faults'],
  'dht-registry': ['network', 'trust', 'store', 'log'],
  market: ['network', 'trust', 'store', 'log'],
  'task-protocol': ['block-convert', 'executor', 'health', 'network', 'store', 'trust', 'log'],
  coordinator: ['block-convert', 'dht-registry', 'executor', 'health', 'store', 'task-protocol', 'trust', 'log'],
  gateway: ['coordinator', 'log'],
  'node-api': ['network-view', 'block-convert', 'coordinator', 'dht-registry', 'executor', 'gateway', 'market', 'network', 'task-protocol', 'trust'],
  announcements: ['block-convert', 'config', 'dht-registry', 'executor', 'health', 'market', 'store', 'log'],
  'network-view': ['block-convert', 'config', 'dht-registry', 'gateway', 'market', 'network', 'trust'],
  'doctor-checks': ['gateway', 'health', 'store'],
  doctor: ['doctor-checks', 'dht-registry', 'gateway', 'health', 'network', 'store'],
  node: ['node-api', 'doctor', 'announcements', 'log', 'config', 'store', 'block-convert', 'health', 'executor', 'trust', 'network', 'dht-registry', 'market', 'task-protocol', 'coordinator', 'gateway']
}

/** Longest file without a stated reason, in lines. */
const LINES_MAX = 400

interface Import { from: string, to: string, typeOnly: boolean, lazy: boolean }

function moduleOf (path: string): string | undefined {
  const parts = path.split('/')
  if (parts[0] !== 'daemon') return undefined
  return parts.length === 2 ? (parts[1] ?? '').replace(/\.ts$/, '') : parts[1]
}

const files = globSync('{daemon,cli,scripts}/**/*.ts', { cwd: root }).map(file => file.replaceAll('\\', '/')).sort()

function importsOf (file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8')
  const found: Import[] = []
  for (const match of text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'"`;]*?\s+from\s+)?'(\.[^']+)'|import\('(\.[^']+)'\)/gm)) {
    const target = match[2] ?? match[3] ?? ''
    found.push({ from: file, to: normalize(join(dirname(file), target)), typeOnly: match[1] != null, lazy: match[3] != null })
  }
  return found
}

const imports = files.flatMap(importsOf)

describe('architecture', () => {
  it('finds the imports it is about', () => {
    assert.ok(files.length > 50)
    assert.ok(imports.length > 100)
  })

  it('lets modules depend only as the design allows', () => {
    const wrong = imports.flatMap(({ from, to }) => {
      const [user, used] = [moduleOf(from), moduleOf(to)]
      if (user == null || used == null || user === used) return []
      return MAY_USE[user]?.includes(used) === true ? [] : [`${from} imports ${to}: ${user} may not use ${used}`]
    })
    assert.deepEqual(wrong, [])
  })

  it('has no cycle between modules', () => {
    const visiting = new Set<string>()
    const visit = (module: string, path: string[]): void => {
      assert.ok(!visiting.has(module), `cycle: ${[...path, module].join(' -> ')}`)
      visiting.add(module)
      for (const used of MAY_USE[module] ?? []) visit(used, [...path, module])
      visiting.delete(module)
    }
    for (const module of Object.keys(MAY_USE)) visit(module, [])
  })

  it('has no cycle of files at run time', () => {
    const edges = new Map<string, string[]>()
    for (const { from, to, typeOnly, lazy } of imports) if (!typeOnly && !lazy) edges.set(from, [...edges.get(from) ?? [], to])
    const done = new Set<string>()
    const visit = (file: string, path: string[]): void => {
      assert.ok(!path.includes(file), `cycle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`)
      if (done.has(file)) return
      for (const next of edges.get(file) ?? []) visit(next, [...path, file])
      done.add(file)
    }
    for (const file of edges.keys()) visit(file, [])
  })

  it('lets a module of the daemon see only another one\'s index', () => {
    const wrong = imports.flatMap(({ from, to }) => {
      const [user, used] = [moduleOf(from), moduleOf(to)]
      // The command line may take a leaf file alone: it must start within a tenth of a second.
      if (user == null || user === used || used == null || to.split('/').length === 2 || to.endsWith('/index.ts')) return []
      return [`${relative('.', from)} imports ${to}`]
    })
    assert.deepEqual(wrong, [])
  })

  it('keeps files short', () => {
    const long = files.map(file => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length })).filter(({ lines }) => lines > LINES_MAX)
    assert.deepEqual(long, [])
  })

  it('leaves no unfinished marker', () => {
    // In parts, so that this line is none.
    const marker = new RegExp(`\\b(${[['TO', 'DO'], ['FIX', 'ME'], ['XX', 'X'], ['not ', 'implemented']].map(parts => parts.join('')).join('|')})\\b`)
    const wrong = files.filter(file => marker.test(readFileSync(join(root, file), 'utf8')))
    assert.deepEqual(wrong, [])
  })
})
