/**
 * A load of our own for where there is no compiler: 50 streams against the demo model. Client and server share the
 * machine, so take it for orientation.
 */
import { freePort, KEY, mockUpstream, sluice } from './targets.ts'
import { cpuNs } from './tools.ts'

const STREAMS = 50

export async function smallLoad(): Promise<void> {
  const port = await freePort()
  const mock = await mockUpstream(port)
  const running = await sluice.start(port, 'ordinary')
  try {
    const ttfts: number[] = []
    let tokens = 0
    const before = cpuNs(running.pid)
    const startedAt = performance.now()
    await Promise.all(
      Array.from({ length: STREAMS }, async () => {
        for (let i = 0; i < 3; i++) {
          const sentAt = performance.now()
          const response = await fetch(`${running.url}/v1/chat/completions`, {
            method: 'POST',
            headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
            body: JSON.stringify({
              model: 'mock-n100-d20-f50',
              stream: true,
              messages: [{ role: 'user', content: 'x' }],
            }),
          })
          let first = true
          for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
            if (first) ttfts.push(performance.now() - sentAt - 50)
            first = false
            tokens += part.split('"content":" tok').length - 1
          }
        }
      }),
    )
    const seconds = (performance.now() - startedAt) / 1000
    ttfts.sort((a, b) => a - b)
    process.stdout.write(
      `${STREAMS} streams × 50 tok/s: ${tokens} tokens, ${Math.round(tokens / seconds)} tok/s, ` +
        `${((cpuNs(running.pid) - before) / 1000 / tokens).toFixed(1)} µs CPU a token, added TTFT p50 ` +
        `${ttfts[ttfts.length >> 1].toFixed(1)} ms\n`,
    )
  } finally {
    await running.stop()
    await mock.stop()
  }
}
