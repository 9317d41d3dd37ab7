/** A data folder is one process's: there are no others. */
import type { Peers } from '../../core/ports/peers.ts'

export const alone = (self: string): Peers => ({
  self,
  join() {},
  async ask() {
    return []
  },
})
