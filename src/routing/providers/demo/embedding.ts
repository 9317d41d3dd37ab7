/** Unit vectors out of words: the same text has the same vector, and texts that share words are near each other. */
import { hash, seeded } from './random.ts'
import { tokenize } from './text.ts'

const DEFAULT_DIMENSIONS = 256
const MAX_DIMENSIONS = 4_096
/**
 * Additions for one request, about: of longer texts only the beginning is looked at, or a body of 4 MiB takes seconds.
 */
const MAX_WORK = 4_000_000

interface EmbeddingRequest {
  readonly model?: unknown
  readonly input?: unknown
  readonly dimensions?: unknown
  readonly encoding_format?: unknown
}

/** OpenAI's embedding answer. */
export function embed(request: EmbeddingRequest): Record<string, unknown> {
  const { input, dimensions, encoding_format: encoding } = request
  const texts = Array.isArray(input) && !input.every((item) => typeof item === 'number') ? input : [input]
  const length =
    typeof dimensions === 'number' && Number.isInteger(dimensions) && dimensions > 0
      ? Math.min(dimensions, MAX_DIMENSIONS)
      : DEFAULT_DIMENSIONS
  const most = Math.max(1, Math.floor(MAX_WORK / (length * texts.length)))
  let tokens = 0
  const data = texts.map((text, index) => {
    const words = typeof text === 'string' ? tokenize(text) : Array.isArray(text) ? text.map(String) : [String(text)]
    tokens += words.length
    const vector = vectorOf(words.slice(0, most), length)
    return {
      object: 'embedding',
      index,
      embedding: encoding === 'base64' ? Buffer.from(vector.buffer).toString('base64') : [...vector],
    }
  })
  return { object: 'list', data, model: request.model, usage: { prompt_tokens: tokens, total_tokens: tokens } }
}

function vectorOf(words: readonly string[], length: number): Float32Array {
  const sum = new Float32Array(length)
  for (const word of words.length === 0 ? [''] : words) {
    const random = seeded(hash(word.trim().toLowerCase()))
    for (let i = 0; i < length; i++) sum[i] += random() * 2 - 1
  }
  const norm = Math.hypot(...sum)
  return sum.map((x) => x / norm)
}
