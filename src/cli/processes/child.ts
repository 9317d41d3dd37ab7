/** One of several processes that share a server's ports (`processes`). Its parent: parent.ts. */
import cluster from 'node:cluster'
import type { Question, Siblings } from '../../app/siblings.ts'
import type { App } from '../../app.ts'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { type Answer, type FromChild, pack, type ToChild, unpack } from './messages.ts'
import { nthProcess } from './nth.ts'

const HEALTH_MS = 500
/** An answer leaves before its process is killed. */
const DIE_MS = 100
/** The parent bounds each of its children; this is for a parent that hangs. */
const ANSWERS_MS = 15_000

export class Child implements Siblings {
  readonly #clock: Clock
  readonly #asked = new Map<number, (answers: readonly Answer[]) => void>()
  #n = 0
  #app: App | null = null
  #refusal: SluiceError | null = null

  /** `orphaned`: its parent is gone. */
  constructor(clock: Clock, orphaned: () => void) {
    this.#clock = clock
    // Else Node ends it at once when its parent is gone, in the middle of its jobs
    cluster.worker!.exitedAfterDisconnect = true
    process.once('disconnect', orphaned)
    process.on('message', (message: ToChild) => void this.#hear(message))
    // What it serves keeps it alive, not that its parent could tell it something
    process.channel!.unref()
  }

  die(): void {
    this.#clock.after(DIE_MS, () => process.kill(process.pid, 'SIGKILL'))
  }

  readonly isFirst = nthProcess() === 1

  get refusal(): SluiceError | null {
    return this.#refusal
  }

  ask(question: Question): Promise<readonly unknown[]> {
    const n = ++this.#n
    return new Promise((resolve, reject) => {
      const end = (): void => {
        late()
        this.#asked.delete(n)
      }
      const late = this.#clock.after(ANSWERS_MS, () => {
        end()
        reject(new SluiceError('internal', { message: 'The other processes of this server do not answer.' }))
      })
      this.#asked.set(n, (answers) => {
        end()
        const failed = answers.find((answer) => 'error' in answer)
        if (failed !== undefined) reject(unpack(failed.error))
        else resolve(answers.map((answer) => ('value' in answer ? answer.value : null)))
      })
      this.#tell({ type: 'ask', n, question })
    })
  }

  /** It serves from now on. */
  started(app: App): void {
    this.#app = app
    const { publicUrl, adminUrl, createdKey } = app
    this.#tell({ type: 'ready', ready: { publicUrl, adminUrl, createdKey } })
    let told: string | null = null
    this.#clock.every(HEALTH_MS, () => {
      const health = app.health()
      const error = health.ok ? null : pack(health.error)
      if ((error?.message ?? null) === told) return
      told = error?.message ?? null
      this.#tell({ type: 'health', error })
    })
  }

  async #hear(message: ToChild): Promise<void> {
    if (message.type === 'answers') this.#asked.get(message.n)?.(message.answers)
    else if (message.type === 'health') this.#refusal = message.error && unpack(message.error)
    else if (this.#app !== null) {
      const { n, question } = message
      const answer = await this.#app.answer(question).then(
        (value): Answer => ({ value }),
        (error: unknown): Answer => ({ error: pack(error) }),
      )
      this.#tell({ type: 'answer', n, answer })
    }
  }

  #tell(message: FromChild): void {
    // Without its parent there is nobody to tell
    if (process.connected) process.send?.(message, undefined, undefined, () => {})
  }
}
