/**
 * The OpenAPI document of the public listener: from the table of its routes, the dialects, the table of errors and the
 * options that are read. Pure; made once, when it is first asked for.
 */
import { ERRORS } from '../../../core/errors.ts'
import type { Dialects } from '../../../core/ports/dialect.ts'
import { errorJson } from '../../../core/wire.ts'
import type { Route } from '../../http/route.ts'
import { type Operation, operationOf, TAGS } from './operations.ts'
import { OPTIONS } from './options.ts'
import { IGNORED, PARAMETERS } from './parameters.ts'
import { anything, described, ref, type Schema, text } from './schema.ts'
import { SCHEMAS } from './schemas.ts'

export interface OpenApi {
  readonly openapi: string
  readonly info: Schema
  readonly servers: readonly Schema[]
  readonly tags: readonly Schema[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Schema>>>>
  readonly components: Schema
}

export interface Made {
  readonly document: OpenApi
  /** What its sources don't describe: "GET /v1/new", "GET /v1/new?parameter". */
  readonly missing: readonly string[]
}

export function openApi(routes: readonly Route[], { spoken }: Pick<Dialects, 'spoken'>): Made {
  const missing: string[] = []
  const paths: Record<string, Record<string, Schema>> = {}
  const ofClients = new Set(spoken.flatMap(({ requests }) => requests.flatMap(({ query }) => query)))
  const describe = ({ method, path }: Route, name: string): Schema => {
    const schema = PARAMETERS[`${method} ${path} ${name}`] ?? PARAMETERS[name]
    if (schema === undefined && !ofClients.has(name)) missing.push(`${method} ${path}?${name}`)
    return schema ?? IGNORED
  }
  for (const route of routes) {
    const known = operationOf(route, spoken)
    if (known === undefined) missing.push(`${route.method} ${route.path}`)
    const path = route.path.replace(/[:*](\w+)/g, '{$1}')
    paths[path] ??= {}
    paths[path][route.method.toLowerCase()] = operation(route, known ?? UNKNOWN, describe)
  }
  const document: OpenApi = {
    openapi: '3.1.0',
    info: {
      title: 'Sluice',
      version: 'v1',
      description:
        'Durable inference: each request is a job with a log, which any number of readers can follow and resume. ' +
        'PROTOCOL.md is the contract; docs/errors.md has all errors.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    // Relative to where this document was had
    servers: [{ url: '/' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: { schemas: SCHEMAS, parameters: OPTION_HEADERS, responses: REFUSALS, securitySchemes: SECURITY },
  }
  return { document, missing }
}

/** A query parameter of a route. */
type Describe = (route: Route, name: string) => Schema

const UNKNOWN: Operation = { tag: 'Server', summary: 'Not described', responses: { 200: ['Not described.', null] } }

const SECURITY: Schema = {
  bearer: { type: 'http', scheme: 'bearer', description: "An API key (`sk-sluice-…`), or a page's token." },
  'x-api-key': { type: 'apiKey', in: 'header', name: 'x-api-key' },
  'api-key': { type: 'apiKey', in: 'header', name: 'api-key' },
}
const ASKS: Readonly<Record<Route['auth'], readonly Schema[]>> = {
  none: [],
  tenant: [{ bearer: [] }, { 'x-api-key': [] }, { 'api-key': [] }],
  ticket: [{}, { bearer: [] }],
  operator: [{ bearer: [] }],
}

/** A response for each status of the table of errors. */
const REFUSALS: Readonly<Record<string, Schema>> = Object.fromEntries(
  [...Map.groupBy(Object.entries(ERRORS), ([, { status }]) => status)]
    .sort(([a], [b]) => a - b)
    .map(([status, rows]) => [
      `Error${status}`,
      {
        description: rows.map(([code, { message }]) => `- \`${code}\`: ${message}`).join('\n'),
        headers: {
          'x-should-retry': { schema: { enum: ['true', 'false'] }, description: 'May the same request succeed later?' },
          'retry-after': { schema: { type: 'string' }, description: 'When, in seconds; `retry-after-ms` is finer.' },
          'x-request-id': { schema: { type: 'string' }, description: "It is in the server's log." },
        },
        content: { 'application/json': { schema: ref('Error') } },
      },
    ]),
)
/** What any caller may be told; and who names a job, a conversation, a model. */
const ALWAYS = [400, 401, 403, 429, 500, 503]
const NAMED = [404, 410]
const SUBMITS = [404, 409, 413, 415, 422, 502, 504, 507]

const header = (option: string): string => `sluice-${option.replaceAll('_', '-')}`
/** Options that a header can carry. */
const IN_HEADERS = Object.entries(OPTIONS).filter(([name]) => name !== 'metadata')
const OPTION_HEADERS: Readonly<Record<string, Schema>> = Object.fromEntries(
  IN_HEADERS.map(([name, schema]) => {
    // A list is one text with commas
    const plain = schema['type'] === 'array' ? { type: 'string' } : { ...schema, description: undefined }
    const parameter = { name: header(name), in: 'header', description: schema['description'], schema: plain }
    return [header(name), JSON.parse(JSON.stringify(parameter)) as Schema]
  }),
)

function operation(route: Route, known: Operation, describe: Describe): Schema {
  const { method, path, auth } = route
  const { tag, summary, description, request, form, submits = false, resumes = false } = known
  const statuses =
    auth === 'none' ? [] : [...new Set([...ALWAYS, ...(/[:*]/.test(path) ? NAMED : []), ...(submits ? SUBMITS : [])])]
  const responses: Record<string, Schema> = {}
  for (const [status, [what, bodies]] of Object.entries(known.responses))
    responses[status] = { description: what, ...(bodies !== null && { content: contentOf(bodies) }) }
  const isOurs = route.errors === undefined || route.errors.error === errorJson
  if (isOurs) for (const status of statuses) responses[status] ??= { $ref: `#/components/responses/Error${status}` }
  responses['default'] ??= {
    description: isOurs ? 'Another error.' : 'An error, as this API spells them.',
    content: { [route.errors?.errorType ?? 'application/json']: { schema: isOurs ? ref('Error') : anything } },
  }
  return {
    operationId: `${method.toLowerCase()}${path
      .split(/[^A-Za-z0-9]+/)
      .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
      .join('')}`,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    parameters: [
      ...[...path.matchAll(/[:*](\w+)/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: text })),
      ...queryOf(route, known, describe),
      ...(resumes ? [LAST_EVENT_ID] : []),
      ...(submits ? IN_HEADERS.map(([name]) => ({ $ref: `#/components/parameters/${header(name)}` })) : []),
    ],
    ...((request ?? form) !== undefined && {
      requestBody: {
        required: true,
        content: {
          ...(request !== undefined && { 'application/json': { schema: request } }),
          ...(form !== undefined && { 'multipart/form-data': { schema: form } }),
        },
      },
    }),
    responses,
    security: ASKS[auth],
  }
}

const contentOf = (bodies: Readonly<Record<string, Schema>>): Schema =>
  Object.fromEntries(Object.entries(bodies).map(([type, schema]) => [type, { schema }]))

const LAST_EVENT_ID: Schema = {
  name: 'last-event-id',
  in: 'header',
  schema: described(text, 'The `id` of the last event that was seen: what follows it is sent.'),
}

function queryOf(route: Route, { foreign = false }: Operation, describe: Describe): readonly Schema[] {
  if (route.query === 'any') return []
  const names = [...new Set(route.query ?? [])]
  return names.map((name) => ({ name, in: 'query', schema: foreign ? text : describe(route, name) }))
}
