/** Finds the route of a path. */
import { SluiceError } from '../../core/errors.ts'
import { didYouMean } from '../../core/nearest.ts'
import { type Advice, API_ADVICE, noRoute, notThisOne } from './no-route.ts'
import { AUTH_RULES, type Route } from './route.ts'

export interface Found {
  readonly route: Route
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, unknown>>
}

type Methods = Map<string, Route>
type Params = Readonly<Record<string, string>>
interface Match {
  readonly methods: Methods
  readonly params: Params
}
const NONE: Params = {}
const MAX_NAME_CHARS = 64

export class Router {
  /** Paths without parameters, by their text. */
  readonly #exact = new Map<string, Methods>()
  readonly #patterns: Array<{
    readonly path: string
    readonly segments: readonly string[]
    readonly methods: Methods
  }> = []

  /** Routes that spell their errors otherwise than Sluice. */
  readonly #spelled: readonly Route[]
  readonly #advice: Advice

  /** Throws for a route that does not name who may use it. */
  constructor(routes: readonly Route[], advice = API_ADVICE) {
    this.#advice = advice
    this.#spelled = routes.filter(({ errors }) => errors !== undefined)
    for (const route of routes) {
      const { method, path } = route
      if (!AUTH_RULES.includes(route.auth)) throw new Error(`${method} ${path} does not name who may use it.`)
      this.#methodsOf(path).set(method, route)
    }
  }

  #methodsOf(path: string): Methods {
    if (!/[:*]/.test(path)) {
      const methods = this.#exact.get(path) ?? new Map<string, Route>()
      this.#exact.set(path, methods)
      return methods
    }
    const known = this.#patterns.find((p) => p.path === path)
    if (known !== undefined) return known.methods
    const methods = new Map<string, Route>()
    this.#patterns.push({ path, segments: path.split('/'), methods })
    return methods
  }

  /** Throws route_not_found, method_not_allowed, invalid_request. HEAD is answered as GET. */
  find(method: string, target: string): Found {
    const mark = target.indexOf('?')
    const path = mark < 0 ? target : target.slice(0, mark)
    const match = this.#match(path)
    if (match === null) throw noRoute(method, path, this.#paths(), this.#advice)
    const route = match.methods.get(method === 'HEAD' ? 'GET' : method)
    if (route === undefined)
      throw (
        notThisOne(method, path) ??
        new SluiceError('method_not_allowed', {
          message: `This route supports ${[...match.methods.keys()].join(' and ')}, not ${method}.`,
        })
      )
    return { route, params: match.params, query: mark < 0 ? NONE : parseQuery(target.slice(mark + 1)) }
  }

  /** How errors are spelled at this path, or below one of ours, whether there is such a route or not. */
  errorsAt(target: string): Route['errors'] {
    const meant = meantBy(target.split('?', 1)[0])
    const isAt = (path: string, route: Route): boolean => path === route.path || path.startsWith(`${route.path}/`)
    return this.#spelled.find((route) => isAt(meant, route) || isAt(`/v1${meant}`, route))?.errors
  }

  /** The value of `allow` for a path. */
  methods(target: string): readonly string[] {
    const methods = [...(this.#match(target.split('?', 1)[0])?.methods.keys() ?? [])]
    return methods.includes('GET') ? ['HEAD', ...methods] : methods
  }

  *#paths(): Iterable<string> {
    yield* this.#exact.keys()
    for (const { path } of this.#patterns) yield path
  }

  /**
   * The path as it is, or as it was meant. SDKs append their paths to a base URL, which may lack the "/v1" or end in
   * a slash; and one of our `location`s, appended to a base URL that has the "/v1", has it twice.
   */
  #match(path: string): Match | null {
    const once = this.#matchPath(path)
    if (once !== null) return once
    const meant = meantBy(path)
    return this.#matchPath(meant) ?? (meant.startsWith('/v1/') ? null : this.#matchPath(`/v1${meant}`))
  }

  #matchPath(path: string): Match | null {
    const exact = this.#exact.get(path)
    if (exact !== undefined) return { methods: exact, params: NONE }
    const asked = path.split('/')
    for (const { segments, methods } of this.#patterns) {
      const params = matchSegments(segments, asked)
      if (params !== null) return { methods, params }
    }
    return null
  }
}

const meantBy = (path: string): string => path.replace(/(?<=.)\/$/, '').replace(/^(?:\/v1)+(?=\/)/, '/v1')

function matchSegments(pattern: readonly string[], asked: readonly string[]): Params | null {
  const rest = pattern[pattern.length - 1].startsWith('*')
  if (rest ? asked.length < pattern.length : asked.length !== pattern.length) return null
  const params: Record<string, string> = {}
  for (let i = 0; i < pattern.length; i++) {
    const name = pattern[i]
    if (name.startsWith(':')) {
      if (asked[i] === '') return null
      params[name.slice(1)] = decode(asked[i])
    } else if (name.startsWith('*')) {
      const text = asked
        .slice(i)
        .join('/')
        .replace(/(?<=.)\/$/, '')
      if (text === '') return null
      params[name.slice(1)] = decode(text)
    } else if (name !== asked[i]) return null
  }
  return params
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new SluiceError('invalid_request', { message: 'The path has a malformed escape.' })
  }
}

/** A name with two values becomes a list, so that it can be refused. */
function parseQuery(text: string): Readonly<Record<string, unknown>> {
  const query = Object.create(null) as Record<string, unknown>
  for (const [name, value] of new URLSearchParams(text))
    if (query[name] !== value) query[name] = query[name] === undefined ? value : [query[name], value]
  return query
}

/** Throws invalid_request for a parameter that the route does not know, so that no typo goes unnoticed. */
export function checkQuery(route: Route, query: Readonly<Record<string, unknown>>): void {
  const known = route.query ?? []
  if (known === 'any') return
  for (const name in query) {
    if (known.includes(name)) continue
    const shown = name.slice(0, MAX_NAME_CHARS)
    const takes = known.length === 0 ? 'it takes none' : `it takes ${known.join(', ')}`
    throw new SluiceError('invalid_request', {
      param: shown,
      message: `"${shown}" is not a query parameter of this route; ${takes}.${didYouMean(shown, known)}`,
    })
  }
}
