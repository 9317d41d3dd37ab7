/** For `sluice doctor`: what a fleet that runs goes by, as its coordinator announces it. */
import { type Clock, sleep } from '../../../core/clock.ts'
import { Connection, type RedisAddress } from '../client/connection.ts'
import { Names } from '../client/names.ts'
import { differing, type Marks, marksOf } from '../protocol/marks.ts'
import { readControl } from '../protocol/messages.ts'

/** It is announced once a second. */
const LISTEN_MS = 2_500
const LOOK_MS = 20

export interface FleetSettings {
  /** Machine and process of the coordinator, for people. */
  readonly coordinator: string
  /** Groups in which they are not `settings`. */
  readonly differ: readonly string[]
}

/** Null: nobody coordinates, or a version that announces no settings. Rejects with what Redis or its client throws. */
export async function settingsInForce(
  redis: RedisAddress,
  settings: object,
  clock: Clock,
): Promise<FleetSettings | null> {
  const connection = new Connection(redis)
  let heard: { readonly place: string; readonly marks: Marks } | null = null
  try {
    await connection.open()
    await connection.subscribe(new Names(redis.prefix).control(), (message) => {
      const control = readControl(message.toString())
      if (control?.type === 'coordinator' && control.marks !== undefined)
        heard = { place: control.place ?? '', marks: control.marks }
    })
    const giveUpMono = clock.monoMs() + LISTEN_MS
    while (heard === null && clock.monoMs() < giveUpMono) await sleep(clock, LOOK_MS)
    return told(heard, settings)
  } finally {
    connection.close()
  }
}

const told = (heard: { readonly place: string; readonly marks: Marks } | null, settings: object) =>
  heard && { coordinator: heard.place, differ: differing(marksOf(settings), heard.marks) }
