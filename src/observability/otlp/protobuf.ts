/**
 * Writes protobuf into one growing buffer. Only what OTLP needs: varints, fixed numbers, texts, and messages within
 * messages, whose lengths are known when they end.
 */
const FIRST_BYTES = 16 * 1024
/** Of a length, as it is reserved before a message: most of ours have at most 127 bytes. */
const LENGTH_BYTES = 1
const TWO_32 = 2 ** 32

const utf8 = new TextEncoder()

export class ProtoWriter {
  #buffer = new Uint8Array(FIRST_BYTES)
  #view = new DataView(this.#buffer.buffer)
  #at = 0

  get length(): number {
    return this.#at
  }

  /** A copy of what was written. */
  bytes(): Uint8Array {
    return this.#buffer.slice(0, this.#at)
  }

  clear(): void {
    this.#at = 0
  }

  /** Takes back what was written since it was this long. */
  back(length: number): void {
    this.#at = length
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const larger = new Uint8Array(Math.max(this.#buffer.length * 2, this.#at + bytes))
    larger.set(this.#buffer)
    this.#buffer = larger
    this.#view = new DataView(larger.buffer)
  }

  /** A whole number below 2^53. */
  #varint(value: number): void {
    let rest = value
    while (rest > 127) {
      this.#buffer[this.#at++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    this.#buffer[this.#at++] = rest
  }

  /** Fields have numbers below 16, and so one byte of tag: `number << 3 | wire type`. */
  uint(field: number, value: number): void {
    this.#room(10)
    this.#buffer[this.#at++] = field << 3
    this.#varint(value)
  }

  double(field: number, value: number): void {
    this.#room(9)
    this.#buffer[this.#at++] = (field << 3) | 1
    this.#view.setFloat64(this.#at, value, true)
    this.#at += 8
  }

  /** A whole number below 2^64, as exact as a double is. */
  fixed64(field: number, value: number): void {
    this.#room(9)
    this.#buffer[this.#at++] = (field << 3) | 1
    this.#fixed(value)
  }

  #fixed(value: number): void {
    const high = Math.floor(value / TWO_32)
    this.#view.setUint32(this.#at, value - high * TWO_32, true)
    this.#view.setUint32(this.#at + 4, high, true)
    this.#at += 8
  }

  /** A field beyond the 15th has two bytes of tag. */
  fixed32(field: number, value: number): void {
    this.#room(6)
    this.#varint((field << 3) | 5)
    this.#view.setUint32(this.#at, value, true)
    this.#at += 4
  }

  packedFixed64(field: number, values: ArrayLike<number>): void {
    this.#packed(field, values.length)
    for (let i = 0; i < values.length; i++) this.#fixed(values[i])
  }

  packedDoubles(field: number, values: ArrayLike<number>): void {
    this.#packed(field, values.length)
    for (let i = 0; i < values.length; i++) {
      this.#view.setFloat64(this.#at, values[i], true)
      this.#at += 8
    }
  }

  #packed(field: number, count: number): void {
    this.#room(11 + 8 * count)
    this.#buffer[this.#at++] = (field << 3) | 2
    this.#varint(8 * count)
  }

  text(field: number, value: string): void {
    const { length } = value
    this.#room(6 + 3 * length)
    this.#buffer[this.#at++] = (field << 3) | 2
    const from = this.#at
    if (length < 128) {
      this.#buffer[this.#at++] = length
      let i = 0
      for (let code = 0; i < length; i++) {
        code = value.charCodeAt(i)
        if (code > 127) break
        this.#buffer[this.#at++] = code
      }
      if (i === length) return
    }
    this.#at = from
    const bytes = utf8.encode(value)
    this.#varint(bytes.length)
    this.#buffer.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** Bytes that are written as hexadecimal digits: ids. */
  hex(field: number, digits: string): void {
    const bytes = digits.length / 2
    this.#room(2 + bytes)
    this.#buffer[this.#at++] = (field << 3) | 2
    this.#buffer[this.#at++] = bytes
    for (let i = 0; i < digits.length; i += 2)
      this.#buffer[this.#at++] = (nibble(digits.charCodeAt(i)) << 4) | nibble(digits.charCodeAt(i + 1))
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#buffer.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** A message's field; returns where its content begins, for `end`. */
  begin(field: number): number {
    this.#room(2 + LENGTH_BYTES)
    this.#buffer[this.#at++] = (field << 3) | 2
    this.#at += LENGTH_BYTES
    return this.#at
  }

  end(from: number): void {
    const length = this.#at - from
    if (length < 128) {
      this.#buffer[from - LENGTH_BYTES] = length
      return
    }
    const more = (length < 1 << 14 ? 2 : length < 1 << 21 ? 3 : length < 1 << 28 ? 4 : 5) - LENGTH_BYTES
    this.#room(more)
    this.#buffer.copyWithin(from + more, from, this.#at)
    const end = this.#at + more
    this.#at = from - LENGTH_BYTES
    this.#varint(length)
    this.#at = end
  }
}

const nibble = (code: number): number => (code > 57 ? code - 87 : code - 48)
