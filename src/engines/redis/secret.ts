/** One secret for all processes of a fleet, made by the first. A Redis that has lost it is given it back. */
import { secretBytes } from '../shared/intake-secret.ts'
import type { Ground } from './bus/ground.ts'

const SECRET_BYTES = 32

export class FleetSecret {
  #value!: string
  #bytes!: Uint8Array
  /** Of jobs in a broker, where this store was filled from another one; '': it is made of the secret. */
  #intake = ''
  /** The stored ones; those offered, where there are none. */
  readonly #agree: (offered: string, intake: string) => Promise<Secrets>

  private constructor(agree: (offered: string, intake: string) => Promise<Secrets>) {
    this.#agree = agree
  }

  /** Rejects with what Redis or its client throws. */
  static async open({ scripts, commands, ids }: Pick<Ground, 'scripts' | 'commands' | 'ids'>): Promise<FleetSecret> {
    const secret = new FleetSecret(async (...offered) => (await scripts.run('secret', offered)) as Secrets)
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

  get intake(): Uint8Array | null {
    return this.#intake === '' ? null : secretBytes(this.#intake)
  }

  async #offer(offered: string): Promise<void> {
    const [value, intake] = await this.#agree(offered, this.#intake)
    this.#value = value
    this.#bytes = Buffer.from(value, 'base64url')
    this.#intake = intake
  }
}

type Secrets = readonly [secret: string, intake: string]
