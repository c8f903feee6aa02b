/** The Protobuf text in docs/protocol.md says what the codecs do. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Codec } from '../../../daemon/task-protocol/codec.ts'
import { leaseMessage } from '../../../daemon/task-protocol/messages.ts'
import { orderLeafCodec, receiptLeafCodec, taskMessage } from '../../../daemon/task-protocol/task-messages.ts'

const text = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'protocol.md'), 'utf8')
const proto = [...text.matchAll(/```protobuf\n([\s\S]*?)```/g)].map(match => match[1]!.replaceAll(/\/\/.*/g, '')).join('\n')

/** `name -> { field number -> "label type field_name" }` of every message in the text. */
const documented = new Map<string, Map<number, string>>()
for (const [, name, body] of proto.matchAll(/message (\w+) \{((?:[^{}]|\{[^{}]*\})*)\}/g)) {
  const fields = new Map<number, string>()
  for (const [, label, type, field, number] of body!.matchAll(/(optional |repeated )?(\w+) (\w+) = (\d+);/g)) fields.set(Number(number), `${label ?? ''}${type} ${field}`)
  documented.set(name!, fields)
}

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, letter => `_${letter.toLowerCase()}`).replaceAll('-', '_')

const codecs = new Map<string, Codec<any>>()
function collect (codec: Codec<any>): void {
  codecs.set(codec.name, codec)
  for (const field of Object.values(codec.fields)) if (field.type === 'message') collect(field.codec)
}
for (const { codec } of [...Object.values(leaseMessage.kinds), ...Object.values(taskMessage.kinds)]) collect(codec)
collect(orderLeafCodec)
collect(receiptLeafCodec)

function typeOf (field: Codec<any>['fields'][string]): RegExp {
  switch (field.type) {
    case 'uint': return field.max <= 2 ** 32 - 1 ? /^uint32$/ : /^uint64$/
    case 'bool': return /^bool$/
    case 'bytes': return /^bytes$/
    case 'string': return /^string$/
    case 'enum': return /^(Refusal|Pool|FailureReason)$/
    case 'message': return new RegExp(`^${field.codec.name}$`)
  }
}

describe('docs/protocol.md', () => {
  for (const [name, codec] of codecs) {
    it(`describes ${name} as it is`, () => {
      const fields = documented.get(name)
      assert.ok(fields != null, `no message ${name}`)
      const actual = new Map(Object.entries(codec.fields).map(([key, field]) => [field.number, { key, field }]))
      assert.deepEqual([...fields.keys()].toSorted(), [...actual.keys()].toSorted())
      for (const [number, { key, field }] of actual) {
        const [type, fieldName] = fields.get(number)!.split(' ').slice(-2) as [string, string]
        assert.equal(fieldName, snake(key))
        assert.match(type, typeOf(field))
        const label = field.repeated != null ? 'repeated' : field.optional === true ? 'optional' : ''
        assert.equal(fields.get(number)!.split(' ').length === 3 ? fields.get(number)!.split(' ')[0] : '', label, `${name}.${key}`)
      }
    })
  }

  for (const union of [leaseMessage, taskMessage]) {
    it(`numbers the kinds of ${union.name} as they are`, () => {
      const fields = documented.get(union.name)!
      const actual = Object.entries(union.kinds).map(([type, { number, codec }]): [number, string] => [number, `${codec.name} ${snake(type)}`])
      assert.deepEqual([...fields].toSorted(([a], [b]) => a - b), actual.toSorted(([a], [b]) => a - b))
    })
  }

  it('numbers the values of the enumerations as they are', () => {
    for (const codec of codecs.values()) {
      for (const [key, field] of Object.entries(codec.fields)) {
        if (field.type !== 'enum') continue
        const [type] = documented.get(codec.name)!.get(field.number)!.split(' ').slice(-2)
        const [, body] = proto.match(new RegExp(`enum ${type} \\{([^}]*)\\}`))!
        const values = [...body!.matchAll(/(\w+) = (\d+);/g)].map(([, value, number]): [number, string] => [Number(number), value!.toLowerCase().replace(/^f_/, '').replaceAll('_', '-')])
        assert.deepEqual(values.slice(1), field.values.map((value, i) => [i + 1, value]), `${codec.name}.${key}`)
      }
    }
  })
})
