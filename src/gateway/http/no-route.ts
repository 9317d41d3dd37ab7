/** The answer to a request for an unknown route: what to do, where we know it. */
import { SluiceError } from '../../core/errors.ts'
import { didYouMean } from '../../core/nearest.ts'

/** Longer paths are not compared with ours. */
const MAX_COMPARED_CHARS = 64

const CHAT = 'POST /v1/chat/completions'
const HINTS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^(?:\/v1)+\/?$/, 'This is the base URL of the API: try GET /v1/models.'],
  [
    /^\/(?:v1\/)*responses(?:\/|$)/,
    "Responses are at /v1/responses: the SDK's base URL must be this server's address followed by /v1.",
  ],
  [
    /^\/(?:v1\/)*completions$/,
    "Completions are at /v1/completions: the SDK's base URL must be this server's address followed by /v1.",
  ],
  [
    /^\/(?:v1\/)*(?:messages|complete)(?:\/|$)/,
    "Of Anthropic's API, /v1/messages and /v1/messages/count_tokens are served: an SDK's base URL is this server's " +
      'address without /v1. Its batches are /v1/batches with the endpoint /v1/messages (docs/batches.md).',
  ],
  [
    /^\/v1(?:alpha|beta)\d*\/|:(?:stream)?generateContent$/i,
    `Google's API is not served: use a client of OpenAI's API with ${CHAT}.`,
  ],
  [
    /^\/openai\/deployments\//,
    "Azure's paths are not served: use the plain OpenAI client with a base URL that ends in /v1.",
  ],
  [/^\/api\/(?:chat|generate|tags|embed)/, `Ollama's API is not served: use ${CHAT}, POST /v1/embeddings.`],
  [
    /^\/(?:v1\/)*(?:batches|files)(?:\/|$)/,
    "Batches are at /v1/batches, files at /v1/files: the SDK's base URL must be this server's address followed by /v1.",
  ],
  [
    /^\/(?:v1\/)*images(?:\/|$)/,
    'Of images, /v1/images/generations, /v1/images/edits and /v1/images/variations are served.',
  ],
  [
    /^\/(?:v1\/)*audio(?:\/|$)/,
    'Of sounds, /v1/audio/speech, /v1/audio/transcriptions and /v1/audio/translations are served.',
  ],
  [
    /^\/(?:v1\/)*(?:videos|moderations|realtime|assistants|threads|vector_stores|fine_tuning)(?:\/|$)/,
    "That part of OpenAI's API is not served: call the provider for it (docs/api.md has what is).",
  ],
  [/^\/admin(?:\/|$)/, 'The admin API has its own listener: at the public port + 1, unless admin.port is set.'],
  [/^\/metrics$/, 'Statistics are on the admin listener: GET /admin/stats.'],
  [
    /.\/v1(?:\/|$)|.\/(?:chat\/completions|embeddings|models)\/?$/,
    "The SDK's base URL must be this server's address followed by /v1, with no other path before or after it.",
  ],
]

/** Routes of OpenAI's API at paths where Sluice's own have other methods, or would take a name for an id. */
const OTHERS: ReadonlyArray<readonly [RegExp, string]> = [
  [
    /^POST \/(?:v1\/)*responses\/compact$/,
    'Responses are not compacted here: send what matters of them as "input"; or go on by "previous_response_id".',
  ],
]

/** What a listener knows of routes that it does not have. */
export interface Advice {
  /** Replaces the whole message. */
  hint(path: string, method: string): string | undefined
  /** Ends the message where there is no hint. */
  readonly ending: string
}

export const API_ADVICE: Advice = {
  hint: (path, method) => otherRoute(method, path) ?? HINTS.find(([pattern]) => pattern.test(path))?.[1],
  ending: ' The API begins with /v1.',
}

const otherRoute = (method: string, path: string): string | undefined =>
  OTHERS.find(([pattern]) => pattern.test(`${method} ${path}`))?.[1]

/** Null: what was asked for is a route of this server, with a method that it does not have. */
export function notThisOne(method: string, path: string): SluiceError | null {
  const message = otherRoute(method, path)
  return message === undefined ? null : new SluiceError('route_not_found', { message })
}

/** `isOfApi`: does the public listener, at `port`, have such a route? */
export const adminAdvice = (isOfApi: (path: string) => boolean, port: () => number): Advice => ({
  hint: (path) =>
    isOfApi(path) || /^\/v1(?:\/|$)/.test(path)
      ? `This is the admin listener; the API is at port ${port()}.`
      : undefined,
  ending: '',
})

/** `routes`: the paths of this listener. */
export function noRoute(method: string, path: string, routes: Iterable<string>, advice: Advice): SluiceError {
  const hint = advice.hint(path, method)
  if (hint !== undefined) return new SluiceError('route_not_found', { message: hint })
  const shown = path.length > MAX_COMPARED_CHARS ? `${path.slice(0, MAX_COMPARED_CHARS)}…` : path
  const near = path.length > MAX_COMPARED_CHARS ? '' : didYouMean(path, routes)
  return new SluiceError('route_not_found', {
    message: `There is no such route: ${method} ${shown}.${near}${advice.ending}`,
  })
}
