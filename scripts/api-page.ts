/** docs/api.md, from the document that `GET /openapi.json` answers with. */
import { DIALECTS } from '../src/dialects/index.ts'
import type { GatewayDeps } from '../src/gateway/deps.ts'
import type { Route } from '../src/gateway/http/route.ts'
import { createWatching } from '../src/gateway/read/watching.ts'
import { createRoutes, type RouteParts } from '../src/gateway/routes/index.ts'
import { type Made, openApi } from '../src/gateway/routes/openapi/document.ts'
import { operationOf, TAGS } from '../src/gateway/routes/openapi/operations.ts'
import { OPTIONS } from '../src/gateway/routes/openapi/options.ts'
import type { Schema } from '../src/gateway/routes/openapi/schema.ts'
import { laneProtocols } from '../src/gateway/socket/lanes.ts'
import { nativeProtocol } from '../src/gateway/socket/native.ts'

/** The public listener's, as a server has them. None of them can be run. */
export function publicRoutes(): readonly Route[] {
  const deps = { dialects: DIALECTS, options: {} } as GatewayDeps
  const protocols = [nativeProtocol(0), ...laneProtocols(DIALECTS.spoken, 0)]
  const sockets = protocols.map(({ path }): Route => ({ method: 'GET', path, auth: 'ticket', run: () => null }))
  const parts = { sockets, live: sockets[0], page: [], watching: createWatching(deps) }
  return createRoutes(deps, parts as unknown as RouteParts).public
}

export const madeDocument = (): Made => openApi(publicRoutes(), DIALECTS)

/** `made`: the line that says so. */
export function apiPage(made: string): string {
  const tables = Object.entries(TAGS).map(([tag, description]) => {
    const rows = publicRoutes().flatMap((route) => {
      const operation = operationOf(route, DIALECTS.spoken)
      if (operation?.tag !== tag) return []
      const query = route.query === 'any' ? [] : [...new Set(route.query ?? [])]
      const names = query.map((name) => `\`${name}\``).join(', ')
      return [`| \`${route.method} ${route.path}\` | ${operation.summary} | ${names} |`]
    })
    return `## ${tag}\n\n${description}\n\n| route | | query |\n| --- | --- | --- |\n${rows.join('\n')}`
  })
  const options = Object.entries(OPTIONS).map(
    ([name, schema]) => `| \`${name}\` | ${formOf(schema)} | ${String(schema['description'])} |`,
  )
  return `# The API at a glance

${made}

The public listener answers these routes, and no others. \`GET /openapi.json\` is the same for programs: an OpenAPI 3.1
document with the schemas of jobs, events, errors and options, open to all, for generators of clients and for viewers.
What a client may rely on is in [PROTOCOL.md](../PROTOCOL.md), every error in [errors.md](errors.md).

${tables.join('\n\n')}

## Options of a job

Members beside \`request\` in \`POST /v1/jobs\`, members of \`sluice\` in the body of any other request, or headers of
the same names (\`sluice-deadline-ms\`; all but \`metadata\`).

| option | value | |
| --- | --- | --- |
${options.join('\n')}
`
}

function formOf(schema: Schema): string {
  const {
    type,
    enum: values,
    minimum,
    maximum,
    maxLength,
    maxItems,
    maxProperties,
    pattern,
    anyOf,
  } = schema as {
    readonly type?: string
    readonly enum?: readonly string[]
    readonly minimum?: number
    readonly maximum?: number
    readonly maxLength?: number
    readonly pattern?: string
    readonly maxItems?: number
    readonly maxProperties?: number
    readonly anyOf?: readonly Schema[]
  }
  if (anyOf !== undefined) return anyOf.map(formOf).join(', ')
  if (values !== undefined) return values.map((value) => `\`${value}\``).join(', ')
  if (type === 'boolean') return '`true`, `false`'
  if (type === 'integer') return `${minimum} to ${maximum?.toLocaleString('en')} ms`
  if (type === 'array') return `a list of at most ${maxItems}`
  if (type === 'object') return `at most ${maxProperties} pairs of strings`
  return maxLength === undefined ? `a text like \`${pattern}\`` : `a text of at most ${maxLength} characters`
}
