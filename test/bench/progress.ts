/** Progress and remaining time: estimated from the plan at first, then from the steps that are done. */
export class Progress {
  readonly #note: (text: string) => void
  readonly #steps: number
  readonly #plannedS: number
  readonly #startedAt = performance.now()
  #done = 0

  constructor(note: (text: string) => void, steps: number, stepS: number) {
    this.#note = note
    this.#steps = steps
    this.#plannedS = steps * stepS
    note(`${steps} steps, about ${clock(this.#plannedS)}`)
  }

  /** A step is done. */
  tell(text: string): void {
    const tookS = (performance.now() - this.#startedAt) / 1000
    const leftS = (tookS / ++this.#done) * (this.#steps - this.#done)
    this.#note(`${text}${leftS > 0 ? ` · ${clock(leftS)} left` : ''}`)
  }
}

const clock = (seconds: number): string =>
  `${Math.floor(Math.round(seconds) / 60)}:${String(Math.round(seconds) % 60).padStart(2, '0')}`
