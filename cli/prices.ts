import type { Command } from 'commander'
import { resolvePaths } from '../daemon/config/paths.ts'
import type { SpotPrices } from '../daemon/gateway/index.ts'
import { AMOUNT_FORM, amountInFull, amountText, parseAmount } from '../daemon/gateway/view/money.ts'
import { connect, findDaemon } from './lib/client.ts'
import { Failure, usage } from './lib/failure.ts'
import { fittedTable, type Column } from './lib/fitted-table.ts'
import { freshnessText } from './lib/freshness.ts'
import { print, printJson, tell } from './lib/terminal.ts'
import { count } from './lib/units.ts'

export function configure (command: Command): void {
  command.command('show', { isDefault: true }).description('what nodes ask now, by resource and by converter').option('--json', 'print JSON').action(show)
  command.command('set').description('change what this node asks per resource hour, now and after a restart')
    .argument('<amount>', '250000 (in 10^-6 of the unit), or with a decimal point in units: 0.25')
    .option('--unit <unit>', 'what it is counted in').option('--config <file>', 'configuration file').option('--json', 'print JSON').action(set)
  command.addHelpText('after', `
Prices are posted and told to others, who may refuse them; nothing is charged
yet. Different units are never compared.`)
}

async function show ({ json = false }: { json?: boolean }): Promise<void> {
  const prices = await (await connect(resolvePaths().dataDir)).spotPrices()
  if (json) return printJson(prices)
  if (prices.resources.length === 0) return tell('nobody offers anything now')
  print(pricesText(prices))
  tell(freshnessText(prices.view, 'prices'))
}

type Row = SpotPrices['converters'][number]

/** @param width - characters; by default those of the terminal */
export function pricesText ({ resources, converters, left_out: leftOut }: SpotPrices, width?: number): string {
  const spread = <T extends { count: number, min: string, median: string, max: string, unit: string }>(): Array<Column<T>> => [
    { title: 'NODES', cell: row => String(row.count), right: true },
    { title: 'LEAST/H', cell: ({ min, unit }) => amountText(min, unit), right: true },
    { title: 'MEDIAN/H', cell: ({ median, unit }) => amountText(median, unit), right: true },
    { title: 'MOST/H', cell: ({ max, unit }) => amountText(max, unit), right: true, spare: 1 }
  ]
  const byResource = fittedTable<SpotPrices['resources'][number]>([{ title: 'RESOURCE', cell: ({ resource_type: type }) => type }, ...spread<SpotPrices['resources'][number]>()], resources, width)
  // A converter that nobody measured, asked for by all like the resource itself, says nothing more.
  const telling = converters.filter(row => row.per_gib != null || !resources.some(all => all.unit === row.unit && all.count === row.count && all.min === row.min && all.max === row.max))
  const perGib = telling.some(row => row.per_gib != null)
  const byConverter = fittedTable<Row>([
    { title: 'CONVERTER', cell: ({ converter }) => converter },
    ...spread<Row>(),
    ...(perGib ? [{ title: 'MEDIAN/GIB', cell: ({ per_gib: gib, unit }: Row) => gib == null ? '-' : amountText(gib.median, unit), right: true }] : [])
  ], telling, width)
  const rest = converters.length - telling.length
  return [byResource, ...(telling.length > 0 ? ['', byConverter] : []), ...(rest > 0 ? ['', `${count(rest, 'converter')} at the same prices; how fast, nobody has measured yet`] : []), ...(leftOut > 0 ? [`... and ${leftOut} rows more`] : [])].join('\n')
}

async function set (text: string, { unit, config: file, json = false }: { unit?: string, config?: string, json?: boolean }): Promise<void> {
  const price = parseAmount(text)
  if (price == null) throw usage(`'${text}' is no amount: write ${AMOUNT_FORM}`, { amount: text })
  // Only here: `show` does without, and starts faster.
  const [{ loadConfig }, { writeConfigValues }] = await Promise.all([import('../daemon/config/index.ts'), import('./lib/config-file.ts')])
  const paths = resolvePaths()
  // Where a daemon started in this environment reads it.
  const path = file ?? (process.env.WEFT_CONFIG || paths.configFile)
  // The file first: it says what is wrong with a value before anything was changed.
  await writeConfigValues(path, { 'prices.perHour': price, ...(unit != null ? { 'prices.unit': unit } : {}) })
  const daemon = await findDaemon(paths.dataDir)
  const told = await daemon?.setPrice(price, unit).catch((error: unknown) => { throw notTold(error, path) })
  const loaded = await loadConfig({ configFile: path })
  const posted = told ?? { price, unit: unit ?? loaded.config.prices.unit }
  const over = loaded.origins['prices.perHour']
  const overridden = over != null && over.from !== 'file' ? `; but ${over.detail ?? over.from} says otherwise, and wins at the next start` : ''
  if (json) return printJson({ ...posted, running: daemon != null, file: path })
  tell(`weft: this node asks ${amountInFull(posted.price, posted.unit)} per resource hour${daemon == null ? ' from its next start on' : ', from now on'}; written to ${path}${overridden}`)
}

function notTold (error: unknown, path: string): Failure {
  const { code, message, details } = error instanceof Failure ? error : new Failure('failed', (error as Error).message)
  return new Failure(code, `the price was written to ${path}, but the running daemon did not take it: ${message}`, details, { cause: error })
}
