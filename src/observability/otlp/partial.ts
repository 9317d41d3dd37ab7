/** What a collector answers where it took only some: `partial_success` of its response, which is protobuf. */

export interface Partial {
  readonly rejected: number
  /** A sentence of the collector's; may be ''. */
  readonly message: string
}

const MAX_MESSAGE_BYTES = 1_024

/** Null: it took all, or its answer is malformed. */
export function partialOf(answer: Uint8Array): Partial | null {
  const inner = fieldsOf(answer)?.get(1)
  if (!(inner instanceof Uint8Array)) return null
  const fields = fieldsOf(inner)
  const rejected = fields?.get(1) ?? 0
  const message = fields?.get(2)
  const text = message instanceof Uint8Array ? Buffer.from(message.subarray(0, MAX_MESSAGE_BYTES)).toString() : ''
  const count = typeof rejected === 'number' && Number.isSafeInteger(rejected) ? rejected : 0
  return count === 0 && text === '' ? null : { rejected: count, message: text }
}

/** Numbers, and bytes, by field; the last one of each counts. Null: malformed. */
function fieldsOf(bytes: Uint8Array): ReadonlyMap<number, number | Uint8Array> | null {
  const fields = new Map<number, number | Uint8Array>()
  let at = 0
  const varint = (): number => {
    let [value, factor] = [0, 1]
    for (let i = 0; i < 10 && at < bytes.length; i++) {
      const byte = bytes[at++]
      value += (byte & 127) * factor
      if (byte < 128) return value
      factor *= 128
    }
    return Number.NaN
  }
  while (at < bytes.length) {
    const tag = varint()
    const [field, type] = [Math.floor(tag / 8), tag % 8]
    if (type === 0) fields.set(field, varint())
    else if (type === 1 || type === 5) at += type === 1 ? 8 : 4
    else if (type === 2) {
      const length = varint()
      if (!(length <= bytes.length - at)) return null
      fields.set(field, bytes.subarray(at, at + length))
      at += length
    } else return null
  }
  return fields
}
