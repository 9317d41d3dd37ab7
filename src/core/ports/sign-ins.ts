/** Who is signed in at the dashboard, over all processes on one store. Codes and sessions are digests here. */
import type { Role } from '../live.ts'

export const MAX_CODES = 32
export const MAX_SIGN_INS = 256

/** No clock that is turned back lengthens any of it. Rejects with storage_unavailable. */
export interface SignIns {
  /** A code that lets one in, within `ms`. Of more than MAX_CODES the one that ends first is void. */
  issue(code: string, role: Role, ms: number): Promise<void>
  /**
   * Uses the code up; who brought it is signed in by `session` for `ms`. Of more than MAX_SIGN_INS the one that was
   * used longest ago ends. Null: the code is unknown, used or too old.
   */
  redeem(code: string, session: string, ms: number): Promise<Role | null>
  /** Who this is; signed in for `ms` from now on. Null: nobody, any more. */
  keep(session: string, ms: number): Promise<Role | null>
  end(session: string): Promise<void>
}
