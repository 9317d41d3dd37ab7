/**
 * What of a job's log was shown here, by the sequence numbers of its cursors: nothing is assumed. A record whose number
 * was passed over is lost, one that comes again came twice.
 */
export class Ledger {
  /** The log that the numbers are of: another epoch begins anew. */
  #epoch = ''
  #last = 0
  #lost = 0
  #twice = 0
  #cursor: string | null = null

  get cursor(): string | null {
    return this.#cursor
  }
  get lost(): number {
    return this.#lost
  }
  get twice(): number {
    return this.#twice
  }

  /** False: it was seen before. */
  see(cursor: string): boolean {
    const dash = cursor.lastIndexOf('-')
    const epoch = cursor.slice(0, dash)
    const seq = Number(cursor.slice(dash + 1))
    if (epoch !== this.#epoch) {
      this.#epoch = epoch
      this.#last = seq - 1
      // The first that is ever seen is the first of its log, or what came before it is lost
      if (this.#cursor === null) this.#lost += Math.max(0, seq - 1)
    }
    this.#cursor = cursor
    if (seq <= this.#last) {
      this.#twice++
      return false
    }
    this.#lost += seq - this.#last - 1
    this.#last = seq
    return true
  }

  /** All that was shown is withdrawn by the server, which says so: it comes again from the start. */
  restart(): void {
    this.#epoch = ''
    this.#last = 0
    this.#cursor = null
  }
}
