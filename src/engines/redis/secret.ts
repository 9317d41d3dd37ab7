/** One secret for all processes of a fleet, made by the first. */
import type { Ground } from './bus/ground.ts'

const SECRET_BYTES = 32

export class FleetSecret {
  #value!: string
  #bytes!: Uint8Array

  private constructor(value: string) {
    this.#take(value)
  }

  /** Rejects with what Redis or its client throws. */
  static async open({ scripts, commands, ids }: Pick<Ground, 'scripts' | 'commands' | 'ids'>): Promise<FleetSecret> {
    /** The stored one; the offered one, where there is none. */
    const agree = async (offered: string): Promise<string> => String(await scripts.run('secret', [offered]))
    const secret = new FleetSecret(await agree(Buffer.from(ids.random(SECRET_BYTES)).toString('base64url')))
    // A Redis that has lost it is given it back
    const again = async (): Promise<void> => {
      secret.#take(await agree(secret.#value))
    }
    commands.onTurn((back) => back && again().catch(() => {})) // it is away again: the next turn
    return secret
  }

  get bytes(): Uint8Array {
    return this.#bytes
  }

  #take(value: string): void {
    this.#value = value
    this.#bytes = Buffer.from(value, 'base64url')
  }
}
