/** What the conversions promise, in words: the static part of docs/converters.md. Tests and the check of real files hold the product to it. */
import type { Source } from '../../test/fuzz/arbitrary.ts'

export const TITLES: Record<Source, string> = { csv: 'CSV', ndjson: 'NDJSON', json: 'JSON', parquet: 'Parquet', arrow: 'Arrow file', arrows: 'Arrow stream' }

/** What each source's values become. */
export const READING: Array<{ from: Source[], lines: string[] }> = [
  {
    from: ['csv'],
    lines: [
      'A column has the narrowest of BIGINT, DECIMAL(p,s), BOOLEAN, DATE, TIME, TIMESTAMP that holds *every* value exactly, else VARCHAR: `007`, `+5`, `1e3` stay text. DOUBLE and TIMESTAMPTZ only where they are asked for (`--set type:NAME=TYPE`).',
      'Types come from samples of the whole input and are proved for every value; a value that contradicts them later widens the column (`schema-widened` in the report), and blocks done before are converted again.',
      'An empty field is NULL, a quoted empty one the empty text.',
      'Names: an empty one becomes `column_N`, a repeated one (case does not count) gets `_2`, `_3`, ... (`columns-renamed`).',
      'Not kept, since no type has it: how a value was written (`1.5` beside `2.25` reads back as `1.50`, `True` as `true`, `T` between date and time as a space), quoting, line ends, comments.'
    ]
  },
  {
    from: ['ndjson', 'json'],
    lines: [
      'Keys are columns, in order of appearance; a key that is missing is NULL, as `null` is.',
      'Integers are BIGINT; other numbers DOUBLE if the shortest form of their double is the same number, else they keep all their digits; strings VARCHAR (never dates, unless declared); booleans BOOLEAN.',
      'Objects and arrays are STRUCT and LIST where every value agrees on a type, else JSON (any value, as its text), and always JSON with `--set nested=json`. In a STRUCT a missing field is null. The order of keys is that of the first object.',
      'A document that is one object is a table of one row; an array of something else than objects is one column, `value`.',
      'Not kept: white space, escapes, how a number is written (`1.50` is `1.5`), a key given twice in one object.'
    ]
  },
  {
    from: ['parquet'],
    lines: [
      'Every value keeps its type: integers of 8 to 64 bits with and without sign, FLOAT, DOUBLE, DECIMAL up to 38 digits, DATE, TIME, TIMESTAMP in seconds to nanoseconds and with zone (an instant, UTC), VARCHAR, BLOB, UUID, JSON, LIST, STRUCT, MAP.',
      'INT96 is TIMESTAMP, FLOAT16 is FLOAT, ENUM is VARCHAR. Key-value metadata is dropped with a note, except what is about how it was encoded.'
    ]
  },
  {
    from: ['arrow', 'arrows'],
    lines: [
      'The same types as Parquet\'s and intervals. Dictionaries become their values, large and view types the plain ones, durations intervals, `null` columns VARCHAR; instants keep the instant, the name of their zone is dropped. Each of these is a note in the report.'
    ]
  }
]

/** What each target does to values. */
export const WRITING: Array<{ to: Source[], lines: string[] }> = [
  {
    to: ['csv'],
    lines: [
      'NULL is an empty field, the empty text `""`. Dates and times `yyyy-mm-dd hh:mm:ss[.f]`, instants with `+00`; doubles in the shortest form that reads back equal, `nan`, `inf`; bytes `\\xHH` where not printable.',
      'Nested values and JSON are JSON text (`nested-as-text`). A text with a NUL character is refused.'
    ]
  },
  {
    to: ['ndjson', 'json'],
    lines: [
      'One object per row with every key. Integers and decimals with all their digits; dates, times, UUIDs, bytes and intervals as strings in the form CSV has (`type-as-text`).',
      'NaN and infinities are the texts `NaN`, `Infinity`, `-Infinity` (`nonfinite`; `--set nonfinite=null|error` for something else). MAPs are objects.'
    ]
  },
  { to: ['parquet'], lines: ['Types are kept; TIMESTAMP in seconds or milliseconds is read back in microseconds or milliseconds. Intervals are whole milliseconds there, others are refused. Compressed with Snappy unless `--set compression=` says otherwise.'] },
  { to: ['arrow', 'arrows'], lines: ['Types are kept, one form each: 32-bit offsets, decimal128, date32, time64[us], timestamp[us, UTC] for instants. JSON and UUID are text (`json-as-text`).'] }
]

/** Types of columns, and the form they have in each format. */
export const TYPES: string[][] = [
  ['column', 'CSV', 'JSON, NDJSON', 'Parquet', 'Arrow'],
  ['BOOLEAN', '`true`, `false`', 'boolean', 'BOOLEAN', 'bool'],
  ['TINYINT ... BIGINT, UTINYINT ... UBIGINT', 'digits', 'number', 'INT32, INT64 with INTEGER(bits, signed)', 'int8 ... uint64'],
  ['FLOAT, DOUBLE', 'shortest form, `nan`, `inf`', 'number; `"NaN"`, `"Infinity"`', 'FLOAT, DOUBLE', 'float32, float64'],
  ['DECIMAL(p,s)', 'all digits', 'number, all digits', 'DECIMAL in INT32, INT64 or 16 bytes', 'decimal128'],
  ['DATE', '`yyyy-mm-dd`', 'string', 'DATE', 'date32'],
  ['TIME', '`hh:mm:ss[.ffffff]`', 'string', 'TIME(micros)', 'time64[us]'],
  ['TIMESTAMP, _S, _MS, _NS', '`yyyy-mm-dd hh:mm:ss[.f]`', 'string', 'TIMESTAMP(micros, millis, nanos)', 'timestamp[s, ms, us, ns]'],
  ['TIMESTAMPTZ', 'the same with `+00`', 'string', 'TIMESTAMP(micros, UTC)', 'timestamp[us, UTC]'],
  ['INTERVAL', 'words and clock', 'string', 'INTERVAL (milliseconds)', 'month-day-nano interval'],
  ['VARCHAR', 'text', 'string', 'STRING', 'utf8'],
  ['JSON', 'JSON text', 'the value itself', 'JSON', 'utf8'],
  ['BLOB', '`\\xHH`', 'string, `\\xHH`', 'BYTE_ARRAY', 'binary'],
  ['UUID', 'text', 'string', 'UUID', 'utf8'],
  ['LIST, STRUCT, MAP', 'JSON text', 'array, object, object', 'LIST, group, MAP', 'list, struct, map']
]
