/**
 * How far each partition may be committed: up to the first message without a verdict, whatever the order of the
 * verdicts. Of one membership of a group.
 */
export interface Place {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly leaderEpoch: number
  /** Of its publisher, ms since 1970. */
  readonly timestamp: bigint
}

interface Partition {
  /** In the order of their offsets; from `from` on. */
  places: Array<{ readonly place: Place; isDone: boolean }>
  from: number
  /** The next one that is new. */
  next: bigint
  /** Of all that was handed on. */
  readonly newest: { leaderEpoch: number; timestamp: bigint }
  /** To be committed; null: nothing new. */
  due: Place | null
}

/** Of an array's head that was passed, before it is cut off. */
const PASSED = 256

/** Nothing from this place on is there any more; what was committed past it is taken back. */
function cut(partition: Partition, place: Place): void {
  let kept = partition.places.length
  while (kept > 0 && partition.places[kept - 1].place.offset >= place.offset) kept--
  partition.places.length = kept
  if (partition.from < kept) return
  partition.from = kept
  partition.due = { ...place, offset: place.offset - 1n }
}

export class Progress {
  readonly #partitions = new Map<string, Partition>()

  /**
   * Null: it is under way already, or done. Else it is from now on; what is returned is called once it is done. What
   * comes once more is as old as what has come; anything newer stands where a log was cut (an election of a replica
   * that lagged, a broker restored): it is another message, as is all that follows.
   */
  begin(place: Place): (() => void) | null {
    const name = `${place.topic}/${place.partition}`
    let partition = this.#partitions.get(name)
    if (partition === undefined) {
      partition = { places: [], from: 0, next: 0n, newest: { leaderEpoch: -1, timestamp: -1n }, due: null }
      this.#partitions.set(name, partition)
    }
    const { newest } = partition
    const isNewer = place.leaderEpoch > newest.leaderEpoch || place.timestamp > newest.timestamp
    if (place.offset < partition.next && !isNewer) return null
    if (place.offset < partition.next) cut(partition, place)
    partition.next = place.offset + 1n
    if (place.leaderEpoch > newest.leaderEpoch) newest.leaderEpoch = place.leaderEpoch
    if (place.timestamp > newest.timestamp) newest.timestamp = place.timestamp
    const entry = { place, isDone: false }
    partition.places.push(entry)
    return () => {
      entry.isDone = true
      this.#advance(partition)
    }
  }

  #advance(partition: Partition): void {
    const { places } = partition
    while (partition.from < places.length && places[partition.from].isDone) {
      partition.due = places[partition.from].place
      partition.from++
    }
    if (partition.from < PASSED) return
    partition.places = places.slice(partition.from)
    partition.from = 0
  }

  /** The last one of each partition that may be committed and was not yet taken. */
  due(): readonly Place[] {
    const due: Place[] = []
    for (const partition of this.#partitions.values()) {
      if (partition.due === null) continue
      due.push(partition.due)
      partition.due = null
    }
    return due
  }
}
