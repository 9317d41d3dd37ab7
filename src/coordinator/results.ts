/** What was decided since it was last taken, in order. */
import type { Change, Notice } from '../core/ports/coordinator.ts'

const NO_CHANGES: readonly Change[] = []
const NO_NOTICES: readonly Notice[] = []

export class Results {
  #changes: Change[] = []
  #notices: Notice[] = []

  change(change: Change): void {
    this.#changes.push(change)
  }

  notice(notice: Notice): void {
    this.#notices.push(notice)
  }

  takeChanges(): readonly Change[] {
    if (this.#changes.length === 0) return NO_CHANGES
    const changes = this.#changes
    this.#changes = []
    return changes
  }

  takeNotices(): readonly Notice[] {
    if (this.#notices.length === 0) return NO_NOTICES
    const notices = this.#notices
    this.#notices = []
    return notices
  }
}
