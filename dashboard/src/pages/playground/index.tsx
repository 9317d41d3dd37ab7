/** Does it hold what it promises? Cut your connection, kill the worker, and look what is lost. */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { JobRow } from '../../../../src/core/live.ts'
import { count, counted, duration } from '../../format.ts'
import { useKey } from '../../keys.ts'
import { Button, CopyButton } from '../../parts/button.tsx'
import { confirm } from '../../parts/dialog.tsx'
import { Count } from '../../parts/figure.tsx'
import { Head } from '../../parts/head.tsx'
import { Mark } from '../../parts/mark.tsx'
import { Panel } from '../../parts/panel.tsx'
import { attempt } from '../../parts/toast.tsx'
import { address } from '../../router.ts'
import { forbids } from '../../session.ts'
import { hello, jobs } from '../../socket.ts'
import { type Chat, type Piece, Play, storedOf, sumOf, type Turn } from './play.ts'
import './playground.css'

/** What a kill does here: a process, or a provider's call. */
const KILLS = {
  worker: { verb: 'Kill the worker', thing: 'worker', did: 'killed', next: 'new worker' },
  call: { verb: 'Break the call', thing: 'provider’s call', did: 'broken', next: 'next call' },
} as const

/** What a link to this page named, in focus: one press away. */
const TRIES: Readonly<Record<string, string>> = {
  type: '.chat-input input',
  cut: '.knife-cut button',
  kill: '.knife-kill button',
}

export function Playground() {
  const [play] = useState(() => new Play())
  void play.version.value
  const why = forbids('operator')
  useEffect(() => {
    if (why !== null) return
    play.start(address.peek().params.get('try') === 'burst')
    return () => play.stop()
  }, [play])
  const isThere = play.chats.length > 0
  useEffect(() => {
    const tried = TRIES[address.peek().params.get('try') ?? '']
    if (isThere && tried !== undefined) document.querySelector<HTMLElement>(tried)?.focus()
  }, [isThere])
  const rows = new Map(jobs.value.map((row) => [row.job, row]))
  const told = hello.value
  const words = KILLS[told?.kills ?? 'worker']
  const isAway = play.state === 'away'
  const turns = play.chats.flatMap((chat) => chat.turns)
  const sums = sumOf(turns, rows)
  const waits = sums.stored - sums.shown - sums.lost
  const cutOrBack = (): void => (isAway ? play.reconnect() : play.cut())
  const kill = (): void => void attempt(() => play.kill([words.did, words.thing]))
  const isOff = play.state === 'connecting' || why !== null
  useKey('c', 'cut my connection, reconnect', cutOrBack, !isOff)
  useKey('k', words.verb.toLowerCase(), kill, told !== null && told.noKill === null && why === null)
  const burst = (): void =>
    void (async () => {
      const isSure =
        play.isFree(play.model) ||
        (await confirm({
          title: `Send 50 requests to ${play.model}?`,
          body: 'They run on its provider, and count against the limits and budgets of the tenant of this page.',
          yes: 'Send 50',
        }))
      if (isSure) play.burst()
    })()
  const again = (): void => {
    play.stop()
    play.start()
  }
  const isAnswering = turns.some(({ state }) => state === 'answering')
  return (
    <>
      <Head title="Playground">
        <Button needs="operator" class="wide-only" onClick={() => play.addChat()}>
          Add a chat
        </Button>
        <Button
          needs="operator"
          class="wide-only"
          off={play.model === '' ? 'No model is known yet.' : undefined}
          onClick={burst}
        >
          Send 50 at once
        </Button>
        <Button needs="operator" onClick={again}>
          Start over
        </Button>
      </Head>
      <section class="play-head" aria-labelledby="play-state">
        <h2 id="play-state" aria-live="polite">
          {why ?? stateOf(play, isAnswering, sums.lost)}
        </h2>
        <div class="counts">
          <Count value={count(sums.stored)}>tokens stored</Count>
          <Count value={count(sums.shown)}>shown to you</Count>
          <Count value={count(Math.max(0, waits))} tone={waits > 0 ? 'tone-sand' : 'text'}>
            wait for you
          </Count>
          <Count value={count(sums.lost)} tone={sums.lost > 0 ? 'tone-bad' : 'tone-water'}>
            lost
          </Count>
          <Count value={count(sums.twice)} tone={sums.twice > 0 ? 'tone-bad' : 'tone-water'}>
            twice
          </Count>
        </div>
      </section>
      {play.error !== null && !(isAway && play.cutMono !== null && play.chats.some(({ model }) => model)) && (
        <p class="trouble" role="alert">
          {play.error}
        </p>
      )}
      <Path
        play={play}
        stored={sums.stored}
        shown={sums.shown}
        isAnswering={isAnswering}
        cut={
          <Button
            kind={isAway ? 'primary' : 'plain'}
            hint="c"
            off={why ?? (isOff ? 'Not connected yet.' : null)}
            onClick={cutOrBack}
          >
            {isAway ? 'Reconnect' : 'Cut my connection'}
          </Button>
        }
        kill={
          <Button hint="k" needs="operator" off={told?.noKill ?? null} onClick={kill}>
            {words.verb}
          </Button>
        }
      />
      <div class="columns chats">
        {play.chats.map((chat) =>
          chat.isBatch ? (
            <Batch key={chat.id} chat={chat} rows={rows} />
          ) : (
            <ChatView key={chat.id} chat={chat} play={play} rows={rows} words={words} />
          ),
        )}
      </div>
      <div class="columns chats">
        <Happened play={play} waits={waits} />
        <ByHand turn={play.byHand} publicUrl={told?.publicUrl ?? null} />
      </div>
    </>
  )
}

function stateOf(play: Play, isAnswering: boolean, lost: number): string {
  if (play.state === 'away') return isAnswering ? 'You are cut off. The answers go on without you.' : 'You are cut off.'
  if (play.state !== 'open') return 'Connecting.'
  if (lost > 0) return 'Tokens are missing. That must not be.'
  if (isAnswering) return 'Two knives, one log. Cut your connection.'
  return play.happened.some(({ shape }) => shape === 'cut')
    ? 'All is shown, nothing is lost.'
    : 'Send something, then cut.'
}

interface PathProps {
  readonly play: Play
  readonly stored: number
  readonly shown: number
  readonly isAnswering: boolean
  readonly cut: preact.ComponentChildren
  readonly kill: preact.ComponentChildren
}

function Path({ play, stored, shown, isAnswering, cut, kill }: PathProps) {
  const isAway = play.state === 'away'
  const now = useSeconds(isAway)
  const chats = play.chats.filter(({ isBatch }) => !isBatch).length
  const rate = useRate(stored)
  const kept = { memory: 'in memory', process: 'on disk', power: 'on disk, synced' }[
    hello.value?.durability ?? 'process'
  ]
  const ago = play.cutMono === null ? null : `cut ${duration(Math.max(0, now - play.cutMono))} ago`
  const flows = isAnswering ? 'flows' : ''
  return (
    <ol class="path" aria-label="The path of a token, from right to left">
      <li class={`path-box ${isAway ? 'is-cut' : ''}`}>
        <b>Your page</b>
        <span>{isAway && ago !== null ? ago : `one WebSocket, ${counted(chats, 'chat')}`}</span>
        <div class="path-knife knife-cut">{cut}</div>
      </li>
      <li class={`path-link ${isAway ? 'is-cut' : flows}`} aria-hidden="true">
        {isAway && <i>✂</i>}
      </li>
      <li class="path-box">
        <b>Gateway</b>
        <span>holds nothing that matters</span>
      </li>
      <li class={`path-link ${isAway ? '' : flows}`} aria-hidden="true" />
      <li class="path-box is-log">
        <b>Token log</b>
        <span>
          {counted(stored, 'token')}, {kept}
        </span>
        <div class="path-knife path-shown">
          <i
            class={`path-bar ${stored === 0 ? 'is-empty' : ''}`}
            style={{ '--of': `${stored === 0 ? 100 : (shown / stored) * 100}%` }}
            aria-hidden="true"
          />
          <span>{count(shown)} shown</span>
          {stored > shown && <b class="tone-sand">{count(stored - shown)} wait for you</b>}
        </div>
      </li>
      <li class={`path-link ${flows}`} aria-hidden="true" />
      <li class="path-box">
        <b>Worker</b>
        <span>{workerOf(play)}</span>
        <div class="path-knife knife-kill">{kill}</div>
      </li>
      <li class={`path-link ${flows}`} aria-hidden="true" />
      <li class="path-box">
        <b>Model</b>
        <span>{rate > 0 ? `${count(Math.round(rate))} tokens a second` : 'quiet'}</span>
      </li>
    </ol>
  )
}

function workerOf({ chats }: Play): string {
  const open = chats.flatMap(({ turns }) => turns).filter(({ state }) => state === 'answering')
  const again = open.find(({ attempts }) => attempts > 1)
  if (again !== undefined) return `went on, attempt ${again.attempts}`
  return open.length === 0 ? 'waits for work' : `runs ${counted(open.length, 'job')}`
}

/** Ticks while it is on. */
function useSeconds(isOn: boolean): number {
  const [now, set] = useState(performance.now())
  useEffect(() => {
    if (!isOn) return
    const timer = setInterval(() => set(performance.now()), 200)
    return () => clearInterval(timer)
  }, [isOn])
  return now
}

/** Of the last seconds. */
function useRate(total: number): number {
  const latest = useRef(total)
  latest.current = total
  const [rate, set] = useState(0)
  useEffect(() => {
    const samples: number[] = []
    const timer = setInterval(() => {
      samples.push(latest.current)
      if (samples.length > 4) samples.shift()
      const seconds = samples.length - 1
      set(seconds === 0 ? 0 : Math.max(0, ((samples.at(-1) as number) - (samples[0] as number)) / seconds))
    }, 1_000)
    return () => clearInterval(timer)
  }, [])
  return rate
}

interface ChatProps {
  readonly chat: Chat
  readonly play: Play
  readonly rows: ReadonlyMap<string, JobRow>
  readonly words: (typeof KILLS)[keyof typeof KILLS]
}

function ChatView({ chat, play, rows, words }: ChatProps) {
  const [text, setText] = useState('')
  const sums = sumOf(chat.turns, rows)
  const isAway = play.state === 'away'
  const isBusy = chat.turns.some(({ state }) => state !== 'done' && state !== 'failed')
  const send = (event: Event): void => {
    event.preventDefault()
    const asked = text.trim()
    if (asked === '') return
    play.send(chat, asked)
    setText('')
  }
  return (
    <Panel
      title={chat.name}
      sub={<ModelOf chat={chat} play={play} />}
      right={`${count(sums.stored)} stored · ${count(sums.shown)} shown`}
      class="chat"
    >
      <div
        class="chat-turns"
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label={`${chat.name}: questions and answers`}
      >
        <div>
          {chat.turns.map((turn) => (
            <TurnView key={turn.key} turn={turn} rows={rows} words={words} isAway={isAway} />
          ))}
        </div>
      </div>
      <form class="chat-input" onSubmit={send}>
        <input
          value={text}
          aria-label={`Message to ${chat.name}`}
          placeholder={isBusy ? 'Type while it answers; it waits its turn' : 'Ask something'}
          autocomplete="off"
          onInput={({ currentTarget }) => setText(currentTarget.value)}
        />
        {isAway && text !== '' && <span class="muted small">goes out when you are back</span>}
        <Button type="submit" isSmall needs="operator">
          Send
        </Button>
      </form>
    </Panel>
  )
}

/** A choice where there is one, until the chat has begun. */
function ModelOf({ chat, play }: Pick<ChatProps, 'chat' | 'play'>) {
  if (chat.model === '') return null
  if (play.models.length < 2 || chat.turns.length > 0) return <span class="pill">{chat.model}</span>
  return (
    <select
      class="chat-model"
      aria-label={`Model of ${chat.name}`}
      value={chat.model}
      onChange={({ currentTarget }) => play.choose(chat, currentTarget.value)}
    >
      {play.models.map((model) => (
        <option key={model} value={model}>
          {model}
        </option>
      ))}
    </select>
  )
}

function TurnView({ turn, rows, words, isAway }: Pick<ChatProps, 'rows' | 'words'> & { turn: Turn; isAway: boolean }) {
  const unseen = storedOf(turn, rows) - turn.shown - turn.ledger.lost
  const at = turn.question.indexOf('demo:')
  return (
    <article class={`turn turn-${turn.state}`}>
      <blockquote>
        {at < 0 ? turn.question : turn.question.slice(0, at)}
        {at >= 0 && <code>{turn.question.slice(at)}</code>}
        {turn.state === 'unsent' && (
          <span class="faint"> {isAway ? 'goes out when you are back' : 'waits its turn'}</span>
        )}
      </blockquote>
      <p class="answer">
        {turn.pieces.map((piece, index) =>
          piece.kind === 'text' ? piece.text : <Seam key={index} piece={piece} words={words} />,
        )}
        {turn.state === 'answering' && !isAway && <i class="caret" aria-hidden="true" />}
      </p>
      {turn.error !== null && (
        <p class="turn-error">
          <Mark shape="bad" /> {turn.error}
        </p>
      )}
      {isAway && turn.job !== null && turn.state !== 'done' && turn.state !== 'failed' && (
        <Unseen unseen={Math.max(0, unseen)} turn={turn} />
      )}
    </article>
  )
}

function Seam({ piece, words }: { piece: Exclude<Piece, { kind: 'text' }>; words: ChatProps['words'] }) {
  switch (piece.kind) {
    case 'cut':
      return <span class="seam seam-warn">✂ cut · {piece.token}</span>
    case 'back':
      return <span class="seam seam-well">back · {piece.token}</span>
    case 'lost':
      return (
        <span class="seam seam-warn">
          ■ {words.thing} {words.did} · {piece.token}
        </span>
      )
    case 'goes-on':
      return (
        <span class="seam seam-well">
          {words.next} · {piece.token}
        </span>
      )
    case 'anew':
      return <span class="seam seam-warn">begins anew · {piece.token} withdrawn</span>
  }
}

/** More dashes than this tell nothing more. */
const MOST_DASHES = 400

/** Stored, but not shown: that it is there, not what it is. */
function Unseen({ unseen, turn }: { readonly unseen: number; readonly turn: Turn }) {
  return (
    <div class="unseen">
      <p>
        <strong>
          {unseen === 0
            ? 'Whatever comes is kept in the log.'
            : `${counted(unseen, 'token')} of this answer are safe in the log.`}
        </strong>{' '}
        <span class="muted">You will see them when you are back, from token {turn.shown + 1} on.</span>
      </p>
      <p class="dashes" aria-hidden="true">
        {Array.from({ length: Math.min(unseen, MOST_DASHES) }, (_, n) => (
          <i key={n} class={`dash-${(n * 7 + (n >> 2) * 3) % 5}`} />
        ))}
      </p>
      {turn.ledger.cursor !== null && <code class="muted">last-event-id: {turn.ledger.cursor}</code>}
    </div>
  )
}

function Batch({ chat, rows }: { readonly chat: Chat; readonly rows: ReadonlyMap<string, JobRow> }) {
  const sums = sumOf(chat.turns, rows)
  const done = chat.turns.filter(({ state }) => state === 'done').length
  return (
    <Panel
      title={chat.name}
      sub={chat.model !== '' && <span class="pill">{chat.model}</span>}
      right={`${done} of ${chat.turns.length} done · ${count(sums.shown)} shown`}
      class="chat"
    >
      <p class="muted">
        They wait behind each other. The chats beside them do not wait for them: that is the fair line.
      </p>
      <div class="batch" role="img" aria-label={`${done} of ${chat.turns.length} documents are answered`}>
        {chat.turns.map((turn) => (
          <i
            key={turn.key}
            class={`batch-${turn.state}`}
            style={{ '--of': `${Math.min(100, (turn.shown / 120) * 100)}%` }}
          />
        ))}
      </div>
    </Panel>
  )
}

const Happened = ({ play, waits }: { readonly play: Play; readonly waits: number }) => (
  <Panel title="What happened">
    <ol class="happened" aria-live="polite">
      {play.happened.slice(-12).map(({ atMs, shape, text }) => (
        <li key={`${atMs} ${text}`}>
          <span class="happened-at">{(atMs / 1_000).toFixed(1)} s</span>
          <span class={shape === 'cut' ? 'tone-warn' : ''}>{shape === 'cut' ? '✂' : <Mark shape={shape} />}</span>
          <span>{text}</span>
        </li>
      ))}
      {play.state === 'away' && waits > 0 && (
        <li>
          <span class="happened-at">now</span>
          <span />
          <span>{counted(waits, 'token')} stored since</span>
        </li>
      )}
    </ol>
  </Panel>
)

function ByHand({ turn, publicUrl }: { readonly turn: Turn | null; readonly publicUrl: string | null }) {
  const base = publicUrl ?? `${location.protocol}//${location.hostname}:4100`
  const cursor = turn?.ledger.cursor ?? null
  const job = turn?.job ?? 'JOB'
  const lines = [`curl -N ${base}/v1/jobs/${job}/events \\`, '  -H "authorization: Bearer $KEY"']
  const last = cursor === null ? null : `  -H "last-event-id: ${cursor}"`
  return (
    <Panel
      title="The same by hand"
      right={
        <CopyButton text={() => [lines[0], lines[1] + (last === null ? '' : ' \\'), last].filter(Boolean).join('\n')} />
      }
    >
      <pre class="code" tabIndex={0}>
        {lines[0]}
        {'\n'}
        {lines[1]}
        {last !== null && ' \\\n'}
        {last !== null && <b class="tone-water">{last}</b>}
        {'\n\n'}
        <span class="faint">
          # goes on after the last event you saw, after any cut,{'\n'}# on any node, at the very next token
        </span>
      </pre>
    </Panel>
  )
}
