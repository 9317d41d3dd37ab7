import { EventEmitter } from 'node:events'
import type { Channel, ChannelModel } from 'amqplib'
import { describe, expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import type { Verdict } from '../../core/ports/intake.ts'
import { Consumer } from './consumer.ts'

const OWNED: Verdict = { kind: 'owned' }

/** A consumer, and sessions in which deliveries come. */
function setup() {
  const taken: Array<{ readonly text: string; readonly settle: (verdict: Verdict) => void }> = []
  const buried: string[] = []
  const consumer = new Consumer(
    ({ payload }) => new Promise((settle) => void taken.push({ text: Buffer.from(payload).toString(), settle })),
    {
      clock: manualClock(),
      pool: 'p',
      queue: 'q',
      window: 10,
      onBurial: () => {},
      bury: async (_message, { payload }) => void buried.push(Buffer.from(payload).toString()),
    },
  )
  async function session() {
    const acked: string[] = []
    let deliver: (message: object) => void = () => {}
    const channel = Object.assign(new EventEmitter(), {
      prefetch: async () => {},
      consume: async (_queue: string, on: typeof deliver) => {
        deliver = on
      },
      ack: ({ content }: { readonly content: Buffer }) => void acked.push(content.toString()),
    })
    const connection = Object.assign(new EventEmitter(), { createChannel: async () => channel as unknown as Channel })
    await consumer.open(
      connection as unknown as ChannelModel,
      () => {},
      async () => {},
    )
    return {
      acked,
      come: (text: string, redelivered: boolean, messageId?: string) =>
        deliver({ content: Buffer.from(text), fields: { redelivered }, properties: { messageId } }),
      end: () => channel.emit('close'),
    }
  }
  return { session, taken, buried }
}

const turn = (): Promise<void> => new Promise((go) => setImmediate(go))

describe('deliveries that come again', () => {
  it('while the first one is under way get its verdict, and are acknowledged where they came last', async () => {
    const { session, taken, buried } = setup()
    const first = await session()
    first.come('a', false, 'm1')
    first.come('b', false)
    first.end()
    const second = await session()
    second.come('a', true, 'm1')
    second.end()
    const third = await session()
    third.come('a', true, 'm1')
    third.come('b', true)
    expect(taken.map(({ text }) => text)).toEqual(['a', 'b'])
    taken[0].settle(OWNED)
    taken[1].settle({ kind: 'dead', code: 'invalid_request', reason: 'no' })
    await turn()
    expect([first.acked, second.acked, third.acked]).toEqual([[], [], ['a', 'b']])
    expect(buried).toEqual(['b'])
    // Nothing of them is left
    third.come('a', true, 'm1')
    expect(taken.length).toBe(3)
  })

  it('are told from others: each first one is of one alone, with the same text and id', async () => {
    const { session, taken } = setup()
    const first = await session()
    first.come('a', false)
    first.come('a', false)
    first.end()
    const second = await session()
    for (const again of [true, true, true]) second.come('a', again)
    second.come('a', true, 'named')
    second.come('b', true)
    second.come('a', false)
    expect(taken.map(({ text }) => text)).toEqual(['a', 'a', 'a', 'a', 'b', 'a'])
  })
})
