/** A route: what is asked for, who may, and what is done. The router takes no route that does not name who may. */
import type { Spelling } from '../../core/ports/dialect.ts'
import type { Answered } from './answer.ts'
import type { Call, KeyCall } from './call.ts'

/**
 * `none`: anybody. `tenant`: an API key, or a session of one. `ticket`: its body or frames tell.
 * `operator`: the admin key.
 */
export const AUTH_RULES = ['none', 'tenant', 'ticket', 'operator'] as const
export type AuthRule = (typeof AUTH_RULES)[number]

interface Target {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** `:name` stands for one segment; `*name`, at the end, for all that are left. */
  readonly path: string
  /** Query parameters that it knows; others are refused. `any`: they are none of its business. */
  readonly query?: readonly string[] | 'any'
  /** How its errors are spelled, if not as Sluice does. */
  readonly errors?: Spelling
}

type Run<C extends Call> = (call: C) => Answered | Promise<Answered>

export type Route =
  | (Target & { readonly auth: Exclude<AuthRule, 'tenant'>; readonly run: Run<Call> })
  | (Target & { readonly auth: 'tenant'; readonly run: Run<KeyCall> })
