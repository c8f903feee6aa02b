/** Prices. Money is whole numbers of 10^-6 of a unit; units are never compared. */

const GIB = 2n ** 30n
const HOUR_SECONDS = 3600n

/**
 * A posted price per resource hour, as the price of converting a gibibyte of input: price x 2^30 / (bytes per second x 3600), rounded up, in 10^-6
 * of the same unit. Undefined if the speed was not measured.
 *
 * @param price decimal digits, as in an advert
 * @param bytesPerSecond of input, per slot; 0 or less than one means not measured
 */
export function pricePerGib (price: string, bytesPerSecond: number): string | undefined {
  if (!Number.isFinite(bytesPerSecond) || bytesPerSecond < 1) return undefined
  const perHour = BigInt(Math.floor(bytesPerSecond)) * HOUR_SECONDS
  return ((BigInt(price) * GIB + perHour - 1n) / perHour).toString()
}
