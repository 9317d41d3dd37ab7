/** One secret for all processes of a fleet, made by the first. A Redis that has lost it is given it back. */
import type { Ground } from './bus/ground.ts'

const SECRET_BYTES = 32

export class FleetSecret {
  #value!: string
  #bytes!: Uint8Array
  /** The stored one; the offered one, where there is none. */
  readonly #agree: (offered: string) => Promise<string>

  private constructor(agree: (offered: string) => Promise<string>) {
    this.#agree = agree
  }

  /** Rejects with what Redis or its client throws. */
  static async open({ scripts, commands, ids }: Pick<Ground, 'scripts' | 'commands' | 'ids'>): Promise<FleetSecret> {
    const secret = new FleetSecret(async (offered) => String(await scripts.run('secret', [offered])))
    await secret.#offer(Buffer.from(ids.random(SECRET_BYTES)).toString('base64url'))
    commands.onTurn((back) => back && secret.giveBack().catch(() => {})) // it is away again: the next turn
    return secret
  }

  giveBack(): Promise<void> {
    return this.#offer(this.#value)
  }

  get bytes(): Uint8Array {
    return this.#bytes
  }

  async #offer(offered: string): Promise<void> {
    const value = await this.#agree(offered)
    this.#value = value
    this.#bytes = Buffer.from(value, 'base64url')
  }
}
