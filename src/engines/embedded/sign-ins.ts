/** Who is signed in, in memory: a restart signs everybody out. */
import type { Clock } from '../../core/clock.ts'
import type { Role } from '../../core/live.ts'
import { MAX_CODES, MAX_SIGN_INS, type SignIns } from '../../core/ports/sign-ins.ts'

interface Entitled {
  readonly role: Role
  readonly endsMono: number
}

export class EmbeddedSignIns implements SignIns {
  readonly #clock: Clock
  /** The one that ends first is the first. */
  readonly #codes = new Map<string, Entitled>()
  readonly #sessions = new Map<string, Entitled>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async issue(code: string, role: Role, ms: number): Promise<void> {
    this.#add(this.#codes, MAX_CODES, code, role, ms)
  }

  async redeem(code: string, session: string, ms: number): Promise<Role | null> {
    const role = this.#take(this.#codes, code)
    if (role !== null) this.#add(this.#sessions, MAX_SIGN_INS, session, role, ms)
    return role
  }

  async keep(session: string, ms: number): Promise<Role | null> {
    const role = this.#take(this.#sessions, session)
    if (role !== null) this.#add(this.#sessions, MAX_SIGN_INS, session, role, ms)
    return role
  }

  async end(session: string): Promise<void> {
    this.#sessions.delete(session)
  }

  #take(from: Map<string, Entitled>, digest: string): Role | null {
    const found = from.get(digest)
    from.delete(digest)
    return found !== undefined && found.endsMono > this.#clock.monoMs() ? found.role : null
  }

  #add(to: Map<string, Entitled>, most: number, digest: string, role: Role, ms: number): void {
    for (const [oldest] of to) {
      if (to.size < most) break
      to.delete(oldest)
    }
    to.set(digest, { role, endsMono: this.#clock.monoMs() + ms })
  }
}
