/** Embeddings through the AI SDK, as a document of OpenAI's dialect. */
import { isObject } from '../../../core/fold.ts'
import type { CallContext, Models, Options } from './model.ts'
import { Untranslatable } from './request.ts'

/** Of one request; each of the provider's calls has as many as it takes. */
const MAX_INPUTS = 2_048

export async function embedded(
  body: Uint8Array,
  upstreamModel: string | null,
  models: Models,
  fetch: typeof globalThis.fetch,
  context: CallContext,
): Promise<{ readonly text: string; readonly usage: unknown }> {
  if (models.embedding === null) throw new Untranslatable('model', 'The provider of this model has no embeddings.')
  const { name, values, dimensions, isBase64 } = asked(body)
  const id = upstreamModel ?? name
  const model = models.embedding(id, fetch)
  const each = Math.max(1, Math.min((await model.maxEmbeddingsPerCall) ?? 1, MAX_INPUTS))
  const providerOptions = dimensions === null ? {} : { providerOptions: dimensionsOf(dimensions) }
  const data: unknown[] = []
  let tokens: number | null = 0
  for (let at = 0; at < values.length; at += each) {
    const some = values.slice(at, at + each)
    const { embeddings, usage } = await model.doEmbed({ values: some, ...providerOptions, ...context })
    if (embeddings.length !== some.length) throw new Error('not as many embeddings as inputs')
    for (const numbers of embeddings)
      data.push({
        object: 'embedding',
        index: data.length,
        embedding: isBase64 ? Buffer.from(Float32Array.from(numbers).buffer).toString('base64') : numbers,
      })
    tokens = usage === undefined || tokens === null ? null : tokens + usage.tokens
  }
  const usage = tokens === null ? undefined : { prompt_tokens: tokens, total_tokens: tokens }
  return { text: JSON.stringify({ object: 'list', data, model: id, ...(usage !== undefined && { usage }) }), usage }
}

function asked(body: Uint8Array) {
  let request: unknown
  try {
    request = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
  } catch {
    request = null
  }
  if (!isObject(request)) throw new Untranslatable('input', 'The request is not a JSON object.')
  const { input, model, dimensions, encoding_format } = request
  const values = typeof input === 'string' ? [input] : input
  if (!Array.isArray(values) || values.length === 0 || values.length > MAX_INPUTS)
    throw new Untranslatable('input', `Expected a text, or a list of 1 to ${MAX_INPUTS} texts.`)
  if (!values.every((value): value is string => typeof value === 'string'))
    throw new Untranslatable('input', 'The provider of this model takes texts, not tokens.')
  return {
    name: typeof model === 'string' ? model : '',
    values: values as readonly string[],
    dimensions: typeof dimensions === 'number' ? dimensions : null,
    isBase64: encoding_format === 'base64',
  }
}

const dimensionsOf = (dimensions: number): Options => ({
  google: { outputDimensionality: dimensions },
  vertex: { outputDimensionality: dimensions },
  bedrock: { dimensions },
  cohere: { outputDimension: dimensions },
})
