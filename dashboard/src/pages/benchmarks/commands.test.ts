import { expect, it } from 'vitest'
import { run as sluice } from '../../../../src/cli/run.ts'
import { commandsFor } from './commands.ts'

/** Port 9 answers nobody. */
const NOBODY = 'http://127.0.0.1:9'
const cli = async (command: string): Promise<{ code: number; text: string }> => {
  let text = ''
  const note = (line: string): void => {
    text += line
  }
  const code = await sluice(command.split(' ').slice(1), { print: note, note, write: note })
  return { code, text }
}

it('each command is one that the command line understands', async () => {
  const [key, before, after, compare] = commandsFor(NOBODY, NOBODY, 'demo')
  expect(key).toMatch(/^export SLUICE_BENCH_KEY=/)
  for (const command of [before, after]) {
    const { code, text } = await cli(command)
    expect(text).toContain(NOBODY)
    expect(code).toBe(3)
  }
  // Understood: whether those runs are there is another matter
  expect((await cli(compare)).text).not.toMatch(/Unexpected|There is no (option|command)|Missing/)
})
