/** Amounts of money as people write and read them. A leaf: the command line takes it alone. */
import { AMOUNT_DECIMALS, AMOUNT_DIGITS_MAX } from '../constants.ts'

const WHOLE = new RegExp(`^\\d{1,${AMOUNT_DIGITS_MAX}}$`)
const DECIMAL = new RegExp(`^(\\d{1,${AMOUNT_DIGITS_MAX - AMOUNT_DECIMALS}})\\.(\\d{1,${AMOUNT_DECIMALS}})$`)

export const AMOUNT_FORM = `a whole number of 10^-6 units, like 250000, or units with a decimal point, like 0.25 (at most ${AMOUNT_DECIMALS} digits behind it)`

/**
 * Whole numbers are 10^-6 of a unit, as everywhere in Weft; with a decimal point it is units, as compute.md has it: `250000` and `0.25` are the
 * same. Undefined if it is neither.
 */
export function parseAmount (text: string): string | undefined {
  if (WHOLE.test(text)) return BigInt(text).toString()
  const [, units, rest] = DECIMAL.exec(text) ?? []
  return units == null || rest == null ? undefined : BigInt(units + rest.padEnd(AMOUNT_DECIMALS, '0')).toString()
}

/** `250000` as `0.25`. */
export function inUnits (amount: string): string {
  const digits = amount.padStart(AMOUNT_DECIMALS + 1, '0')
  const rest = digits.slice(-AMOUNT_DECIMALS).replace(/0+$/, '')
  return `${digits.slice(0, -AMOUNT_DECIMALS)}${rest === '' ? '' : `.${rest}`}`
}

/** Amounts below this are written in 10^-6: `5 µcredit` rather than `0.000005 credit`. */
const SMALL_DIGITS = 4

/** `free`, `5 µcredit`, `0.25 credit`. */
export function amountText (amount: string, unit: string): string {
  if (amount === '0') return 'free'
  return amount.length < SMALL_DIGITS ? `${amount} µ${unit}` : `${inUnits(amount)} ${unit}`
}

/** Both forms, for whoever is to be sure of it: `0.25 credit (250000 µcredit)`. */
export function amountInFull (amount: string, unit: string): string {
  return amount === '0' ? 'nothing' : `${inUnits(amount)} ${unit} (${amount} µ${unit})`
}

export const compareAmounts = (a: string, b: string): number => a.length === b.length ? (a < b ? -1 : a > b ? 1 : 0) : a.length - b.length
