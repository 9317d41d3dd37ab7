/**
 * The path of every request: its form, its route, its caller, its query, then its handler, which reads the body and
 * returns the answer. When it has ended, a fact is emitted.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isOfLine } from '../core/batch.ts'
import type { Clock } from '../core/clock.ts'
import { type ErrorCode, SluiceError } from '../core/errors.ts'
import type { Emit } from '../core/facts.ts'
import type { Ids } from '../core/ids.ts'
import type { Keys } from '../core/ports/keys.ts'
import { requireScope } from './caller/access.ts'
import type { Caller } from './caller/caller.ts'
import { scopeOf } from './caller/scopes.ts'
import type { Entry } from './entry.ts'
import type { Answered, Headers } from './http/answer.ts'
import { Call, type KeyCall } from './http/call.ts'
import { answerPreflight, corsOf, isPreflight } from './http/cors.ts'
import { Exchange, type ExchangeDeps } from './http/exchange.ts'
import { checkForm } from './http/form.ts'
import type { Inflow } from './http/inflow.ts'
import type { Owed } from './http/owed.ts'
import type { AuthRule } from './http/route.ts'
import { checkQuery, type Router } from './http/router.ts'
import type { Phase } from './phase.ts'

export interface PipelineDeps extends ExchangeDeps {
  readonly clock: Clock
  readonly ids: Ids
  readonly emit: Emit
  readonly owed: Owed
  readonly inflow: Inflow
  readonly entries: Readonly<Record<AuthRule, Entry>>
  readonly keys: Pick<Keys, 'get'>
  /** Throws for a caller that is no longer valid. */
  readonly check: (caller: Caller) => void
  readonly phase: Phase
}

/** For a listener of node's. */
export type Serve = (request: IncomingMessage, response: ServerResponse) => void

export function pipeline(router: Router, origins: ReadonlySet<string>, deps: PipelineDeps): Serve {
  const { owed, inflow, entries, keys, check, phase } = deps

  return (request, response) => {
    const exchange = new Exchange(request, response, requestIdOf(request, deps.ids), corsOf(request, origins), deps)
    const fail = (thrown: unknown): void => {
      if (exchange.route === null) exchange.spelling = router.errorsAt(request.url ?? '')
      exchange.fail(thrown, headersOf(thrown, exchange, router))
    }
    const send = (answer: Answered): void => {
      try {
        if (answer instanceof SluiceError) fail(answer)
        else if (answer !== null) exchange.send(answer)
      } catch (error) {
        fail(error)
      }
    }
    const begin = (): void => {
      try {
        const answer = handle(exchange)
        if (answer instanceof Promise) void answer.then(send, fail)
        else send(answer)
      } catch (error) {
        fail(error)
      }
    }
    exchange.onClose(() => tellEnd(exchange, deps.emit))
    try {
      owed.add(exchange, begin)
      // Its headers were sent before that was known, perhaps. One that is kept may have the next request on it already
      exchange.onClose(() => {
        if (phase.isStopping && !phase.isKeeping && !owed.isPending(request.socket)) request.socket.end()
      })
    } catch (error) {
      fail(error)
    }
  }

  function handle(exchange: Exchange): Answered | Promise<Answered> {
    const { request } = exchange
    checkForm(request)
    if (isPreflight(request)) return answerPreflight(exchange)
    const { route, params, query } = router.find(request.method ?? '', request.url ?? '')
    exchange.route = route
    exchange.spelling = route.errors
    const entry = entries[route.auth]
    const refusal = entry.isAlwaysOpen ? null : phase.refusal()
    if (refusal !== null) throw refusal
    const run = (caller: Caller | null): Answered | Promise<Answered> => {
      if (route.auth === 'tenant' && caller !== null) requireScope(keys, caller.key, scopeOf(route))
      checkQuery(route, query)
      const call = new Call(exchange, caller, params, query, entry.isCounted ? inflow : null, check)
      // Entries of `tenant` routes always return a caller
      return route.auth === 'tenant' ? route.run(call as KeyCall) : route.run(call)
    }
    const caller = entry.enter(exchange)
    return caller instanceof Promise ? caller.then(run) : run(caller)
  }
}

/** Headers that some errors need besides their message. */
function headersOf(thrown: unknown, { request }: Exchange, router: Router): Headers | undefined {
  const code: ErrorCode | null = thrown instanceof SluiceError ? thrown.code : null
  if (code === 'method_not_allowed') return { allow: router.methods(request.url ?? '').join(', ') }
  if (code === 'upgrade_required') return { upgrade: 'websocket', connection: 'upgrade', 'sec-websocket-version': '13' }
  return undefined
}

function tellEnd(exchange: Exchange, emit: Emit): void {
  const { caller, request, response, requestId, trace, parentSpan, route, failure, jobCode, tookMs } = exchange
  emit({
    type: 'request-ended',
    tenant: caller?.key.tenant ?? null,
    keyId: caller?.key.id ?? null,
    model: null,
    requestId,
    trace,
    method: request.method ?? null,
    route: route?.path ?? null,
    status: response.headersSent ? response.statusCode : (failure?.status ?? 0),
    code: failure?.code ?? null,
    complete: response.writableFinished,
    tookMs,
    ...(jobCode !== undefined && { jobCode }),
    ...(parentSpan !== undefined && { parentSpan }),
  })
}

/** The client's own id, if it is well-formed; otherwise one of ours. */
function requestIdOf({ headers }: IncomingMessage, ids: Ids): string {
  const given = headers['x-request-id']
  const isWell = typeof given === 'string' && /^[\w.:/+=-]{1,128}$/.test(given) && !isOfLine(given)
  return isWell ? given : ids.name('req', 12)
}
