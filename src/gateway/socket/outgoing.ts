/** What is in flight to a peer: the frames of one turn in one write, and no more than the peer reads. */
import type { Socket } from 'node:net'
import type { FrameSink, SocketReader } from '../../core/ports/delivery.ts'
import type { Bytes } from '../../core/record.ts'

export class Outgoing implements FrameSink {
  readonly #socket: Socket
  readonly #maxBytes: number
  readonly #flushSoon: (out: Outgoing) => void
  readonly #onRoom: () => void
  #out: Bytes = ''
  #closed = false
  /** Bytes being read for its readers. */
  #claimed = 0
  /** Readers that wait for room, the longest waiting first. */
  #parked: Set<SocketReader> | null = null

  /** `onRoom`: something was written, and there may be room again. */
  constructor(socket: Socket, maxBytes: number, flushSoon: (out: Outgoing) => void, onRoom: () => void) {
    this.#socket = socket
    this.#maxBytes = maxBytes
    this.#flushSoon = flushSoon
    this.#onRoom = onRoom
  }

  /** Bytes that its peer has not taken. */
  get unread(): number {
    return this.#socket.writableLength + this.#out.length
  }

  get #room(): number {
    return this.#maxBytes - this.unread - this.#claimed
  }

  get full(): boolean {
    return this.#room <= 0
  }

  /** Whole frames; everything written in one turn leaves in one write. */
  write(frames: Bytes): void {
    if (this.#closed) return
    if (this.#out === '') this.#flushSoon(this)
    this.#out += frames
  }

  flush(): void {
    if (this.#out === '') return
    const out = this.#out
    this.#out = ''
    this.#socket.write(out, 'latin1', this.#onWritten)
  }

  /** Nothing more is written. */
  close(): void {
    this.#closed = true
    this.#out = ''
  }

  claim(most: number, reader: SocketReader): number {
    const claimed = Math.min(most, this.#room)
    if (claimed > 0) {
      this.#claimed += claimed
      return claimed
    }
    this.#parked ??= new Set()
    this.#parked.add(reader)
    return 0
  }

  release(claimed: number): void {
    this.#claimed -= claimed
  }

  /** It no longer waits. */
  forget(reader: SocketReader): void {
    this.#parked?.delete(reader)
  }

  /** Not the socket's "drain": that comes only after its own high-water mark was passed, which is not ours. */
  readonly #onWritten = (): void => {
    this.#onRoom()
    if (this.#parked === null) return
    for (const reader of this.#parked) {
      if (this.full) return
      this.#parked.delete(reader)
      reader.resume()
    }
  }
}
