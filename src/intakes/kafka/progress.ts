/**
 * How far each partition may be committed: up to the first message without a verdict, whatever the order of the
 * verdicts. Of one membership of a group.
 */
export interface Place {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly leaderEpoch: number
}

interface Partition {
  /** In the order of their offsets; from `from` on. */
  places: Array<{ readonly place: Place; isDone: boolean }>
  from: number
  /** The next one that is new. */
  next: bigint
  /** To be committed; null: nothing new. */
  due: Place | null
}

/** Of an array's head that was passed, before it is cut off. */
const PASSED = 256

export class Progress {
  readonly #partitions = new Map<string, Partition>()

  /** Null: it is under way already, or done. Else it is from now on; what is returned is called once it is done. */
  begin(place: Place): (() => void) | null {
    const name = `${place.topic}/${place.partition}`
    let partition = this.#partitions.get(name)
    if (partition === undefined) {
      partition = { places: [], from: 0, next: 0n, due: null }
      this.#partitions.set(name, partition)
    }
    if (place.offset < partition.next) return null
    partition.next = place.offset + 1n
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
