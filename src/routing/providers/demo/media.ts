/** Images, sounds and transcriptions of the demo model: small, and the same for the same request. */
import { crc32, deflateSync } from 'node:zlib'
import { textDocument } from '../../../core/media.ts'
import type { Upload } from '../../../core/ports/provider.ts'
import { type Bytes, toBytes } from '../../../core/record.ts'
import { hash, seeded } from './random.ts'
import { tokenize } from './text.ts'

const SIDE = 64
const MAX_IMAGES = 10

export const imagesAsked = ({ n }: { readonly n?: unknown }): number =>
  Number.isInteger(Number(n)) && Number(n) > 0 ? Math.min(Number(n), MAX_IMAGES) : 1

/** A PNG of a gradient, in colours of the prompt's. */
export function paint(prompt: string, index: number): Buffer {
  const random = seeded(hash(`${prompt}\n${index}`))
  const corners = Array.from({ length: 4 }, () => [random() * 255, random() * 255, random() * 255])
  const rows = Buffer.alloc(SIDE * (1 + 3 * SIDE))
  let at = 0
  for (let y = 0; y < SIDE; y++) {
    rows[at++] = 0
    for (let x = 0; x < SIDE; x++)
      for (let c = 0; c < 3; c++) {
        const [u, v] = [x / (SIDE - 1), y / (SIDE - 1)]
        const top = corners[0][c] * (1 - u) + corners[1][c] * u
        const bottom = corners[2][c] * (1 - u) + corners[3][c] * u
        rows[at++] = Math.round(top * (1 - v) + bottom * v)
      }
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(SIDE, 0)
  header.writeUInt32BE(SIDE, 4)
  // Eight bits of red, green and blue
  header.set([8, 2, 0, 0, 0], 8)
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    piece('IHDR', header),
    piece('IDAT', deflateSync(rows)),
    piece('IEND', Buffer.alloc(0)),
  ])
}

function piece(name: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data])
  const framed = Buffer.alloc(body.length + 8)
  framed.writeUInt32BE(data.length, 0)
  body.copy(framed, 4)
  framed.writeUInt32BE(crc32(body), body.length + 4)
  return framed
}

const RATE = 8_000
const WORD_SAMPLES = RATE / 8
const MAX_WORDS = 1_000
const HEADER_BYTES = 44

/** A WAV of a tone for each word, in as many pieces: the first has its header. */
export function sing(text: string): readonly Buffer[] {
  const words = tokenize(text).slice(0, MAX_WORDS)
  const tones = (words.length === 0 ? [''] : words).map(toneOf)
  const bytes = tones.length * WORD_SAMPLES * 2
  const header = Buffer.alloc(HEADER_BYTES)
  header.write('RIFF', 0, 'latin1')
  header.writeUInt32LE(HEADER_BYTES - 8 + bytes, 4)
  header.write('WAVEfmt ', 8, 'latin1')
  header.writeUInt32LE(16, 16)
  // PCM, one channel
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(1, 22)
  header.writeUInt32LE(RATE, 24)
  header.writeUInt32LE(RATE * 2, 28)
  header.writeUInt16LE(2, 32)
  header.writeUInt16LE(16, 34)
  header.write('data', 36, 'latin1')
  header.writeUInt32LE(bytes, 40)
  return [Buffer.concat([header, tones[0]]), ...tones.slice(1)]
}

function toneOf(word: string): Buffer {
  const hertz = 220 * 2 ** ((hash(word.trim().toLowerCase()) % 24) / 12)
  const samples = Buffer.alloc(WORD_SAMPLES * 2)
  for (let i = 0; i < WORD_SAMPLES; i++) {
    // Without a click at either end
    const loudness = 8_000 * Math.sin((Math.PI * i) / WORD_SAMPLES)
    samples.writeInt16LE(Math.round(loudness * Math.sin((2 * Math.PI * hertz * i) / RATE)), i * 2)
  }
  return samples
}

/** What it hears: how long the sound is. In the form that was asked for. */
export function hear({ name }: Upload, bytes: number, format: unknown): Bytes {
  const text = `A sound of ${bytes} bytes, called ${name}.`
  switch (format) {
    case 'text':
      return textDocument('text/plain; charset=utf-8', `${text}\n`)
    case 'srt':
      return textDocument('text/plain; charset=utf-8', `1\n00:00:00,000 --> 00:00:01,000\n${text}\n`)
    case 'vtt':
      return textDocument('text/vtt; charset=utf-8', `WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n${text}\n`)
    case 'verbose_json': {
      const segments = [{ id: 0, start: 0, end: 1, text }]
      return toBytes(JSON.stringify({ task: 'transcribe', language: 'english', duration: 1, text, segments }))
    }
    default:
      return toBytes(JSON.stringify({ text }))
  }
}
