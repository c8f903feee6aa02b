import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import type { Physical } from '../../../../../daemon/block-convert/tables/parquet/footer.ts'
import { prepareParquet } from '../../../../../daemon/block-convert/tables/parquet/inputs.ts'
import { CONVERTED, LOGICAL } from '../../../../../daemon/block-convert/tables/parquet/logical.ts'
import { readParquet } from '../../../../../daemon/block-convert/tables/parquet/reader.ts'
import { parquetFrom } from '../../../../../daemon/block-convert/tables/parquet/sql.ts'
import type { TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { T } from '../../../../../daemon/block-convert/tables/parquet/thrift.ts'
import { withFolder } from '../cases.ts'
import { blocksOf, inputAt } from './blocks.ts'
import { craft, intType, logical, plain, timeType, type CraftedElement } from './craft.ts'
import { DuckValues } from './duck-values.ts'

type Annotation = Omit<CraftedElement, 'name' | 'type'>

interface Case {
  name: string
  type: Physical
  annotation: Annotation
  values: Uint8Array
  count: number
  /** What it must be read as. */
  as: string
  canonical: unknown[]
  notes?: string[]
}

const fixed = (...values: number[][]): Uint8Array => new Uint8Array(values.flat())
const dec = (scale: number, precision: number): Annotation['logical'] => logical(LOGICAL.DECIMAL, { id: 1, type: T.I32, value: scale }, { id: 2, type: T.I32, value: precision })
const DAY_1970 = 2_440_588

const CASES: Case[] = [
  // both generations of annotations, and the newer one alone, which the engine does not know for most types
  { name: 'STRING alone', type: 'BYTE_ARRAY', annotation: { logical: logical(LOGICAL.STRING) }, values: plain.bytes(['é', '']), count: 2, as: 'VARCHAR', canonical: ['é', ''] },
  { name: 'UTF8', type: 'BYTE_ARRAY', annotation: { converted: CONVERTED.UTF8 }, values: plain.bytes(['x', 'y']), count: 2, as: 'VARCHAR', canonical: ['x', 'y'] },
  { name: 'fixed UTF8', type: 'FIXED_LEN_BYTE_ARRAY', annotation: { converted: CONVERTED.UTF8, length: 2 }, values: fixed([97, 98], [99, 100]), count: 2, as: 'VARCHAR', canonical: ['ab', 'cd'] },
  { name: 'bytes', type: 'BYTE_ARRAY', annotation: {}, values: plain.bytes(['x', fixed([0, 255])]), count: 2, as: 'BLOB', canonical: ['x', '\0\xff'] },
  { name: 'ENUM', type: 'BYTE_ARRAY', annotation: { logical: logical(LOGICAL.ENUM), converted: CONVERTED.ENUM }, values: plain.bytes(['RED', 'BLUE']), count: 2, as: 'VARCHAR', canonical: ['RED', 'BLUE'] },
  { name: 'ENUM alone', type: 'BYTE_ARRAY', annotation: { logical: logical(LOGICAL.ENUM) }, values: plain.bytes(['RED']), count: 1, as: 'VARCHAR', canonical: ['RED'] },
  { name: 'JSON alone', type: 'BYTE_ARRAY', annotation: { logical: logical(LOGICAL.JSON) }, values: plain.bytes(['{"a": 1}', '[]']), count: 2, as: 'JSON', canonical: ['{"a":1}', '[]'] },
  { name: 'BSON', type: 'BYTE_ARRAY', annotation: { converted: CONVERTED.BSON, logical: logical(LOGICAL.BSON) }, values: plain.bytes([fixed([5, 0, 0, 0, 0])]), count: 1, as: 'BLOB', canonical: ['\x05\0\0\0\0'] },
  { name: 'UUID', type: 'FIXED_LEN_BYTE_ARRAY', annotation: { logical: logical(LOGICAL.UUID), length: 16 }, values: fixed([0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255]), count: 1, as: 'UUID', canonical: ['00112233-4455-6677-8899-aabbccddeeff'] },
  { name: 'FLOAT16', type: 'FIXED_LEN_BYTE_ARRAY', annotation: { logical: logical(LOGICAL.FLOAT16), length: 2 }, values: fixed([0, 60], [0, 128], [1, 0], [0, 124]), count: 4, as: 'FLOAT', canonical: [1, -0, 2 ** -24, Infinity] },
  { name: 'INTERVAL', type: 'FIXED_LEN_BYTE_ARRAY', annotation: { converted: CONVERTED.INTERVAL, length: 12 }, values: new Uint8Array(new Uint32Array([14, 3, 4294967295]).buffer), count: 1, as: 'INTERVAL', canonical: ['14/3/4294967295000'] },
  { name: 'INT(8) alone', type: 'INT32', annotation: { logical: intType(8, true) }, values: plain.int32([-128, 127]), count: 2, as: 'TINYINT', canonical: [-128, 127] },
  { name: 'UINT(8) alone', type: 'INT32', annotation: { logical: intType(8, false) }, values: plain.int32([0, 255]), count: 2, as: 'UTINYINT', canonical: [0, 255] },
  { name: 'UINT(16)', type: 'INT32', annotation: { converted: CONVERTED.UINT_16 }, values: plain.int32([0, 65535]), count: 2, as: 'USMALLINT', canonical: [0, 65535] },
  { name: 'INT(16) alone', type: 'INT32', annotation: { logical: intType(16, true) }, values: plain.int32([-32768]), count: 1, as: 'SMALLINT', canonical: [-32768] },
  { name: 'UINT(32) alone', type: 'INT32', annotation: { logical: intType(32, false) }, values: plain.int32([-1, 1]), count: 2, as: 'UINTEGER', canonical: [4294967295, 1] },
  { name: 'UINT(64) alone', type: 'INT64', annotation: { logical: intType(64, false) }, values: plain.int64([-1n, 1n]), count: 2, as: 'UBIGINT', canonical: [18446744073709551615n, 1] },
  { name: 'DATE alone', type: 'INT32', annotation: { logical: logical(LOGICAL.DATE) }, values: plain.int32([0, -1, 18262]), count: 3, as: 'DATE', canonical: [0, -1, 18262] },
  { name: 'DECIMAL in INT32', type: 'INT32', annotation: { converted: CONVERTED.DECIMAL, scale: 2, precision: 4 }, values: plain.int32([9999, -9999, 0]), count: 3, as: 'DECIMAL(4,2)', canonical: [9999, -9999, 0] },
  { name: 'DECIMAL of more digits than INT32 holds', type: 'INT32', annotation: { logical: dec(1, 15) }, values: plain.int32([2147483647, -1]), count: 2, as: 'DECIMAL(15,1)', canonical: [2147483647, -1] },
  { name: 'DECIMAL in INT64', type: 'INT64', annotation: { logical: dec(0, 18) }, values: plain.int64([999999999999999999n, -5n]), count: 2, as: 'DECIMAL(18,0)', canonical: [999999999999999999n, -5] },
  { name: 'small DECIMAL in INT64', type: 'INT64', annotation: { logical: dec(1, 3), converted: CONVERTED.DECIMAL, scale: 1, precision: 3 }, values: plain.int64([999n, -999n]), count: 2, as: 'DECIMAL(3,1)', canonical: [999, -999] },
  { name: 'DECIMAL in bytes', type: 'BYTE_ARRAY', annotation: { converted: CONVERTED.DECIMAL, precision: 20 }, values: plain.bytes([fixed([255]), fixed([0, 128]), fixed([]), fixed([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]), fixed([5, 107, 199, 94, 45, 99, 15, 255, 255])]), count: 5, as: 'DECIMAL(20,0)', canonical: [-1, 128, 0, 7, 99999999999999999999n] },
  { name: 'DECIMAL in 3 fixed bytes', type: 'FIXED_LEN_BYTE_ARRAY', annotation: { logical: dec(3, 6), length: 3 }, values: fixed([15, 66, 63], [240, 189, 193]), count: 2, as: 'DECIMAL(6,3)', canonical: [999999, -999999] },
  { name: 'DECIMAL in 20 fixed bytes', type: 'FIXED_LEN_BYTE_ARRAY', annotation: { logical: dec(0, 38), length: 20 }, values: fixed(new Array<number>(20).fill(255), [...new Array<number>(19).fill(0), 9]), count: 2, as: 'DECIMAL(38,0)', canonical: [-1, 9] },
  { name: 'DECIMAL in 16 fixed bytes', type: 'FIXED_LEN_BYTE_ARRAY', annotation: { logical: dec(2, 5), length: 16 }, values: fixed([...new Array<number>(14).fill(0), 1, 0], [...new Array<number>(14).fill(255), 255, 0]), count: 2, as: 'DECIMAL(5,2)', canonical: [256, -256] },
  { name: 'TIME millis', type: 'INT32', annotation: { converted: CONVERTED.TIME_MILLIS }, values: plain.int32([0, 86399999]), count: 2, as: 'TIME', canonical: [0, 86399999000] },
  { name: 'TIME millis UTC alone', type: 'INT32', annotation: { logical: timeType(LOGICAL.TIME, 1, true) }, values: plain.int32([1, -1, 86400000, 86400001]), count: 4, as: 'TIME', canonical: [1000, 86399999000, 86400000000, 1000], notes: ['times-in-utc'] },
  { name: 'TIME micros', type: 'INT64', annotation: { logical: timeType(LOGICAL.TIME, 2, false) }, values: plain.int64([1n, 86400000000n]), count: 2, as: 'TIME', canonical: [1, 86400000000] },
  { name: 'TIME nanos, exact', type: 'INT64', annotation: { logical: timeType(LOGICAL.TIME, 3, false) }, values: plain.int64([1000n, 86399999999000n]), count: 2, as: 'TIME', canonical: [1, 86399999999] },
  { name: 'TIME nanos', type: 'INT64', annotation: { logical: timeType(LOGICAL.TIME, 3, false) }, values: plain.int64([1999n, 5n]), count: 2, as: 'TIME', canonical: [1, 0], notes: ['times-cut'] },
  { name: 'TIMESTAMP millis', type: 'INT64', annotation: { converted: CONVERTED.TIMESTAMP_MILLIS }, values: plain.int64([-1n, 253402300799999n, 9223372036854775n]), count: 3, as: 'TIMESTAMP', canonical: [-1000, 253402300799999000n, 9223372036854775000n] },
  { name: 'TIMESTAMP micros UTC', type: 'INT64', annotation: { logical: timeType(LOGICAL.TIMESTAMP, 2, true), converted: CONVERTED.TIMESTAMP_MICROS }, values: plain.int64([-1n, 5n]), count: 2, as: 'TIMESTAMPTZ', canonical: [-1, 5] },
  { name: 'TIMESTAMP nanos', type: 'INT64', annotation: { logical: timeType(LOGICAL.TIMESTAMP, 3, false) }, values: plain.int64([-1n, 1577934245123456789n]), count: 2, as: 'TIMESTAMP_NS', canonical: [-1, 1577934245123456789n] },
  { name: 'TIMESTAMP nanos UTC, exact', type: 'INT64', annotation: { logical: timeType(LOGICAL.TIMESTAMP, 3, true) }, values: plain.int64([-1000n, 1577934245123456000n]), count: 2, as: 'TIMESTAMPTZ', canonical: [-1, 1577934245123456] },
  { name: 'TIMESTAMP nanos UTC', type: 'INT64', annotation: { logical: timeType(LOGICAL.TIMESTAMP, 3, true) }, values: plain.int64([-1001n, 1577934245123456000n]), count: 2, as: 'TIMESTAMP_NS', canonical: [-1001, 1577934245123456000n], notes: ['zone-dropped'] },
  { name: 'INT96', type: 'INT96', annotation: {}, values: plain.int96([[1000n, DAY_1970], [86399999999000n, DAY_1970 - 1], [0n, 2_147_483]]), count: 3, as: 'TIMESTAMP', canonical: [1, -1, -25324272000000000n] },
  { name: 'INT96 with nanoseconds', type: 'INT96', annotation: {}, values: plain.int96([[1999n, DAY_1970], [1n, DAY_1970 - 1]]), count: 2, as: 'TIMESTAMP', canonical: [1, -86400000000], notes: ['times-cut'] },
  { name: 'no type', type: 'INT32', annotation: { logical: logical(LOGICAL.UNKNOWN) }, values: new Uint8Array(0), count: 0, as: 'VARCHAR', canonical: [], notes: ['columns-empty'] },
  { name: 'no type, of old', type: 'BYTE_ARRAY', annotation: { converted: CONVERTED.NULL }, values: new Uint8Array(0), count: 0, as: 'VARCHAR', canonical: [], notes: ['columns-empty'] },
  { name: 'BOOLEAN', type: 'BOOLEAN', annotation: {}, values: fixed([0b101]), count: 3, as: 'BOOLEAN', canonical: [true, false, true] },
  { name: 'annotations that contradict', type: 'INT32', annotation: { logical: logical(LOGICAL.DATE), converted: CONVERTED.UINT_8 }, values: plain.int32([-1]), count: 1, as: 'DATE', canonical: [-1] }
]

describe('parquet-logical', () => {
  let duck: DuckValues
  before(async () => { duck = await DuckValues.open() })
  after(() => { duck.close() })

  for (const { name, type, annotation, values, count, as, canonical, notes = [] } of CASES) {
    it(`reads ${name} as the engine reads its block`, async () => await withFolder(async folder => {
      // one NULL in front
      const definitions = [0, ...new Array<number>(count).fill(1)]
      const path = join(folder, 'in.parquet')
      writeFileSync(path, craft([{ name: 'x', type, ...annotation }], 1, [{ rows: count + 1, chunks: [{ type, pages: [{ definitions, values }] }] }]))
      const { columns, notes: told } = await prepareParquet([inputAt(path)])
      assert.deepEqual(columns, [{ name: 'x', type: as }])
      assert.deepEqual(told.map(note => note.code), notes)
      const params: TableParameters = { columns, source: { format: 'parquet' }, target: { format: 'ndjson' } }
      const blocks = await blocksOf([path], params, 1 << 20, folder)
      assert.equal(blocks.length, 1)
      const [own] = [...readParquet({ path: blocks[0]!.path, size: 0 }, columns, { widen: true })]
      assert.deepEqual(own!.columns[0], [null, ...canonical])
      assert.deepEqual(await duck.rows(parquetFrom({ path: blocks[0]!.path, params }), columns), own!.columns[0]!.map(value => [value]))
      // In its block a type is said in words that the engine has, so no cast is left to make.
      const said = await duck.types(`read_parquet('${blocks[0]!.path}')`)
      const engine: Record<string, string> = { TIMESTAMPTZ: 'TIMESTAMP WITH TIME ZONE' }
      if (count > 0 && !notes.includes('times-in-utc')) assert.equal(said[0]!.type, engine[as] ?? as)
    }))
  }

  it('says what it cannot read', async () => await withFolder(async folder => {
    const refuse = async (element: Omit<CraftedElement, 'name'>, message: RegExp): Promise<void> => {
      const path = join(folder, 'refused.parquet')
      writeFileSync(path, craft([{ name: 'x', ...element }], 1, []))
      await assert.rejects(prepareParquet([inputAt(path)]), (error: unknown) => {
        assert.ok(error instanceof ConversionError, String(error))
        assert.equal(error.code, 'unsupported')
        assert.match(error.message, message)
        assert.ok(error.message.startsWith(`column 'x' of ${path}: `), error.message)
        assert.ok(!error.message.includes('\n'))
        return true
      })
    }
    await refuse({ type: 'INT32', converted: CONVERTED.DECIMAL, precision: 39, scale: 2 }, /DECIMAL\(39,2\).*at most 38 digits/)
    await refuse({ type: 'BOOLEAN', converted: CONVERTED.DECIMAL, precision: 3, scale: 2 }, /decimals stored as BOOLEAN/)
    await refuse({ type: 'INT32', converted: CONVERTED.DECIMAL, precision: 3, scale: 4 }, /DECIMAL\(3,4\)/)
    await refuse({ type: 'BYTE_ARRAY', logical: logical(LOGICAL.GEOMETRY) }, /geometry/)
    await refuse({ type: 'BYTE_ARRAY', logical: logical(LOGICAL.GEOGRAPHY) }, /geometry/)
    await refuse({ type: 'BYTE_ARRAY', logical: logical(LOGICAL.VARIANT) }, /variant/)
    await refuse({ type: 'BYTE_ARRAY', logical: logical(99) }, /newer kinds/)
    await refuse({ type: 'INT64', logical: logical(LOGICAL.DATE) }, /dates stored as INT64/)
    await refuse({ type: 'INT32', logical: timeType(LOGICAL.TIMESTAMP, 1, false) }, /stored as INT32/)
    await refuse({ type: 'INT64', logical: timeType(LOGICAL.TIME, 7, false) }, /unit is unknown/)
    await refuse({ type: 'INT32', logical: intType(64, true) }, /64 bit integers stored in 32 bits/)
    await refuse({ type: 'INT64', logical: intType(8, true) }, /8 bit integers stored in 64 bits/)
    await refuse({ type: 'FIXED_LEN_BYTE_ARRAY' }, /length is missing/)
    await refuse({ type: 'FIXED_LEN_BYTE_ARRAY', length: 3, logical: logical(LOGICAL.UUID) }, /16 bytes/)
    await refuse({ type: 'FIXED_LEN_BYTE_ARRAY', length: 3, logical: logical(LOGICAL.FLOAT16) }, /2 bytes/)
    await refuse({ type: 'BYTE_ARRAY', converted: CONVERTED.INTERVAL }, /12 bytes/)
  }))

  it('finds values that their type cannot have', async () => await withFolder(async folder => {
    const bad = async (element: Omit<CraftedElement, 'name'>, values: Uint8Array, message: RegExp): Promise<void> => {
      const path = join(folder, 'bad.parquet')
      writeFileSync(path, craft([{ name: 'x', ...element }], 1, [{ rows: 1, chunks: [{ type: element.type!, pages: [{ definitions: [1], values }] }] }]))
      await assert.rejects(async () => {
        const { columns } = await prepareParquet([inputAt(path)])
        return [...readParquet({ path, size: 0 }, columns)]
      }, (error: unknown) => {
        assert.ok(error instanceof ConversionError, String(error))
        assert.equal(error.code, 'bad-input')
        assert.match(error.message, message)
        assert.match(error.message, /bad\.parquet, row group 1, column 'x': /)
        return true
      })
    }
    await bad({ type: 'INT32', converted: CONVERTED.INT_8 }, plain.int32([128]), /128 is beyond the range of its type, TINYINT/)
    await bad({ type: 'INT32', logical: dec(2, 4) }, plain.int32([10000]), /10000 is beyond/)
    await bad({ type: 'INT64', logical: dec(2, 4) }, plain.int64([-10000n]), /-10000 is beyond/)
    await bad({ type: 'BYTE_ARRAY', logical: dec(2, 4) }, plain.bytes([fixed([39, 16])]), /more than 4 digits/)
    await bad({ type: 'BYTE_ARRAY', logical: dec(2, 4) }, plain.bytes([new Uint8Array(65)]), /a decimal of 65 bytes/)
    await bad({ type: 'FIXED_LEN_BYTE_ARRAY', length: 16, logical: dec(0, 2) }, fixed([...new Array<number>(15).fill(0), 100]), /more than 2 digits/)
    await bad({ type: 'INT64', logical: timeType(LOGICAL.TIME, 2, false) }, plain.int64([86400000001n]), /beyond the range of its type, TIME/)
    await bad({ type: 'INT64', converted: CONVERTED.TIMESTAMP_MILLIS }, plain.int64([9223372036854776n]), /too far away/)
    await bad({ type: 'INT96' }, plain.int96([[0n, 4294967295]]), /too far away/)
    await bad({ type: 'INT96' }, plain.int96([[-1n, DAY_1970]]), /negative time of the day/)
    await bad({ type: 'INT32', logical: logical(LOGICAL.UNKNOWN) }, plain.int32([1]), /no type, so it cannot have values/)
    await bad({ type: 'BYTE_ARRAY', converted: CONVERTED.UTF8 }, plain.bytes([fixed([255])]), /not UTF-8/)
  }))
})
