/** Edits the texts in a JSON value where they stand. */

/** The names of members, and the positions in lists, that lead to a text. Valid while it is visited. */
export type Names = ReadonlyArray<string | number>

const [QUOTE, BACKSLASH, COMMA, OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY] = [
  0x22, 0x5c, 0x2c, 0x7b, 0x7d, 0x5b, 0x5d,
]

/**
 * The same JSON with each text as `edit` returns it. What `edit` returns as it was keeps its bytes; so does everything
 * that is no text, names of members included. `json` is valid UTF-8 JSON. Linear in its length, whatever its depth.
 */
export function editStrings(json: Uint8Array, edit: (text: string, names: Names) => string): Uint8Array {
  const bytes = Buffer.from(json.buffer, json.byteOffset, json.byteLength)
  const parts: Uint8Array[] = []
  const names: Array<string | number> = []
  /** The next text is the name of a member. */
  let isName = false
  let kept = 0
  for (let i = 0; i < bytes.length; i++) {
    switch (bytes[i]) {
      case OPEN_OBJECT:
        names.push('')
        isName = true
        break
      case OPEN_ARRAY:
        names.push(0)
        isName = false
        break
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        names.pop()
        isName = false
        break
      case COMMA: {
        const last = names.length - 1
        const at = names[last]
        if (typeof at === 'number') names[last] = at + 1
        else isName = true
        break
      }
      case QUOTE: {
        const end = endOfString(bytes, i)
        if (isName) {
          names[names.length - 1] = decode(bytes, i, end)
          isName = false
        } else {
          const text = decode(bytes, i, end)
          const edited = edit(text, names)
          if (edited !== text) {
            parts.push(bytes.subarray(kept, i), Buffer.from(JSON.stringify(edited), 'utf8'))
            kept = end
          }
        }
        i = end - 1
      }
    }
  }
  if (kept === 0) return json
  parts.push(bytes.subarray(kept))
  return Buffer.concat(parts)
}

/** Index after the string that begins at `start`, a quote. */
function endOfString(bytes: Buffer, start: number): number {
  for (let end = start; ; ) {
    end = bytes.indexOf(QUOTE, end + 1)
    if (end < 0) return bytes.length
    let slashes = 0
    while (bytes[end - 1 - slashes] === BACKSLASH) slashes++
    if (slashes % 2 === 0) return end + 1
  }
}

const decode = (bytes: Buffer, start: number, end: number): string => {
  const text = bytes.toString('utf8', start + 1, end - 1)
  return text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text
}
