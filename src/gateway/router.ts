/** Finds the route of a path. */
import { SluiceError } from '../core/errors.ts'
import type { Route } from './routes.ts'

interface Found {
  readonly route: Route
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, unknown>>
}

const NONE: Readonly<Record<string, string>> = {}

export class Router {
  /** Paths without parameters, by their text. */
  readonly #exact = new Map<string, Map<string, Route>>()
  readonly #patterns: Array<{ readonly segments: readonly string[]; readonly methods: Map<string, Route> }> = []

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      if (!route.path.includes(':')) {
        const methods = this.#exact.get(route.path) ?? new Map<string, Route>()
        this.#exact.set(route.path, methods.set(route.method, route))
        continue
      }
      const known = this.#patterns.find((p) => p.segments.join('/') === route.path)
      if (known) known.methods.set(route.method, route)
      else this.#patterns.push({ segments: route.path.split('/'), methods: new Map([[route.method, route]]) })
    }
  }

  /** Throws route_not_found, method_not_allowed, invalid_request. HEAD is answered as GET. */
  find(method: string, target: string): Found {
    const mark = target.indexOf('?')
    const path = mark < 0 ? target : target.slice(0, mark)
    const match = this.#match(path)
    if (match === null) throw new SluiceError('route_not_found')
    const route = match.methods.get(method === 'HEAD' ? 'GET' : method)
    if (route === undefined) throw new SluiceError('method_not_allowed')
    return { route, params: match.params, query: mark < 0 ? NONE : parseQuery(target.slice(mark + 1)) }
  }

  methods(target: string): readonly string[] {
    return [...(this.#match(target.split('?', 1)[0])?.methods.keys() ?? [])]
  }

  #match(path: string): { readonly methods: Map<string, Route>; readonly params: Readonly<Record<string, string>> } | null {
    const exact = this.#exact.get(path)
    if (exact !== undefined) return { methods: exact, params: NONE }
    const segments = path.split('/')
    for (const pattern of this.#patterns) {
      if (pattern.segments.length !== segments.length) continue
      if (!pattern.segments.every((p, i) => (p.startsWith(':') ? segments[i] !== '' : p === segments[i]))) continue
      const params: Record<string, string> = {}
      for (const [i, p] of pattern.segments.entries()) if (p.startsWith(':')) params[p.slice(1)] = decode(segments[i])
      return { methods: pattern.methods, params }
    }
    return null
  }
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new SluiceError('invalid_request', { message: 'The path has a malformed escape.' })
  }
}

/** A name said twice is a list, so that it can be refused. */
function parseQuery(text: string): Readonly<Record<string, unknown>> {
  const query: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const [name, value] of new URLSearchParams(text)) query[name] = query[name] === undefined ? value : [query[name], value]
  return query
}
