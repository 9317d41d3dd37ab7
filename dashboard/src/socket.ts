/** The page's one WebSocket: connects, watches what the page shows, and comes back by itself. */
import { batch, computed, effect, signal } from '@preact/signals'
import type { LiveAsk, LiveTold } from '../../src/core/live.ts'
import { ask, EMPTY, type Feed, tell } from './feed.ts'
import { session, signIn } from './session.ts'

/** All that was told. */
const live = signal<Feed>(EMPTY)
const frozen = signal<{ readonly feed: Feed; readonly atMs: number } | null>(null)

/** What is shown: what was told, or what was when the picture was frozen. */
export const feed = computed<Feed>(() => frozen.value?.feed ?? live.value)
export const hello = computed(() => live.value.hello)
export const foot = computed(() => live.value.foot)
export const now = computed(() => feed.value.now)
export const line = computed(() => feed.value.line)
export const chart = computed(() => feed.value.chart)
export const jobs = computed(() => feed.value.jobs)
export const changes = computed(() => feed.value.changes)
export const trace = computed(() => feed.value.trace)
export const liveError = computed(() => feed.value.error)

export const paused = computed(() =>
  frozen.value === null ? null : { atMs: frozen.value.atMs, events: live.value.events - frozen.value.feed.events },
)

/** Freezes the picture, not the system; going on catches up in one step. */
export function pause(isPaused = frozen.value === null): void {
  frozen.value = isPaused ? { feed: live.value, atMs: serverNow() } : null
}

/** Null: all is well. Else when a frame came last, by the server's clock, and how long ago. */
export const lost = signal<{ readonly sinceMs: number; readonly atMs: number | null } | null>(null)

/** The server's clock minus ours. */
let skewMs = 0
export const serverNow = (): number => Date.now() + skewMs
/** Ticks once a second, for ages. */
export const tick = signal(Date.now())

/** A foot comes each second: three of them missing is silence, and ten a dead connection. */
const SILENT_MS = 3_500
const DEAD_MS = 10_000
const LONGEST_WAIT_MS = 5_000

let socket: WebSocket | null = null
let heardAt = 0
let attempts = 0
let timer: ReturnType<typeof setTimeout> | undefined

/** What is asked for; the same again asks nothing. */
export function watch(asked: LiveAsk): void {
  if (JSON.stringify(asked) === JSON.stringify(live.peek().asked)) return
  batch(() => {
    frozen.value = null
    live.value = ask(live.peek(), asked)
  })
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(asked))
}

function connect(): void {
  clearTimeout(timer)
  socket?.close()
  const url = new URL('/admin/live', location.href)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  const mine = new WebSocket(url, 'sluice.live.v1')
  socket = mine
  mine.onopen = () => {
    attempts = 0
    live.value = ask(live.peek(), live.peek().asked)
    mine.send(JSON.stringify(live.peek().asked))
  }
  mine.onmessage = ({ data }) => {
    if (socket !== mine) return
    heardAt = performance.now()
    if (lost.peek() !== null) lost.value = null
    const told = JSON.parse(data as string) as LiveTold
    if (told.t === 'foot') skewMs = told.atMs - Date.now()
    live.value = tell(live.peek(), told)
  }
  mine.onclose = () => {
    if (socket !== mine) return
    socket = null
    if (session.peek().state !== 'in') return
    // A browser is not told why an upgrade was refused: ask whether it still knows us
    if (attempts++ % 3 === 1) void signIn()
    const waitMs = Math.min(LONGEST_WAIT_MS, 300 * 2 ** attempts) * (0.5 + Math.random() / 2)
    timer = setTimeout(connect, waitMs)
  }
}

/** Signed out: nothing is left of what was seen. */
function leave(): void {
  clearTimeout(timer)
  const mine = socket
  socket = null
  mine?.close()
  heardAt = 0
  batch(() => {
    frozen.value = null
    lost.value = null
    live.value = EMPTY
  })
}

function look(): void {
  tick.value = Date.now()
  if (session.peek().state !== 'in' || heardAt === 0) return
  const silentMs = performance.now() - heardAt
  if (silentMs < SILENT_MS) return
  lost.value = { sinceMs: silentMs, atMs: live.peek().foot?.atMs ?? null }
  if (silentMs > DEAD_MS && socket?.readyState === WebSocket.OPEN) connect()
}

export function startSocket(): void {
  let isIn = false
  effect(() => {
    const { state } = session.value
    if (state === 'in' && !isIn) connect()
    if (state === 'none' && isIn) leave()
    isIn = state === 'in'
  })
  setInterval(look, 1_000)
  // A laptop that wakes up waits for nothing
  addEventListener('online', () => {
    if (session.peek().state === 'in' && socket?.readyState !== WebSocket.OPEN) connect()
  })
}
