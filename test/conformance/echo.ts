/** The smallest provider that keeps the contract: it says the last message again, a word at a time. */
import type { Clock } from '../../src/core/clock.ts'
import { SluiceError } from '../../src/core/errors.ts'
import type { Provider, ProviderEnd, ProviderSink } from '../../src/core/ports/provider.ts'
import { toBytes } from '../../src/core/record.ts'

const chunk = (delta: object, finish: string | null, more: object = {}): string =>
  toBytes(JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }], ...more }))

function wordsOf(body: Uint8Array): readonly string[] | null {
  try {
    const { messages } = JSON.parse(Buffer.from(body).toString()) as { messages: ReadonlyArray<{ content: string }> }
    return messages.at(-1)!.content.split(/(?<= )/)
  } catch {
    return null
  }
}

export function createEcho(clock: Clock): Provider {
  const running = new Set<(end: ProviderEnd) => void>()
  let isClosed = false
  const closed = (): ProviderEnd => ({ kind: 'failed', retry: true, error: new SluiceError('provider_error') })

  function start(words: readonly string[] | null, sink: ProviderSink) {
    let said = 0
    let isOver = false
    const end = (how: ProviderEnd): void => {
      if (isOver) return
      isOver = true
      stop()
      running.delete(end)
      sink.end(how)
    }
    const step = (): void => {
      if (isClosed) return end(closed())
      if (words === null) return end({ kind: 'failed', retry: false, error: new SluiceError('provider_rejected') })
      if (said < words.length) sink.events([chunk({ content: words[said++] }, null)])
      else {
        sink.events([chunk({}, 'stop', { usage: { prompt_tokens: said, completion_tokens: said } })])
        return end({ kind: 'done' })
      }
      if (!isOver && !isPaused) stop = clock.after(1, step)
    }
    let isPaused = false
    let stop = clock.after(1, step)
    running.add(end)
    return {
      sentMono: null,
      abort() {
        if (isOver) return
        isOver = true
        stop()
        running.delete(end)
        // Within the turn, but never from within the call
        queueMicrotask(() => sink.end({ kind: 'aborted' }))
      },
      pause() {
        isPaused = true
        stop()
      },
      resume() {
        if (isOver || !isPaused) return
        isPaused = false
        stop = clock.after(1, step)
      },
    }
  }

  return {
    continues: false,
    start: ({ body }, sink) => start(wordsOf(body), sink),
    check: async () => ({ ok: true, detail: 'built in' }),
    close() {
      isClosed = true
      for (const end of [...running]) end(closed())
    },
  }
}
