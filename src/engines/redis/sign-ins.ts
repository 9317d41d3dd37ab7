/** Who is signed in, over all processes of the fleet: any of them lets in, and out, by what Redis has. */
import type { Role } from '../../core/live.ts'
import { MAX_CODES, MAX_SIGN_INS, type SignIns } from '../../core/ports/sign-ins.ts'
import type { Ground } from './bus/ground.ts'
import { storageError } from './client/errors.ts'

type Parts = Pick<Ground, 'scripts'> & { readonly time: Pick<Ground['time'], 'nowMs'> }

export class RedisSignIns implements SignIns {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async issue(code: string, role: Role, ms: number): Promise<void> {
    await this.#run('sign-in-issue', [code, role, ms, MAX_CODES])
  }

  async redeem(code: string, session: string, ms: number): Promise<Role | null> {
    return (await this.#run('sign-in-redeem', [code, session, ms, MAX_SIGN_INS])) as Role | null
  }

  async keep(session: string, ms: number): Promise<Role | null> {
    return (await this.#run('sign-in-keep', [session, ms])) as Role | null
  }

  async end(session: string): Promise<void> {
    await this.#run('sign-in-end', [session])
  }

  async #run(script: string, args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await this.#parts.scripts.run(script, [...args, Math.floor(this.#parts.time.nowMs())])
    } catch (error) {
      throw storageError(error)
    }
  }
}
