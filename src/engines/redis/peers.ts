/**
 * Processes that ask each other: a question is published to all, its answers to who asked. Redis has the list of them:
 * each enters it when it starts, and leaves it when it ends in order. Whose channel nobody hears any more was killed,
 * or is cut off: since when, the process that coordinates notes every two seconds (`watch`).
 */
import type { NodeRow } from '../../core/live.ts'
import { MAX_ANSWER_BYTES, MAX_QUESTION_BYTES, type Part, type Peer, type Peers } from '../../core/ports/peers.ts'
import type { Ground } from './bus/ground.ts'
import { storageError } from './client/errors.ts'

const WATCH_MS = 2_000
/** One that was killed is listed for so long. */
const FORGET_MS = 600_000
/** Whoever is asked enters itself again after this: Redis may have been emptied. */
const ENTER_AGAIN_MS = 60_000
/** Processes whose questions wait for this turn to end. */
const MAX_ASKING = 256

interface NodeEntry {
  readonly name: string
  readonly role: NodeRow['role']
  readonly seat: string
}

type PeerParts = Pick<Ground, 'bus' | 'names' | 'scripts' | 'commands' | 'subscriber' | 'clock' | 'time'>

export class RedisPeers implements Peers {
  readonly #parts: PeerParts
  /** The last question of each: what came while this process was stopped is answered once. */
  readonly #asked = new Map<string, string>()
  #part: Part | null = null
  #enteredMono = -Infinity
  #stopWatch = (): void => {}
  #closed = false

  private constructor(parts: PeerParts) {
    this.#parts = parts
  }

  /** Rejects with what Redis or its client throws. */
  static async open(parts: PeerParts): Promise<RedisPeers> {
    const peers = new RedisPeers(parts)
    const { subscriber, commands, names } = parts
    await subscriber.subscribe(names.questions(), (mail) => peers.#questioned(mail))
    await subscriber.subscribe(names.answers(peers.self), (mail) => peers.#answered(mail))
    commands.onTurn((back) => back && peers.#enter())
    return peers
  }

  get self(): string {
    return this.#parts.bus.process
  }

  join(part: Part): void {
    this.#part = part
    this.#enter()
  }

  async ask(question: string): Promise<readonly Peer[]> {
    if (Buffer.byteLength(question) > MAX_QUESTION_BYTES) throw new RangeError('the question is too long')
    try {
      return await this.#list(`${this.self}\n${question}`)
    } catch (error) {
      throw storageError(error)
    }
  }

  /** This process coordinates, or no longer. */
  watch(isWatching: boolean): void {
    this.#stopWatch()
    this.#stopWatch = isWatching
      ? this.#parts.clock.every(WATCH_MS, () => void this.#list('').catch(() => {})) // Redis is away
      : () => {}
  }

  /** It leaves in order. */
  async leave(): Promise<void> {
    if (this.#closed) return
    this.close()
    await this.#parts.scripts.run('node-leave', [this.self]).catch(() => {}) // it is listed as absent, then
  }

  /** As if it were killed. */
  close(): void {
    this.#closed = true
    this.#stopWatch()
  }

  async #list(question: string): Promise<readonly Peer[]> {
    const nowMs = Math.floor(this.#parts.time.nowMs())
    const flat = (await this.#parts.scripts.run('node-list', [nowMs, FORGET_MS, question])) as ReadonlyArray<
      string | number
    >
    const peers: Peer[] = []
    for (let i = 0; i < flat.length; i += 3) {
      const [id, text, sinceMs] = [String(flat[i]), String(flat[i + 1]), Number(flat[i + 2])]
      const { name, role } = JSON.parse(text) as NodeEntry
      if (id !== this.self) peers.push({ id, name, role, absentMs: sinceMs < 0 ? null : Math.max(0, nowMs - sinceMs) })
    }
    return peers
  }

  #enter(): void {
    if (this.#part === null || this.#closed) return
    this.#enteredMono = this.#parts.clock.monoMs()
    const entry: NodeEntry = this.#part.about
    this.#parts.scripts.run('node-join', [this.self, JSON.stringify(entry)]).catch(() => {
      this.#enteredMono = -Infinity // with the next question, or when Redis is back
    })
  }

  #questioned(mail: Buffer): void {
    const end = mail.indexOf(0x0a)
    if (this.#part === null || this.#closed || end < 0 || mail.length > MAX_QUESTION_BYTES + end + 1) return
    const from = mail.toString('utf8', 0, end)
    if (from === this.self || (this.#asked.size >= MAX_ASKING && !this.#asked.has(from))) return
    if (this.#asked.size === 0) this.#parts.clock.soon(() => this.#answer())
    this.#asked.set(from, mail.toString('utf8', end + 1))
  }

  #answer(): void {
    const { clock, commands, names } = this.#parts
    const asked = [...this.#asked]
    this.#asked.clear()
    if (this.#part === null || this.#closed) return
    if (clock.monoMs() - this.#enteredMono > ENTER_AGAIN_MS) this.#enter()
    for (const [from, question] of asked) {
      const answer = this.#part.answer(question)
      if (answer === null || Buffer.byteLength(answer) > MAX_ANSWER_BYTES) continue
      commands.publish(names.answers(from), `${this.self}\n${answer}`).catch(() => {}) // it asks again
    }
  }

  #answered(mail: Buffer): void {
    const end = mail.indexOf(0x0a)
    if (this.#part === null || this.#closed || end < 0 || mail.length > MAX_ANSWER_BYTES + end + 1) return
    this.#part.heard(mail.toString('utf8', 0, end), mail.toString('utf8', end + 1))
  }
}
