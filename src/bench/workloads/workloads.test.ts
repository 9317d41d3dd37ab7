import { describe, expect, it } from 'vitest'
import { GENERATED, generated } from './generated.ts'
import { promptLines } from './lines.ts'
import { production } from './production.ts'
import { trace } from './traces.ts'
import { charsOf, hashOf, withNonce } from './workload.ts'

describe.each(GENERATED)('the workload %s', (name) => {
  it('follows from its seed, and differs between rounds', () => {
    const hashes = (seed: number, round: number): string[] => generated(name, seed)!.prompts(round, 30).map(hashOf)
    expect(hashes(1, 0)).toEqual(hashes(1, 0))
    expect(hashes(1, 0)).not.toEqual(hashes(1, 1))
    expect(hashes(1, 0)).not.toEqual(hashes(2, 0))
    expect(new Set(hashes(1, 0)).size).toBe(30)
  })

  it('asks the same of a request whether few or many are asked for', () => {
    const few = generated(name, 5)!.prompts(2, 3)
    expect(generated(name, 5)!.prompts(2, 40).slice(0, 3)).toEqual(few)
  })

  it('shares its beginning within a round, also with a nonce', () => {
    const prompts = generated(name, 1)!.prompts(0, 20)
    const starts = prompts.map(({ messages }) => withNonce(messages, 'n_1')[0].content)
    expect(new Set(starts.map((start) => start.slice(0, 200))).size).toBe(1)
    expect(starts[0].startsWith('[n_1]\n')).toBe(true)
  })
})

it('makes the text of those prompts alone that are sent', () => {
  const rows = Array.from({ length: 60_000 }, (_, i) => `${i},ChatGPT,2000,300,2300,Conversation log`)
  const text = `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n${rows.join('\n')}`
  const before = process.memoryUsage().heapUsed
  const workload = trace('burstgpt', text, 1)
  // All 60,000 prompts of 10 kB are 600 MB
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 * 2 ** 20)
  expect([workload.size, workload.prompts(0, 2).length]).toEqual([60_000, 2])
})

it('prompts are as long as such applications make them', () => {
  const mean = (name: string): number => {
    const prompts = generated(name, 1)!.prompts(0, 200)
    return prompts.reduce((sum, { messages }) => sum + charsOf(messages), 0) / prompts.length / 4.6
  }
  const [chat, rag, agent] = ['chat', 'rag', 'agent'].map(mean)
  expect(chat).toBeGreaterThan(150)
  expect(chat).toBeLessThan(700)
  expect(rag).toBeGreaterThan(2_000)
  expect(agent).toBeGreaterThan(2_000)
})

describe('traces', () => {
  it('of Mooncake keep times, lengths, and which blocks are shared', () => {
    const text = [
      '{"timestamp": 3000, "input_length": 1100, "output_length": 52, "hash_ids": [1, 2, 4]}',
      '{"timestamp": 1000, "input_length": 1024, "output_length": 26, "hash_ids": [1, 2]}',
      '{"timestamp": 1000, "input_length": 600, "output_length": 500, "hash_ids": [9, 2]}',
    ].join('\n')
    const [first, other, last] = trace('mooncake', text, 1).prompts(0, 3)
    expect([first.atMs, other.atMs, last.atMs]).toEqual([0, 0, 2_000])
    expect([first.maxTokens, last.maxTokens]).toEqual([26, 52])
    const textOf = (prompt: typeof first): string => prompt.messages[0].content
    expect(textOf(last).startsWith(textOf(first))).toBe(true)
    expect(textOf(other).slice(0, 100)).not.toBe(textOf(first).slice(0, 100))
    // A word is a token, and so is each full stop
    const tokens = textOf(first).split(' ').length + textOf(first).split('.').length - 1
    expect(Math.abs(tokens - 1_024)).toBeLessThan(10)
  })

  it('of Azure and BurstGPT are read as they are published', () => {
    const azure = trace(
      'azure',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n' +
        '2023-11-16 18:17:04.0319600,110,27\n',
      1,
    ).prompts(0, 2)
    expect(azure[1].atMs).toBeCloseTo(52, 0)
    expect(azure.map(({ maxTokens }) => maxTokens)).toEqual([10, 27])
    const burst = trace(
      'burstgpt',
      'Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\r\n' +
        '5,ChatGPT,472,18,490,Conversation log\r\n' +
        '45,ChatGPT,1087,0,1087,Conversation log\r\n118.0,GPT-4,417.0,276.0,693.0,API log\r\n',
      1,
    )
    expect(burst.size).toBe(2)
    expect(burst.prompts(0, 2)[1].atMs).toBe(113_000)
  })

  it('that begin again go on in time', () => {
    const at = (timestamp: number): string => JSON.stringify({ timestamp, input_length: 5, output_length: 5 })
    const text = `${at(0)}\n${at(50)}`
    const times = trace('mooncake', text, 1)
      .prompts(0, 5)
      .map(({ atMs }) => atMs!)
    expect([...times].sort((a, b) => a - b)).toEqual(times)
  })

  it.each([
    ['mooncake', '{"timestamp": 1, "input_length": "x"}', 'line 1: input_length must be a whole number'],
    ['mooncake', 'nonsense', 'line 1 is not JSON'],
    ['azure', 'Time,ContextTokens\n1,2', 'TIMESTAMP, GeneratedTokens is missing'],
    ['azure', 'TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,2', 'line 2: TIMESTAMP is no date'],
    ['burstgpt', 'Timestamp,Request tokens,Response tokens\n1,2', 'line 2 has 2 cells, the first line has 3'],
  ] as const)('%s refuses what it can not read, and names the line: %s', (kind, text, message) => {
    expect(() => trace(kind, text, 1)).toThrow(message)
  })
})

it('a file of prompts may be of messages, prompts or whole requests', () => {
  const text =
    '{"prompt":"a"}\n{"messages":[{"role":"user","content":"b"}],"max_tokens":9}\n\n' +
    '{"custom_id":"1","body":{"messages":[{"role":"system","content":"c"},{"role":"user","content":"d"}]}}'
  const prompts = promptLines(text).prompts(0, 4)
  expect(prompts.map(({ messages }) => messages.at(-1)!.content)).toEqual(['a', 'b', 'd', 'a'])
  expect(prompts[1].maxTokens).toBe(9)
  expect(() => promptLines('{"messages":[{"role":"tool","content":"x"}]}')).toThrow('line 1: each message needs a role')
})

it('production traffic gives lengths and times, and never repeats what called nobody', () => {
  const record = { created_at: 1_764_172_800, prompt_tokens: 300, completion_tokens: 40, source: null }
  const workload = production([record, { ...record, source: 'job_1' }, { ...record, created_at: 1_764_172_860 }], 1)
  const [first, second] = workload.prompts(0, 2)
  expect(workload.size).toBe(2)
  expect(first.maxTokens).toBe(40)
  expect(Math.abs(second.atMs! - 60_000)).toBeLessThan(1_000)
  expect(() => production([{ prompt_tokens: 1 }], 1)).toThrow('no call with tokens')
})
