/**
 * Chats over one WebSocket, which is really closed by a cut: the client library is given up, and another one attaches
 * at the cursors that were seen.
 */

import { signal } from '@preact/signals'
import { connect, type Job, type JobEvent, type Sluice, SluiceError } from '@sluice/client'
import type { JobRow } from '../../../../src/core/live.ts'
import { call } from '../../api.ts'
import { counted, duration } from '../../format.ts'
import type { Shape } from '../../parts/mark.tsx'
import { Ledger } from './ledger.ts'

export type Piece =
  | { readonly kind: 'text'; text: string }
  | { readonly kind: 'cut' | 'back' | 'lost' | 'goes-on' | 'anew'; readonly token: number }

export interface Turn {
  readonly key: string
  readonly question: string
  readonly ledger: Ledger
  state: 'unsent' | 'sending' | 'waiting' | 'answering' | 'done' | 'failed'
  job: string | null
  pieces: Piece[]
  /** Chunks with text that were shown. */
  shown: number
  attempts: number
  error: string | null
}

export interface Chat {
  readonly id: string
  readonly name: string
  /** Side by side, not in turns. */
  readonly isBatch: boolean
  readonly turns: Turn[]
  model: string
  /** Asked without being told to, once it is known that it costs nothing. */
  example: string | null
}

export interface Happening {
  readonly atMs: number
  readonly shape: Shape | 'cut'
  readonly text: string
}

interface PageSession {
  readonly url: string
  readonly ticket: string
  readonly models: readonly string[]
  /** Of these, those whose answers cost nothing. */
  readonly free: readonly string[]
}

const MOST_HAPPENINGS = 100
const isOver = ({ state }: Turn): boolean => state === 'done' || state === 'failed'
const isOpen = (turn: Turn): boolean =>
  turn.state === 'sending' || turn.state === 'waiting' || turn.state === 'answering'

/** A page session of the admin's origin. */
const enter = (): Promise<PageSession> => call<PageSession>('POST', '/admin/playground/session', {})

const EXAMPLES: readonly (readonly [name: string, question: string])[] = [
  ['Rivers', 'Tell me of rivers. demo: tokens=800 delay=30'],
  ['Lakes', 'And of lakes? demo: tokens=600 delay=40'],
]

export class Play {
  readonly version = signal(0)
  chats: Chat[] = []
  happened: Happening[] = []
  models: readonly string[] = []
  free: readonly string[] = []
  state: 'off' | 'connecting' | 'open' | 'away' = 'off'
  error: string | null = null
  /** By performance.now(). */
  cutMono: number | null = null
  #beganMono = 0
  #client: Sluice | null = null
  #names = 0
  #wantsBurst = false
  /** Grows with each connection: what an old one still brings is not shown. */
  #era = 0
  #drawing = false

  /** `burst`: fifty documents, too, as soon as it is known that they cost nothing. */
  start(burst = false): void {
    this.#wantsBurst = burst
    this.chats = []
    this.happened = []
    this.cutMono = null
    this.#names = 0
    this.#beganMono = performance.now()
    this.addChat()
    this.addChat()
    void this.#open()
  }

  stop(): void {
    this.#era++
    this.#client?.close()
    this.#client = null
    this.state = 'off'
  }

  #changed(): void {
    if (this.#drawing) return
    this.#drawing = true
    const draw = (): void => {
      this.#drawing = false
      this.version.value++
    }
    // A hidden tab draws nothing, but its numbers go on
    if (document.visibilityState === 'visible') requestAnimationFrame(draw)
    else setTimeout(draw, 250)
  }

  #tell(shape: Happening['shape'], text: string): void {
    this.happened = [...this.happened, { atMs: performance.now() - this.#beganMono, shape, text }].slice(
      -MOST_HAPPENINGS,
    )
    this.#changed()
  }

  get #isHere(): boolean {
    return this.#client !== null
  }

  async #open(): Promise<void> {
    const era = ++this.#era
    this.state = 'connecting'
    this.error = null
    this.#changed()
    try {
      const first = await enter()
      if (era !== this.#era) return
      this.models = first.models
      this.free = first.free
      for (const chat of this.chats) {
        chat.model ||= this.#model()
        if (chat.example !== null && this.isFree(chat.model)) chat.turns.push(newTurn(chat.example))
        chat.example = null
      }
      if (this.#wantsBurst && this.isFree(this.#model())) this.burst()
      this.#wantsBurst = false
      let ticket: string | null = first.ticket
      this.#client = connect({
        url: new URL(first.url, location.href).origin,
        transport: 'websocket',
        async ticket() {
          const given = ticket ?? (await enter()).ticket
          ticket = null
          return given
        },
        onState: (state) => {
          if (era !== this.#era) return
          this.state = state === 'open' ? 'open' : state === 'closed' ? 'away' : 'connecting'
          this.#changed()
        },
        onError: (error) => {
          if (era !== this.#era) return
          this.error = error.message
          this.#changed()
        },
      })
      for (const chat of this.chats) for (const turn of chat.turns) if (isOpen(turn)) this.#follow(chat, turn)
      for (const chat of this.chats) this.#pump(chat)
    } catch (error) {
      if (era !== this.#era) return
      this.state = 'away'
      this.error = (error as Error).message
      this.cutMono ??= performance.now()
    }
    this.#changed()
  }

  cut(): void {
    if (!this.#isHere) return
    const reading = this.#openTurns()
    this.#era++
    this.#client?.close()
    this.#client = null
    this.state = 'away'
    this.cutMono = performance.now()
    for (const turn of reading) if (turn.shown > 0) turn.pieces.push({ kind: 'cut', token: turn.shown })
    const places = reading.slice(0, 4).map(({ shown }) => shown)
    this.#tell('cut', `your connection was cut${places.length === 0 ? '' : ` at ${at(places)}`}`)
  }

  reconnect(): void {
    if (this.#isHere || this.state === 'connecting') return
    const awayMs = this.cutMono === null ? 0 : performance.now() - this.cutMono
    this.cutMono = null
    this.#tell('well', `you are back after ${duration(awayMs)}`)
    void this.#open()
  }

  #openTurns(): Turn[] {
    return this.chats.flatMap(({ turns }) => turns.filter(isOpen))
  }

  addChat(): void {
    const [name, question] = EXAMPLES[this.#names] ?? [`Chat ${this.#names + 1}`, '']
    this.#names++
    const isKnown = this.models.length > 0
    const example = question !== '' && !isKnown ? question : null
    const chat: Chat = { id: crypto.randomUUID(), name, isBatch: false, turns: [], model: this.#model(), example }
    this.chats = [...this.chats, chat]
    // Only the built-in model answers without costs: no other is asked before somebody wants it
    if (question !== '' && isKnown && this.isFree(chat.model)) this.send(chat, question)
    this.#changed()
  }

  isFree(model: string): boolean {
    return this.free.includes(model)
  }

  /** For what is asked from now on. */
  choose(chat: Chat, model: string): void {
    chat.model = model
    this.#changed()
  }

  /** What a new chat, or a burst, asks. */
  get model(): string {
    return this.#model()
  }

  #model(): string {
    return this.free[0] ?? this.models[0] ?? ''
  }

  /** Fifty documents side by side. */
  burst(size = 50): void {
    const chat: Chat = {
      id: crypto.randomUUID(),
      name: `${size} documents`,
      isBatch: true,
      turns: [],
      model: this.#model(),
      example: null,
    }
    this.chats = [...this.chats.filter(({ isBatch, turns }) => !isBatch || !turns.every(isOver)), chat]
    const task = this.isFree(chat.model) ? 'demo: tokens=120 delay=20' : 'One sentence on rivers.'
    for (let n = 1; n <= size; n++) chat.turns.push(newTurn(`Document ${n}. ${task}`))
    this.#pump(chat)
    this.#tell('waits', `${size} documents sent at once`)
  }

  send(chat: Chat, question: string): void {
    chat.turns.push(newTurn(question))
    this.#pump(chat)
    this.#changed()
  }

  /** In their order: the next one when the last has ended, and when one is there. */
  #pump(chat: Chat): void {
    if (!this.#isHere || chat.model === '') return
    for (const turn of chat.turns) {
      if (!chat.isBatch && isOpen(turn)) return
      if (turn.state !== 'unsent') continue
      turn.state = 'sending'
      this.#follow(chat, turn)
      if (!chat.isBatch) return
    }
  }

  #follow(chat: Chat, turn: Turn): void {
    const client = this.#client as Sluice
    const era = this.#era
    const sentMono = performance.now()
    const job =
      turn.job === null
        ? client.submit({
            request: { model: chat.model, stream: true, messages: messagesOf(chat, turn) },
            idempotency_key: turn.key,
            on_worker_loss: 'continue',
          })
        : client.attach(turn.job, { cursor: turn.ledger.cursor })
    const wasNew = turn.job === null
    job.accepted.then(
      ({ id }) => {
        if (era !== this.#era) return
        turn.job = id
        if (turn.state === 'sending') turn.state = 'waiting'
        if (wasNew && !chat.isBatch)
          this.#tell('well', `${chat.name}: stored in ${duration(performance.now() - sentMono)}, then acknowledged`)
        this.#changed()
      },
      () => {},
    )
    void this.#read(chat, turn, job, era)
  }

  async #read(chat: Chat, turn: Turn, job: Job, era: number): Promise<void> {
    const before = turn.shown
    let isFirst = turn.pieces.at(-1)?.kind === 'cut'
    try {
      for await (const event of job) {
        if (era !== this.#era) return
        if (isFirst && event.type === 'chunk' && event.text !== '') {
          isFirst = false
          turn.pieces.push({ kind: 'back', token: turn.shown + 1 })
        }
        this.#show(chat, turn, event)
        if (event.type === 'live' && turn.shown > before + 1)
          this.#tell(
            'runs',
            `${chat.name}: ${counted(turn.shown - before, 'token')} that waited in the log came at once`,
          )
      }
    } catch (thrown) {
      if (era !== this.#era) return
      const error = SluiceError.from(thrown)
      turn.state = error.code === 'already_read' ? 'done' : 'failed'
      turn.error = turn.state === 'failed' ? error.message : null
      if (turn.state === 'failed') this.#tell('bad', `${chat.name}: ${error.message}`)
    }
    this.#pump(chat)
    this.#changed()
  }

  #show(chat: Chat, turn: Turn, event: JobEvent): void {
    if ('cursor' in event && !turn.ledger.see(event.cursor)) return this.#changed()
    switch (event.type) {
      case 'attempt':
        turn.attempts++
        turn.state = 'answering'
        if (event.n > 1 && turn.shown > 0) {
          turn.pieces.push({ kind: 'lost', token: turn.shown }, { kind: 'goes-on', token: turn.shown + 1 })
          this.#tell('well', `${chat.name}: ${event.deployment} went on at token ${turn.shown + 1}, attempt ${event.n}`)
        }
        break
      case 'chunk': {
        turn.state = 'answering'
        if (event.text === '') break
        turn.shown++
        const last = turn.pieces.at(-1)
        if (last?.kind === 'text') last.text += event.text
        else turn.pieces.push({ kind: 'text', text: event.text })
        break
      }
      case 'reset':
      case 'gap':
        if (event.type === 'gap') turn.ledger.restart()
        turn.pieces = [{ kind: 'anew', token: turn.shown }]
        turn.shown = 0
        this.#tell('warn', `${chat.name}: the answer begins anew (${event.reason})`)
        break
      case 'end':
        turn.state = event.state === 'done' ? 'done' : 'failed'
        turn.error = event.error?.message ?? null
        if (!chat.isBatch || chat.turns.every(isOver))
          this.#tell(
            event.state === 'done' ? 'well' : 'bad',
            chat.isBatch
              ? `${chat.name}: all answered`
              : `${chat.name}: ${event.state}, ${counted(turn.shown, 'token')} shown`,
          )
        break
    }
    this.#changed()
  }

  async kill(words: readonly [did: string, thing: string]): Promise<void> {
    const running = this.#openTurns().filter(({ state, job }) => state === 'answering' && job !== null)
    const turn = running.at(-1)
    if (turn === undefined) throw new Error('Nothing is being answered: there is nothing to kill.')
    await call('POST', '/admin/playground/kill', { job: turn.job })
    const chat = this.chats.find(({ turns }) => turns.includes(turn))
    this.#tell('bad', `${words[1]} ${words[0]} at token ${turn.shown} of ${chat?.name ?? 'it'}`)
  }

  /** Of the running or the last job: what one types to go on by hand. */
  get byHand(): Turn | null {
    const all = this.chats.filter(({ isBatch }) => !isBatch).flatMap(({ turns }) => turns)
    return (
      all.findLast((turn) => isOpen(turn) && turn.ledger.cursor !== null) ??
      all.findLast(({ job }) => job !== null) ??
      null
    )
  }
}

const at = (places: readonly number[]): string =>
  `${places.length === 1 ? 'token' : 'tokens'} ${places.length < 3 ? places.join(' and ') : places.join(', ')}`

const newTurn = (question: string): Turn => ({
  key: crypto.randomUUID(),
  question,
  ledger: new Ledger(),
  state: 'unsent',
  job: null,
  pieces: [],
  shown: 0,
  attempts: 0,
  error: null,
})

export const textOf = ({ pieces }: Turn): string =>
  pieces.map((piece) => (piece.kind === 'text' ? piece.text : '')).join('')

function messagesOf(chat: Chat, turn: Turn): readonly { readonly role: string; readonly content: string }[] {
  if (chat.isBatch) return [{ role: 'user', content: turn.question }]
  const before = chat.turns.slice(0, chat.turns.indexOf(turn)).filter(({ state }) => state === 'done')
  return [
    ...before.flatMap((one) => [
      { role: 'user', content: one.question },
      { role: 'assistant', content: textOf(one) },
    ]),
    { role: 'user', content: turn.question },
  ]
}

/** As the admin's live frames tell it; what was shown here was stored before. An ended answer was read to its end. */
export function storedOf(turn: Turn, rows: ReadonlyMap<string, JobRow>): number {
  if (isOver(turn)) return turn.shown + turn.ledger.lost
  const row = turn.job === null ? undefined : rows.get(turn.job)
  return Math.max(turn.shown, row?.tokens ?? 0)
}

export interface Sums {
  readonly stored: number
  readonly shown: number
  readonly lost: number
  readonly twice: number
}

export const sumOf = (turns: readonly Turn[], rows: ReadonlyMap<string, JobRow>): Sums => ({
  stored: turns.reduce((sum, turn) => sum + storedOf(turn, rows), 0),
  shown: turns.reduce((sum, { shown }) => sum + shown, 0),
  lost: turns.reduce((sum, { ledger }) => sum + ledger.lost, 0),
  twice: turns.reduce((sum, { ledger }) => sum + ledger.twice, 0),
})
