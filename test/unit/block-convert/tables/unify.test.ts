import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ConversionError } from '../../../../daemon/block-convert/errors.ts'
import { parseType, SCALARS, typeName } from '../../../../daemon/block-convert/tables/types.ts'
import { ColumnUnion, presentIn, uniteColumns, unifyTypes } from '../../../../daemon/block-convert/tables/unify.ts'

const scalar = fc.oneof(fc.constantFrom(...SCALARS.filter(kind => kind !== 'DECIMAL')), fc.tuple(fc.integer({ min: 1, max: 38 }), fc.nat(38)).filter(([p, s]) => s <= p).map(([p, s]) => `DECIMAL(${p},${s})`))
const type: fc.Arbitrary<string> = fc.letrec<{ type: string }>(tie => ({
  type: fc.oneof({ maxDepth: 3 }, scalar, tie('type').map(element => `${element}[]`), fc.tuple(scalar, tie('type')).map(([key, value]) => `MAP(${key}, ${value})`),
    fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1 }).chain(names => fc.tuple(...names.map(() => tie('type'))).map(types => `STRUCT(${names.map((name, i) => `"${name}" ${types[i]}`).join(', ')})`)))
})).type

/** The same but for the order of fields. */
function sorted (name: string): string {
  const sort = (t: ReturnType<typeof parseType>): ReturnType<typeof parseType> => ({
    ...t,
    ...(t.element != null ? { element: sort(t.element) } : {}),
    ...(t.key != null ? { key: sort(t.key) } : {}),
    ...(t.fields != null ? { fields: t.fields.map(field => ({ ...field, type: sort(field.type) })).toSorted((a, b) => a.name < b.name ? -1 : 1) } : {})
  })
  return typeName(sort(parseType(name)))
}

describe('unify', () => {
  it('gives the narrowest type that holds both exactly', () => {
    const cases: Array<[string, string, string | undefined]> = [
      ['INTEGER', 'INTEGER', 'INTEGER'],
      ['TINYINT', 'BIGINT', 'BIGINT'],
      ['UTINYINT', 'TINYINT', 'SMALLINT'],
      ['USMALLINT', 'TINYINT', 'INTEGER'],
      ['UTINYINT', 'INTEGER', 'INTEGER'],
      ['UINTEGER', 'INTEGER', 'BIGINT'],
      ['UINTEGER', 'UBIGINT', 'UBIGINT'],
      ['UBIGINT', 'TINYINT', 'DECIMAL(20,0)'],
      ['BIGINT', 'DECIMAL(5,2)', 'DECIMAL(21,2)'],
      ['UTINYINT', 'DECIMAL(5,4)', 'DECIMAL(7,4)'],
      ['BIGINT', 'DECIMAL(38,20)', undefined],
      ['DECIMAL(10,2)', 'DECIMAL(9,4)', 'DECIMAL(12,4)'],
      ['DECIMAL(38,0)', 'DECIMAL(2,1)', undefined],
      ['FLOAT', 'DOUBLE', 'DOUBLE'],
      ['SMALLINT', 'FLOAT', 'FLOAT'],
      ['INTEGER', 'FLOAT', 'DOUBLE'],
      ['UINTEGER', 'DOUBLE', 'DOUBLE'],
      ['BIGINT', 'DOUBLE', undefined],
      ['DECIMAL(4,2)', 'DOUBLE', undefined],
      ['DATE', 'TIMESTAMP', 'TIMESTAMP'],
      ['DATE', 'TIMESTAMP_S', 'TIMESTAMP_S'],
      ['TIMESTAMP_MS', 'TIMESTAMP_S', 'TIMESTAMP_MS'],
      ['TIMESTAMP', 'TIMESTAMP_NS', undefined],
      ['TIMESTAMP', 'TIMESTAMPTZ', undefined],
      ['DATE', 'TIMESTAMPTZ', undefined],
      ['VARCHAR', 'BIGINT', undefined],
      ['VARCHAR', 'JSON', undefined],
      ['BOOLEAN', 'TINYINT', undefined],
      ['BIGINT[]', 'INTEGER[]', 'BIGINT[]'],
      ['BIGINT[]', 'BIGINT', undefined],
      ['VARCHAR[]', 'INTEGER[]', undefined],
      ['MAP(VARCHAR, INTEGER)', 'MAP(VARCHAR, BIGINT)', 'MAP(VARCHAR, BIGINT)'],
      ['STRUCT("a" INTEGER, "b" DATE)', 'STRUCT("c" UUID, "a" BIGINT)', 'STRUCT("a" BIGINT, "b" DATE, "c" UUID)'],
      ['STRUCT("a" INTEGER)', 'STRUCT("b" INTEGER)', undefined],
      ['STRUCT("a" INTEGER)', 'STRUCT("A" INTEGER, "a2" INTEGER)', undefined],
      ['STRUCT("a" INTEGER)', 'STRUCT("a" VARCHAR)', undefined],
      ['STRUCT("x" INTEGER, "a" STRUCT("p" TINYINT)[])', 'STRUCT("x" INTEGER, "a" STRUCT("p" DECIMAL(3,1), "q" BLOB)[])', 'STRUCT("x" INTEGER, "a" STRUCT("p" DECIMAL(4,1), "q" BLOB)[])']
    ]
    for (const [a, b, both] of cases) {
      assert.equal(unifyTypes(a, b), both, `${a} and ${b}`)
      const back = unifyTypes(b, a)
      assert.equal(back == null ? undefined : sorted(back), both == null ? undefined : sorted(both), `${b} and ${a}`)
    }
  })

  it('is idempotent, symmetric but for field order, and absorbs what it united', () => {
    fc.assert(fc.property(type, type, (a, b) => {
      assert.equal(unifyTypes(a, a), a)
      const both = unifyTypes(a, b)
      const back = unifyTypes(b, a)
      assert.equal(both == null, back == null)
      if (both == null) return
      assert.equal(sorted(both), sorted(back!))
      assert.equal(unifyTypes(both, a), both)
      assert.equal(unifyTypes(both, b), both)
    }), { numRuns: 2000 })
  })

  it('unites columns by name in order of first appearance', () => {
    const { columns, present, notes } = uniteColumns([
      { path: 'one', columns: [{ name: 'a', type: 'INTEGER' }, { name: 'b', type: 'VARCHAR' }] },
      { path: 'two', columns: [{ name: 'c', type: 'DATE' }, { name: 'a', type: 'BIGINT' }] },
      { path: 'three', columns: [{ name: 'a', type: 'TINYINT' }, { name: 'b', type: 'VARCHAR' }, { name: 'c', type: 'DATE' }] }
    ])
    assert.deepEqual(columns, [{ name: 'a', type: 'BIGINT' }, { name: 'b', type: 'VARCHAR' }, { name: 'c', type: 'DATE' }])
    assert.deepEqual(present, [[0, 1], [2, 0], undefined])
    assert.deepEqual(notes, [
      { code: 'columns-united', message: "3 inputs have different columns and were united by name: 'b', 'c' are NULL where an input has no such column", columns: ['b', 'c'] },
      { code: 'types-united', message: "inputs have different types, which were widened without changing a value: 'a' is BIGINT", columns: ['a'] }
    ])
    assert.deepEqual(presentIn([{ name: 'x' }, { name: 'y' }], [{ name: 'y' }, { name: 'x' }]), [1, 0])
  })

  it('lets a column without a type become what the others are', () => {
    const nothing = { name: 'a', type: 'VARCHAR', nothing: true as const }
    for (const columns of [[nothing, { name: 'a', type: 'BIGINT' }], [{ name: 'a', type: 'BIGINT' }, nothing], [nothing, nothing, { name: 'a', type: 'BIGINT' }, nothing]]) {
      const united = uniteColumns(columns.map((column, i) => ({ path: `p${i}`, columns: [column] })))
      assert.deepEqual(united.columns, [{ name: 'a', type: 'BIGINT' }])
      assert.deepEqual(united.notes, [])
    }
    assert.deepEqual(uniteColumns([{ path: 'p', columns: [nothing] }]).columns, [{ name: 'a', type: 'VARCHAR' }])
  })

  it('says which files contradict one another, in one line', () => {
    const fails = (a: string, b: string, message: string, name = 'v'): void => {
      const union = new ColumnUnion()
      union.add('/data/one', [{ name: 'v', type: a }])
      assert.throws(() => { union.add('/data/two', [{ name, type: b }]) }, (error: unknown) => error instanceof ConversionError && error.code === 'unsupported' && error.message === message)
    }
    fails('VARCHAR', 'BIGINT', "column 'v' is VARCHAR in '/data/one' and BIGINT in '/data/two', and no type holds both exactly; convert one of them first")
    fails('BIGINT', 'BIGINT', "'/data/one' has a column 'v' and '/data/two' a column 'V', which differ only in case; rename one", 'V')
    // the file that gave the type its present form is the one to name
    const union = new ColumnUnion()
    union.add('one', [{ name: 'v', type: 'INTEGER' }])
    union.add('two', [{ name: 'v', type: 'BIGINT' }])
    assert.throws(() => { union.add('three', [{ name: 'v', type: 'DOUBLE' }]) }, /BIGINT in 'two' and DOUBLE in 'three'/)
  })

  it('keeps its notes short', () => {
    const union = new ColumnUnion()
    const many = (type: string): Array<{ name: string, type: string }> => Array.from({ length: 500 }, (_, i) => ({ name: `column ${i}`, type }))
    union.add('one', [...many('INTEGER'), { name: 'more', type: `STRUCT(${Array.from({ length: 90 }, (_, i) => `"f${i}" INTEGER`).join(', ')})` }])
    union.add('two', [...many('BIGINT'), ...many('BIGINT').map(({ name, type }) => ({ name: `${name}b`, type }))])
    for (const note of union.notes()) {
      assert.ok(note.message.length < 1500, note.message)
      assert.ok(note.columns!.length <= 20)
    }
  })
})
