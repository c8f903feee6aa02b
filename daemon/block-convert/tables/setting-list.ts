/**
 * Every setting of table conversions, and those of compressing, in a line, for people: the help of the command line and the documents are made from it, and a test holds
 * it against the settings there are. Imports nothing, so that help is there at once.
 */
export interface SettingLine {
  /** As in `--set key=value`. */
  key: string
  /** What may stand behind `=`. */
  value: string
  /** One line; the default in it where there is one. */
  says: string
}

export interface SettingGroup {
  title: string
  settings: SettingLine[]
}

export const SETTING_GROUPS: SettingGroup[] = [
  {
    title: 'reading CSV',
    settings: [
      { key: 'delimiter', value: 'CHAR', says: 'between fields: , ; | tab space ... (found by looking)' },
      { key: 'quote', value: 'CHAR|none', says: 'around fields (found by looking)' },
      { key: 'escape', value: 'CHAR', says: 'before a quote within a field (the quote, doubled)' },
      { key: 'header', value: 'true|false', says: 'the first line names the columns (found by looking)' },
      { key: 'comment', value: 'CHAR|none', says: 'lines that begin with it are left out (none)' },
      { key: 'ragged', value: 'error|pad|skip-and-report', says: 'lines with too few or too many fields (error)' }
    ]
  },
  {
    title: 'reading CSV and JSON',
    settings: [
      { key: 'encoding', value: 'NAME', says: 'utf-8, utf-16le, utf-16be, windows-1252, iso-8859-1, iso-8859-15 (found by looking)' },
      { key: 'types', value: 'auto|text', says: 'text: take every column as it is written (auto)' },
      { key: 'type:NAME', value: 'TYPE', says: 'the type of one column: VARCHAR, BIGINT, DECIMAL(p,s), DOUBLE, BOOLEAN, DATE, TIME, TIMESTAMP, TIMESTAMPTZ' },
      { key: 'schema', value: 'FILE', says: 'types of many: a file with {"id": "BIGINT", "price": "DECIMAL(12,2)"}, or that text itself' },
      { key: 'fractions', value: 'exact|double', says: 'JSON numbers with more digits than a double has: keep them, or round (exact)' },
      { key: 'nested', value: 'typed|json', says: 'JSON objects and arrays: STRUCT and LIST columns, or their JSON text (typed)' }
    ]
  },
  {
    title: 'writing',
    settings: [
      { key: 'to.delimiter', value: 'CHAR', says: 'CSV: between fields (,; a tab for --to tsv)' },
      { key: 'to.quote', value: 'CHAR', says: 'CSV: around fields that need it (")' },
      { key: 'to.escape', value: 'CHAR', says: 'CSV: before a quote within a field (the quote, doubled)' },
      { key: 'to.header', value: 'true|false', says: 'CSV: begin with the names of the columns (true)' },
      { key: 'nonfinite', value: 'text|null|error', says: 'JSON: what NaN and infinity become (text)' },
      { key: 'compression', value: 'snappy|zstd|gzip|uncompressed', says: 'Parquet: how its pages are compressed (snappy)' },
      { key: 'partition_by', value: 'COLUMN,...', says: 'a folder with a file per value: OUT/COLUMN=VALUE/data-0.EXT' }
    ]
  },
  {
    title: 'compressed files',
    settings: [
      { key: 'level', value: 'NUMBER', says: 'where a file is only compressed (x.csv to csv.gz): how hard (the usual one of each)' },
      { key: 'max_expansion', value: 'NUMBER', says: 'how many times its size a compressed input may become (100)' }
    ]
  }
]
