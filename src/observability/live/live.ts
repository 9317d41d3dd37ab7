/**
 * What open pages of the dashboard are told, and when. Nothing is read and no timer runs while none is open; pages that
 * watch the same share what is computed for it.
 */
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { isTerminal } from '../../core/job.ts'
import type { Foot, Hello, Line, LiveAsk, LiveTold, Role, RowKind } from '../../core/live.ts'
import type { Live, LivePage } from '../../core/ports/live.ts'
import type { Operations } from '../../core/ports/operations.ts'
import { chartOf, spanOf } from '../history/chart.ts'
import type { Changes } from './changes.ts'
import type { JobPages, ToldJobs } from './job-pages.ts'
import type { NowPages, View } from './now-pages.ts'
import { Patience } from './patience.ts'

const BEAT_MS = 250
const BEATS_A_SECOND = 4
const LINE_BOUNDS = { rows: 8, waits: 40, runs: 60 } as const
const FIRST_CHANGES = 50

export interface LiveParts {
  readonly clock: Clock
  readonly hello: (role: Role) => Promise<Hello>
  readonly foot: () => Promise<Foot>
  readonly nodes: Nodes
  readonly changes: Changes
  readonly operations: Pick<Operations, 'line'>
  readonly now: NowPages
  readonly jobs: JobPages
  /** Called once a second while a page is open. */
  readonly onLook: () => void
  /** A page could not be told something. */
  readonly onFault: (error: unknown) => void
}

/** The nodes of a fleet, of which any may be asked what it has measured. */
export interface Nodes {
  /** Somebody looks from now on: resolves when all have told what they have, or after a second. */
  begin(): Promise<void>
  end(): void
  /** Null: all that are heard, as one. */
  view(node: string | null): View
  /** What was told may still grow: others tell it late. */
  readonly lateMs: number
}

type Ask<P extends LiveAsk['page']> = Extract<LiveAsk, { page: P }>

let opened = 0

class Page {
  readonly id = ++opened
  readonly role: Role
  readonly tell: (told: LiveTold) => boolean
  isOpen = true
  isGreeted = false
  ask: LiveAsk = { t: 'watch', page: 'foot' }
  /** The bucket that the chart is told from the next time; null: all of it. */
  chartFrom: number | null = null
  /** Of which nodes it is. */
  chartOf = ''
  /** What it was told of the list, the version of the one job, and of changes; null: nothing. */
  jobs: ToldJobs | null = null
  job: number | null = null
  isJobOver = false
  changes: number | null = null
  line = ''

  constructor(role: Role, tell: (told: LiveTold) => boolean) {
    this.role = role
    this.tell = tell
  }

  watch(ask: LiveAsk): void {
    this.ask = ask
    this.chartFrom = null
    this.jobs = null
    this.job = null
    this.changes = null
    this.line = ''
  }

  /** Is this still what it watches, after something was fetched for it? */
  isAt(ask: LiveAsk): boolean {
    return this.isOpen && this.ask === ask
  }
}

export function createLive(parts: LiveParts): Live {
  const { clock, nodes, changes, operations, onFault } = parts
  const pages = new Set<Page>()
  const busy = new Set<string>()
  let stop: (() => void) | null = null
  let beats = 0

  const patience = new Patience(clock)

  /** One at a time of each name: where the store is slow, beats are left out. */
  function once(name: string, fn: () => Promise<void>): void {
    if (busy.has(name)) return
    busy.add(name)
    patience
      .wait(fn())
      .catch(missed)
      .finally(() => busy.delete(name))
  }

  /** An outage is told, and tried again at the next beat; what else was thrown is ours. */
  function missed(thrown: unknown): void {
    if (!(thrown instanceof SluiceError) || thrown.code !== 'storage_unavailable') return onFault(thrown)
    for (const page of pages) page.tell({ t: 'error', error: thrown.wire })
  }

  const watching = <P extends LiveAsk['page']>(page: P): Array<readonly [Page, Ask<P>]> =>
    [...pages].flatMap((each) =>
      each.isGreeted && each.ask.page === page ? [[each, each.ask as Ask<P>] as const] : [],
    )

  function beat(): void {
    if (watching('now').length > 0) once('line', tellLines)
    for (const [page, ask] of watching('job')) once(`job ${page.id}`, () => tellJob(page, ask))
    if (beats++ % BEATS_A_SECOND !== 0) return
    parts.onLook()
    for (const page of pages) if (!page.isGreeted) once(`hello ${page.id}`, () => greet(page))
    once('foot', tellFoot)
    for (const [page, ask] of watching('now')) {
      once(`now ${page.id}`, () => tellNow(page, ask))
      // Not after it: what the store is asked for here must not keep the page from the word that it is away
      once(`beside ${page.id}`, () => tellBeside(page, ask))
    }
    for (const [page, ask] of watching('jobs')) once(`jobs ${page.id}`, () => tellJobs(page, ask, ask.filter))
  }

  async function tellFoot(): Promise<void> {
    const foot: LiveTold = { t: 'foot', ...(await parts.foot()) }
    for (const page of pages) if (page.isGreeted) page.tell(foot)
  }

  async function tellLines(): Promise<void> {
    const lines = new Map<RowKind, Promise<Line>>()
    await Promise.all(
      watching('now').map(async ([page, ask]) => {
        if (typeof ask.range !== 'string') return
        const asked = lines.get(ask.rows) ?? operations.line(ask.rows, LINE_BOUNDS)
        lines.set(ask.rows, asked)
        const line = await asked
        const { atMs: _, ...rest } = line
        const text = JSON.stringify(rest)
        if (page.isAt(ask) && text !== page.line && page.tell({ t: 'line', ...line })) page.line = text
      }),
    )
  }

  async function tellNow(page: Page, ask: Ask<'now'>): Promise<void> {
    const nowMs = clock.wallMs()
    const view = nodes.view(ask.node)
    const span = spanOf(view.history, ask.range, nowMs)
    if (page.chartOf !== view.key) page.chartFrom = null
    if (page.chartFrom === null || span.isLive) {
      const isTold = page.tell({ t: 'chart', ...chartOf(span, page.chartFrom) })
      page.chartFrom = isTold ? span.tier.bucketAt(nowMs - nodes.lateMs) : null
      page.chartOf = view.key
    }
    const now = await parts.now.read(ask.range, nowMs, view)
    if (page.isAt(ask)) page.tell({ t: 'now', ...now })
  }

  async function tellBeside(page: Page, ask: Ask<'now'>): Promise<void> {
    await tellJobs(page, ask, {})
    if (page.isAt(ask)) await tellChanges(page)
  }

  async function tellJobs(page: Page, ask: LiveAsk, filter: Ask<'jobs'>['filter']): Promise<void> {
    const found = await parts.jobs.rows(filter, page.jobs, page.role)
    if (!page.isAt(ask) || (found.rows.length === 0 && page.jobs !== null)) return
    if (page.tell({ t: 'jobs', jobs: found.rows })) page.jobs = found.note()
  }

  async function tellChanges(page: Page): Promise<void> {
    await parts.now.older()
    const { added } = changes
    if (added === page.changes) return
    const fresh = changes.newest(FIRST_CHANGES, page.changes)
    if (page.tell({ t: 'changes', changes: fresh })) page.changes = added
  }

  async function tellJob(page: Page, ask: Ask<'job'>): Promise<void> {
    const version = parts.jobs.version(ask.job)
    // Whose marks are not here may change untold: it is read anew, once a second
    const isUnmarked = version === 0 && !page.isJobOver && beats % BEATS_A_SECOND === 1
    if (page.job !== null && page.job === version && !isUnmarked) return
    try {
      const trace = await parts.jobs.trace(ask.job, page.role)
      if (!page.isAt(ask) || !page.tell({ t: 'job', ...trace })) return
      page.job = version
      page.isJobOver = isTerminal(trace.row.state)
    } catch (thrown) {
      if (!(thrown instanceof SluiceError) || thrown.code === 'internal') throw thrown
      if (page.isAt(ask) && page.tell({ t: 'error', error: thrown.wire })) page.job = version
    }
  }

  async function greet(page: Page): Promise<void> {
    const [hello] = await Promise.all([parts.hello(page.role), nodes.begin()])
    const foot = await parts.foot()
    // It may have been given up, and begun again
    if (!page.isOpen || page.isGreeted) return
    page.tell({ t: 'hello', ...hello })
    page.tell({ t: 'foot', ...foot })
    page.isGreeted = true
    // What it asks for first is told at the next beat
    beats = 0
  }

  return {
    open(role, tell): LivePage {
      const page = new Page(role, tell)
      pages.add(page)
      parts.onLook()
      stop ??= clock.every(BEAT_MS, beat)
      once(`hello ${page.id}`, () => greet(page))
      return {
        ask(ask) {
          page.watch(ask)
          beats = 0
        },
        close() {
          page.isOpen = false
          pages.delete(page)
          if (pages.size > 0) return
          stop?.()
          stop = null
          nodes.end()
        },
      }
    },
  }
}
