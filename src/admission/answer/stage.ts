/**
 * Stands between a provider and the log where a tenant has guards of answers: only there is an answer parsed.
 *
 *   provider ─▶ moderation: waits for its verdict ─▶ schema ─▶ texts: held back, replaced, blocked ─▶ log
 *
 * It ends an answer early by aborting the call and telling the end itself; what the provider tells after that is
 * dropped.
 */
import { chunkShows, endsChoice } from '../../core/delta.ts'
import { parseDocument } from '../../core/document.ts'
import { SluiceError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/fold.ts'
import { memberText } from '../../core/json.ts'
import type { GuardedCall, Stage } from '../../core/ports/admission.ts'
import type { ProviderEnd, ProviderSink } from '../../core/ports/provider.ts'
import { type Bytes, toText } from '../../core/record.ts'
import type { Ruling } from '../../core/ruling.ts'
import type { Seeker } from '../scan/redactor.ts'
import { compileSchema, type JsonCheck } from '../schema/json-check.ts'
import { type Hidden, hide } from './hidden.ts'
import { marker } from './marker.ts'
import { Matching } from './matching.ts'
import { type Moderate, Moderating } from './moderating.ts'
import type { AnswerGuard, AnswerPart } from './part.ts'
import { reader } from './reader.ts'
import { Tally } from './tally.ts'
import { AnswerTexts } from './texts.ts'

export interface StageDeps {
  readonly moderate: Moderate
  /** What was decided, once the answer has ended. */
  readonly tell: (rulings: readonly Ruling[]) => void
  /** Something unforeseen was thrown. */
  readonly onFault: (thrown: unknown) => void
}

/** One guard's part in this answer. */
interface Acting<Part extends AnswerPart = AnswerPart> {
  readonly part: Part
  readonly isEnforced: boolean
  readonly name: string
  readonly tally: Tally
}

type Kind = AnswerPart['kind']
type PartOf<K extends Kind> = Extract<AnswerPart, { kind: K }>

/** Chunks that show nothing, after a finish reason: commonly one, with the usage. */
const MAX_ENDING = 64

export class AnswerStage implements Stage {
  readonly body: Uint8Array
  readonly prefix: string | undefined
  readonly #to: ProviderSink
  readonly #abort: () => void
  readonly #deps: StageDeps
  readonly #acting: readonly Acting[]
  readonly #texts: AnswerTexts | null
  readonly #matching: ReadonlyArray<{ readonly by: Acting<PartOf<'schema'>>; readonly matching: Matching }>
  /** Can an answer fail a schema? */
  readonly #mayFail: boolean
  /** Chunks from one with a finish reason on: shown once the whole was judged, or more of the answer follows. */
  #ending: Array<{ readonly chunk: JsonObject; readonly payload: Bytes }> = []
  /** Null: no service is asked. */
  #moderating: Moderating | null
  /** What came before the verdict. */
  #queue: Array<() => void> = []
  #blockedBy = ''
  /** The provider has told its end. */
  #isComplete = false
  #over = false

  /** Throws content_blocked, answer_invalid. */
  constructor(call: GuardedCall, guards: readonly AnswerGuard[], to: ProviderSink, abort: () => void, deps: StageDeps) {
    this.#to = to
    this.#abort = abort
    this.#deps = deps
    this.#acting = guards.flatMap(({ name, mode, answer }) =>
      answer === null
        ? []
        : [{ part: answer, isEnforced: mode === 'enforce', name, tally: new Tally(name, mode) } as Acting],
    )
    const hidden = this.#hidden(call)
    this.body = hidden.body
    this.prefix = hidden.prefix
    const isChat = call.job.kind === 'chat'
    this.#texts = isChat ? this.#textsOf(call, hidden.restoring) : null
    this.#matching = isChat ? this.#matchingOf(call, hidden) : []
    this.#mayFail = this.#matching.some(({ by }) => by.isEnforced)
    this.#moderating = this.#moderatingOf()
  }

  // ------------------------------------------------------------ before the call

  #ofKind<K extends Kind>(kind: K): ReadonlyArray<Acting<PartOf<K>>> {
    return this.#acting.filter(({ part }) => part.kind === kind) as unknown as ReadonlyArray<Acting<PartOf<K>>>
  }

  /** Of several guards that hide, each finds what those before it left. */
  #hidden({ body, prefix }: GuardedCall): Hidden {
    let hidden: Hidden = { body, prefix, restoring: null }
    for (const { part, isEnforced } of this.#ofKind('hide')) {
      if (!isEnforced) continue
      const next = hide(hidden.body, hidden.prefix, part.finder)
      hidden = { ...next, restoring: next.restoring ?? hidden.restoring }
    }
    return hidden
  }

  #textsOf(call: GuardedCall, restoring: Seeker | null): AnswerTexts | null {
    const enforced: Seeker[] = restoring === null ? [] : [restoring]
    const observed: Seeker[] = []
    const looking = this.#acting.filter(({ part }) => part.kind === 'text' || (part.kind === 'hide' && part.also))
    for (const { part, isEnforced, name, tally } of looking) {
      const { finder, action } = (part.kind === 'hide' ? part.also : part) as PartOf<'text'>
      if (!isEnforced || action === 'flag')
        observed.push({
          finder,
          found(text, rule) {
            tally.add(action, rule)
            return text
          },
        })
      else
        enforced.push({
          finder,
          found: (_text, rule) => {
            tally.add(action, rule)
            if (action === 'redact') return marker(rule)
            this.#blockedBy = name
            return null
          },
        })
    }
    if (enforced.length === 0 && observed.length === 0) return null
    return new AnswerTexts({
      make: (context) => reader(enforced, observed, context),
      edits: enforced.length > 0,
      shown: call.prefix ?? '',
      onMedia: () => {
        for (const { tally } of looking) tally.missed('media')
      },
      blockedBy: () => this.#blockedBy,
      choices: choicesAsked(call.body),
    })
  }

  /** The schema as the client knows it, and so the answer with what was hidden put back. */
  #matchingOf({ body }: GuardedCall, { prefix, restoring }: Hidden) {
    return this.#ofKind('schema').flatMap((by) => {
      const check = by.part.own ?? this.#asked(body, by.tally)
      if (check === null) return []
      const matching = new Matching(check, restoring, (what) => by.tally.missed(what))
      // What was shown can't be taken back: continued, it would fail again
      const broken = prefix === undefined ? null : matching.add(0, prefix)
      if (broken !== null) this.#invalid(by, broken)
      return [{ by, matching }]
    })
  }

  /** Throws answer_invalid where a continuation can't help. */
  #invalid({ isEnforced, tally }: Acting, rule: string): void {
    tally.add('block', rule)
    if (isEnforced) throw invalid(rule)
  }

  /** The check that the request asks for; null: none, or one that can't be done. */
  #asked(body: Uint8Array, tally: Tally): JsonCheck | null {
    const format = memberText(body, 'response_format')
    if (format === null) return null
    const { type, json_schema: asked } = (JSON.parse(format) ?? {}) as Record<string, unknown>
    if (type !== 'json_schema') return null
    try {
      return compileSchema(JSON.stringify((asked as { readonly schema?: unknown } | undefined)?.schema))
    } catch {
      tally.missed('schema')
      return null
    }
  }

  #moderatingOf(): Moderating | null {
    const asked = this.#ofKind('moderation')
    if (asked.length === 0) return null
    const onVerdict = (error: SluiceError | null): void => {
      if (error === null) this.#judged()
      // Another call of the provider would not help
      else this.#stop({ kind: 'failed', error, retry: false })
    }
    return new Moderating(asked, this.body, this.#deps.moderate, onVerdict, (tally) => this.#tell([tally]))
  }

  // ------------------------------------------------------------ from the provider

  events(payloads: readonly Bytes[]): void {
    this.#then(() => this.#events(payloads))
  }

  document(document: Bytes, usage: unknown): void {
    this.#then(() => this.#document(document, usage))
  }

  end(end: ProviderEnd): void {
    this.#isComplete = true
    // Nobody waits for what was aborted
    if (end.kind === 'aborted') this.#end(end)
    else this.#then(() => this.#end(end))
  }

  stop(): void {
    // Else the end of the call, which is aborted, is still to come
    if (this.#isComplete) this.#end({ kind: 'aborted' })
  }

  /** Now, or once the verdict is there. */
  #then(next: () => void): void {
    if (this.#over) return
    if (this.#moderating?.isWaitedFor === true) this.#queue.push(next)
    else this.#safely(next)
  }

  #judged(): void {
    const queue = this.#queue
    this.#queue = []
    for (const next of queue) if (!this.#over) this.#safely(next)
  }

  #safely(next: () => void): void {
    try {
      next()
    } catch (thrown) {
      const error = SluiceError.from(thrown)
      if (error.code === 'internal') this.#deps.onFault(thrown)
      this.#stop({ kind: 'failed', error, retry: false })
    }
  }

  #events(payloads: readonly Bytes[]): void {
    const out: Bytes[] = []
    for (const payload of payloads) {
      const chunk = JSON.parse(toText(payload)) as JsonObject
      const end = this.#broken((matching) => matching.chunk(chunk))
      if (end === null) this.#take(chunk, payload, out)
      if (end === null && this.#texts?.isOver !== true) continue
      if (out.length > 0) this.#to.events(out)
      return this.#stop(end ?? { kind: 'done' })
    }
    if (out.length > 0) this.#to.events(out)
  }

  #document(document: Bytes, usage: unknown): void {
    const parsed = this.#matching.length === 0 ? {} : parseDocument(document)
    const end = this.#broken((matching) => matching.chunk(parsed) ?? matching.end())
    if (end !== null) return this.#stop(end)
    this.#to.document(this.#texts?.document(document) ?? document, usage)
  }

  #take(chunk: JsonObject, payload: Bytes, out: Bytes[]): void {
    if (!this.#mayFail) return this.#pass(chunk, payload, out)
    if (chunkShows(chunk) || this.#ending.length >= MAX_ENDING) this.#release(out)
    if (this.#ending.length > 0 || endsChoice(chunk)) this.#ending.push({ chunk, payload })
    else this.#pass(chunk, payload, out)
  }

  #release(out: Bytes[]): void {
    const ending = this.#ending
    this.#ending = []
    for (const { chunk, payload } of ending) this.#pass(chunk, payload, out)
  }

  #pass(chunk: JsonObject, payload: Bytes, out: Bytes[]): void {
    if (this.#texts?.isOver === true) return
    for (const each of this.#texts?.chunk(chunk, payload) ?? [payload]) out.push(each)
  }

  /** A rule of the schemas? Returns how the answer ends then. */
  #broken(ruleOf: (matching: Matching) => string | null): ProviderEnd | null {
    for (const { by, matching } of this.#matching) {
      const broken = ruleOf(matching)
      if (broken === null) continue
      by.tally.add('block', broken)
      if (by.isEnforced) return { kind: 'failed', error: invalid(broken), retry: by.part.invalid === 'retry' }
    }
    return null
  }

  #end(end: ProviderEnd): void {
    if (this.#over) return
    if (end.kind === 'done') {
      const broken = this.#broken((matching) => matching.end())
      if (broken !== null) return this.#finish(broken)
      const left: Bytes[] = []
      this.#release(left)
      for (const each of this.#texts?.end() ?? []) left.push(each)
      if (left.length > 0) this.#to.events(left)
    }
    // A verdict that nobody waits for may still end what is well so far
    if (end.kind === 'done' && this.#moderating?.isOpen === true) {
      this.#moderating.waitFor()
      this.#queue.push(() => this.#finish(end))
    } else this.#finish(end)
  }

  #stop(end: ProviderEnd): void {
    if (this.#over) return
    this.#finish(end, this.#abort)
  }

  #finish(end: ProviderEnd, before: () => void = () => {}): void {
    if (this.#over) return
    this.#over = true
    this.#queue = []
    this.#moderating?.close()
    this.#tell(this.#acting.map(({ tally }) => tally).filter((tally) => this.#moderating?.isLate(tally) !== true))
    before()
    this.#to.end(end)
  }

  #tell(tallies: readonly Tally[]): void {
    const rulings = tallies.map((tally) => tally.ruling()).filter((ruling) => ruling !== null)
    if (rulings.length > 0) this.#deps.tell(rulings)
  }
}

const invalid = (rule: string): SluiceError =>
  new SluiceError('answer_invalid', {
    message: `The answer does not match its JSON Schema: it breaks "${rule}" (guard json-schema).`,
  })

function choicesAsked(body: Uint8Array): number {
  const n = Number(memberText(body, 'n') ?? 1)
  return Number.isSafeInteger(n) && n > 0 ? n : 1
}
