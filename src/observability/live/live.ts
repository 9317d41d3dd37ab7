/**
 * What open pages of the dashboard are told, and when. Nothing is read and no timer runs while none is open; pages that
 * watch the same share what is computed.
 */
import type { Clock } from '../../core/clock.ts'
import type { Foot, Hello, LiveAsk, LiveTold, Role } from '../../core/live.ts'
import type { Live, LivePage } from '../../core/ports/live.ts'

const BEAT_MS = 250
/** Beats from one foot to the next. */
const BEATS_A_SECOND = 4

export interface LiveParts {
  readonly clock: Clock
  readonly hello: (role: Role) => Promise<Hello>
  readonly foot: () => Promise<Foot>
  /** A page could not be told something. */
  readonly onFault: (error: unknown) => void
}

interface Page {
  readonly tell: (told: LiveTold) => boolean
  isOpen: boolean
}

export function createLive(parts: LiveParts): Live {
  const { clock, onFault } = parts
  const pages = new Set<Page>()
  let stop: (() => void) | null = null
  let beats = 0
  let isBusy = false

  async function second(): Promise<void> {
    // Whoever comes while this is fetched waits for the next one
    const here = [...pages]
    const foot: LiveTold = { t: 'foot', ...(await parts.foot()) }
    for (const page of here) if (page.isOpen) page.tell(foot)
  }

  function beat(): void {
    if (beats++ % BEATS_A_SECOND !== 0 || isBusy) return
    isBusy = true
    second()
      .catch(onFault)
      .finally(() => {
        isBusy = false
      })
  }

  async function greet(page: Page, role: Role): Promise<void> {
    const hello = await parts.hello(role)
    if (page.isOpen) page.tell({ t: 'hello', ...hello })
    const foot = await parts.foot()
    if (page.isOpen) page.tell({ t: 'foot', ...foot })
    if (page.isOpen) pages.add(page)
  }

  return {
    open(role, tell): LivePage {
      const page: Page = { tell, isOpen: true }
      stop ??= clock.every(BEAT_MS, beat)
      greet(page, role).catch(onFault)
      return {
        ask(_ask: LiveAsk) {},
        close() {
          page.isOpen = false
          pages.delete(page)
          if (pages.size > 0) return
          stop?.()
          stop = null
        },
      }
    },
  }
}
