/** `sluice mock`: an upstream with scripted behaviour, for tests of applications and of Sluice itself. */
import { type Command, EXIT, wholeNumber } from './command.ts'
import { listenError } from './listen.ts'
import { onSignal } from './signals.ts'

export const command: Command = {
  usage: 'mock [--port N] [--slots N] [--serves N]',
  about:
    'An OpenAI-compatible upstream. The model name sets how it behaves: mock-n200-d20-f50 answers with 200 tokens, ' +
    '20 ms apart, the first after 50 ms.',
  options: {
    host: { value: 'HOST', help: 'address (default: 127.0.0.1)' },
    port: { value: 'N', help: 'port (default: 4110; 0 takes a free one)' },
    slots: { value: 'N', help: 'concurrent calls; further ones get HTTP 429 (default: no limit)' },
    serves: { value: 'N', help: 'calls worked on at once; the others wait in line (default: no limit)' },
  },
  tables: [
    {
      title: 'In the name of the model, as in mock-n200-d20-f50-k120:',
      rows: [
        ['-nN', 'answer with N tokens (default: 10)'],
        ['-dMS', 'time between tokens (default: 0)'],
        ['-fMS', 'time to the first token (default: 0)'],
        ['-qMS', 'time in the queue of the engine before that (default: 0)'],
        ['-pMS', 'time to read the prompt, after the queue (default: 0)'],
        ['-m1', "tell queue, prefill and pace in the last chunk, as vLLM's --enable-per-request-metrics"],
        ['-bN', 'tokens per write (default: 1)'],
        ['-eSTATUS', 'fail with this HTTP status'],
        ['-kN', 'drop the connection after N tokens'],
        ['-sN', 'fall silent after N tokens'],
        ['-gN', 'send broken JSON after N tokens'],
        ['-hN', 'send an error event after N tokens'],
        ['-x0', 'end without [DONE]'],
        ['-u0', 'report usage only when it is asked for'],
      ],
    },
  ],
  takesSettings: false,
  async run(args, out) {
    const { startMock } = await import('../mock/server.ts')
    const slots = args.option('slots')
    const serves = args.option('serves')
    const host = args.option('host') ?? '127.0.0.1'
    const mock = await startMock({
      host,
      port: wholeNumber(args.option('port') ?? '4110', 'port', 65_535),
      ...(slots === undefined ? {} : { slots: wholeNumber(slots, 'slots', 1_000_000) }),
      ...(serves === undefined ? {} : { serves: wholeNumber(serves, 'serves', 1_000_000) }),
    }).catch((error: unknown) => {
      throw listenError(error, host, '--port')
    })
    if (args.has('json')) out.print(JSON.stringify({ event: 'ready', url: mock.url }))
    else {
      out.print(`A mock of OpenAI's API is ready at ${mock.url}/v1. In sluice.yaml:\n`)
      out.print(`models:\n  - { name: "mock-*", provider: openai-compatible, base_url: "${mock.url}/v1" }\n`)
    }
    await new Promise<unknown>(onSignal)
    await mock.close()
    return EXIT.ok
  },
}
