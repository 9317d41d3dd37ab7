/** What clients keep for us and give back with a later request: sealed for their tenant alone. */
import type { Sealing } from '../core/ports/dialect.ts'
import type { Sealer } from './sealing.ts'

const aboutThought = (tenant: string): string => `thought of ${tenant}`

/** Where there is no key (a fleet that was given none), nothing is sealed, and no answer fails for it. */
export function sealingForClients(sealer: Pick<Sealer, 'sealAlike' | 'open'>): Sealing {
  // Each look for a key that is gone reads a file, and a request may bring thousands of sealed texts
  let isKeyless = false
  return {
    seal(secret, tenant) {
      try {
        const sealed = sealer.sealAlike(secret, aboutThought(tenant))
        isKeyless = false
        return sealed
      } catch {
        return null
      }
    },
    open(sealed, tenant) {
      if (isKeyless) return null
      try {
        return sealer.open(sealed, aboutThought(tenant))
      } catch {
        isKeyless = true
        return null
      }
    },
  }
}
