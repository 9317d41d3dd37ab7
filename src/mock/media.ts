/** The mock's images, sounds and transcriptions. Of a sound, N of "nN" are pieces of 1,000 bytes. */
import type { ServerResponse } from 'node:http'
import type { Clock } from '../core/clock.ts'

/** As the model's name says (server.ts). */
type Script = Readonly<Record<string, number | undefined>>
type Media = (response: ServerResponse, text: string, script: Script, clock: Clock) => void

/** One grey pixel. */
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=='
const PIECE_BYTES = 1_000

/** Null: the path is none of these. */
export function mediaAt(path: string): Media | null {
  if (/\/images\/(?:generations|edits|variations)$/.test(path)) return images
  if (path.endsWith('/audio/speech')) return speech
  return path.endsWith('/audio/transcriptions') || path.endsWith('/audio/translations') ? transcription : null
}

/** A form's fields as JSON, with the size of its file. */
export function fieldsOf(body: Buffer): string {
  const text = body.toString('latin1')
  const fields: Record<string, unknown> = {}
  for (const [, name, value] of text.matchAll(/name="([\w[\]]+)"\r\n\r\n([^\r]*)\r\n/g)) fields[name] = value
  for (const file of text.matchAll(/name="(file|image(?:\[\])?|mask)"; filename="([^"]*)"\r\n[^\r]*\r\n\r\n/g)) {
    const from = file.index + file[0].length
    fields[file[1]] = { name: file[2], bytes: text.indexOf('\r\n--', from) - from }
  }
  return JSON.stringify(fields)
}

const images: Media = (response, text, script, clock) => {
  const { n: asked = 1 } = JSON.parse(text) as { n?: number | string }
  const n = Number(asked)
  const data = Array.from({ length: n }, () => ({ b64_json: PNG }))
  const usage = { input_tokens: 19, output_tokens: 10 * n, total_tokens: 19 + 10 * n }
  clock.after(script['f'] ?? 0, () => json(response, { created: 1750000000, data, usage }))
}

const speech: Media = (response, _text, script, clock) => {
  const count = script['n'] ?? 10
  let next = 0
  const step = (): void => {
    if (response.destroyed) return
    if (next === script['k']) return void response.destroy()
    if (next === script['s']) return
    if (next === count) return void response.end()
    response.write(Buffer.alloc(PIECE_BYTES, next++ % 256))
    clock.after(script['d'] ?? 0, step)
  }
  clock.after(script['f'] ?? 0, () => {
    response.writeHead(200, { 'content-type': 'audio/mpeg' })
    step()
  })
}

const transcription: Media = (response, text, script, clock) => {
  const { file, response_format: format } = JSON.parse(text) as {
    file?: { bytes: number }
    response_format?: string
  }
  const heard = `mock heard ${file?.bytes ?? 0} bytes`
  clock.after(script['f'] ?? 0, () => {
    if (format === undefined || format.endsWith('json'))
      return json(response, { text: heard, usage: { type: 'duration', seconds: 1 } })
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' })
    response.end(`${heard}\n`)
  })
}

function json(response: ServerResponse, body: unknown): void {
  if (response.destroyed) return
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
