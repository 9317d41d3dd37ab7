/** Facts as lines of the operator's log. */
import type { Fact } from '../core/facts.ts'

export interface Log {
  debug(fact: object, message?: string): void
  info(fact: object, message?: string): void
  warn(fact: object, message?: string): void
  error(fact: object, message?: string): void
}

export function report(log: Log, fact: Fact): void {
  switch (fact.type) {
    case 'store-degraded':
      return log.error(fact, 'the store is degraded')
    case 'store-warning':
      return log.warn(fact, 'the store needs an operator')
    case 'store-recovered':
      return log.info(fact, 'the store works again')
    case 'attempt-ended':
      return fact.code === null ? log.debug(fact) : log.info(fact, 'an attempt failed')
    default:
      return log.debug(fact)
  }
}
