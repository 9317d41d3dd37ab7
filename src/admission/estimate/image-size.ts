/** How large an image is, from the head of its file: a few bytes of it are decoded, wherever they are. */

export interface Size {
  readonly width: number
  readonly height: number
}

/** A JPEG may have this many segments (thumbnail, colors, comments) before the one that has its size. */
const MAX_SEGMENTS = 32
/** Of a data URL, before its data. */
const MAX_HEAD_CHARS = 300

/** Of base64, or of a data URL. Null: it is no PNG, JPEG, WebP or GIF, or a broken one. */
export function imageSize(text: string): Size | null {
  const start = text.startsWith('data:') ? text.slice(0, MAX_HEAD_CHARS).indexOf(',') + 1 : 0
  const read = (at: number, length: number): Buffer => {
    const from = start + Math.floor(at / 3) * 4
    const head = text.slice(from, from + Math.ceil((length + 2) / 3) * 4 + 4)
    return Buffer.from(head, 'base64').subarray(at % 3, (at % 3) + length)
  }
  const size = sizeIn(read)
  return size !== null && size.width > 0 && size.height > 0 ? size : null
}

type Read = (at: number, length: number) => Buffer

function sizeIn(read: Read): Size | null {
  const head = read(0, 30)
  if (head.length < 30) return null
  const magic = head.toString('latin1', 0, 4)
  if (magic === '\x89PNG') return { width: head.readUInt32BE(16), height: head.readUInt32BE(20) }
  if (magic === 'GIF8') return { width: head.readUInt16LE(6), height: head.readUInt16LE(8) }
  if (magic === 'RIFF' && head.toString('latin1', 8, 12) === 'WEBP') return webpSize(head)
  return head.readUInt16BE(0) === 0xffd8 ? jpegSize(read) : null
}

function webpSize(head: Buffer): Size | null {
  switch (head.toString('latin1', 12, 16)) {
    case 'VP8 ':
      return { width: head.readUInt16LE(26) & 0x3fff, height: head.readUInt16LE(28) & 0x3fff }
    case 'VP8L': {
      const bits = head.readUInt32LE(21)
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 }
    }
    case 'VP8X':
      return { width: head.readUIntLE(24, 3) + 1, height: head.readUIntLE(27, 3) + 1 }
    default:
      return null
  }
}

function jpegSize(read: Read): Size | null {
  for (let at = 2, n = 0; n < MAX_SEGMENTS; n++) {
    const segment = read(at, 9)
    if (segment.length < 9 || segment[0] !== 0xff) return null
    const marker = segment[1]
    // Start of frame, of any coding; between them are three others
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc)
      return { width: segment.readUInt16BE(7), height: segment.readUInt16BE(5) }
    // A byte to fill up
    at += marker === 0xff ? 1 : 2 + segment.readUInt16BE(2)
  }
  return null
}
