/** How callers come in, by what their route asks of them. */
import type { Admitted } from './caller/admitted.ts'
import { type Auth, hasCredential } from './caller/auth.ts'
import type { Caller } from './caller/caller.ts'
import { roleOf } from './caller/roles.ts'
import type { SignIn } from './caller/sign-in.ts'
import { Aborted, type Exchange } from './http/exchange.ts'
import type { AuthRule } from './http/route.ts'

export interface Entry {
  /** Also while the server starts or stops. */
  readonly isAlwaysOpen: boolean
  /** Are bytes of incomplete bodies counted, as a stranger's or as its caller's? */
  readonly isCounted: boolean
  /** The caller; null: none is needed, or none is known yet. Throws for whom it keeps out, as it rejects. */
  readonly enter: (exchange: Exchange) => Caller | null | Promise<Caller | null>
}

const nobody = (): null => null

export function createEntries(auth: Auth, admitted: Admitted, signIn: SignIn): Readonly<Record<AuthRule, Entry>> {
  function letIn(exchange: Exchange, caller: Caller): Caller {
    // It stays in as long as its caller is valid
    exchange.onClose(admitted.enter(caller, 'request', (error) => exchange.sendAway(error)))
    exchange.caller = caller
    return caller
  }

  return {
    none: { isAlwaysOpen: true, isCounted: true, enter: nobody },
    ticket: { isAlwaysOpen: false, isCounted: true, enter: nobody },
    tenant: {
      isAlwaysOpen: false,
      isCounted: true,
      enter(exchange) {
        const caller = auth.tenant(exchange.request)
        if (!(caller instanceof Promise)) return letIn(exchange, caller)
        return caller.then((found) => {
          if (exchange.response.destroyed) throw new Aborted()
          return letIn(exchange, found)
        })
      },
    },
    operator: {
      isAlwaysOpen: false,
      isCounted: false,
      enter(exchange) {
        const { request, route } = exchange
        const byKey = (): null => {
          auth.operator(request)
          exchange.role = 'admin'
          return null
        }
        if (hasCredential(request) || !signIn.mayBeSigned(request)) return byKey()
        return signIn.find(request).then((signed) => {
          if (signed === null) return byKey()
          if (route !== null) signIn.check(request, signed, roleOf(route))
          exchange.role = signed.role
          exchange.isSignedIn = true
          exchange.session = signed.digest
          return null
        })
      },
    },
  }
}
