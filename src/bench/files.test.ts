import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { run as sluice } from '../cli/run.ts'
import { RunFolderError, readRunFolder } from './files.ts'
import { importResult } from './imports/imports.ts'
import { lineOf } from './record.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-folder-'))
afterAll(() => rmSync(dir, { recursive: true }))

const times = (from: number): number[] => Array.from({ length: 20 }, (_, i) => from + i)
const { run, records } = importResult(
  'vllm',
  JSON.stringify({
    ...{ model_id: 'm', request_rate: 5, burstiness: 1, max_concurrency: null, errors: [] },
    ...{ input_lens: times(5), output_lens: times(2), ttfts: times(1), itls: times(0).map(() => [0.01]) },
    start_times: times(0),
  }),
  { id: 'bench_1', label: 'one', sluice: '0', wallMs: 1_750_000_000_000 },
)
function write(kept: object, lines = records.map(lineOf)): string {
  writeFileSync(join(dir, 'run.json'), JSON.stringify(kept))
  writeFileSync(join(dir, 'records.jsonl'), lines.join('\n'))
  return dir
}

describe('the folder of a run', () => {
  it('is read as it was written', () => {
    expect(readRunFolder(write(run))).toEqual({ run: JSON.parse(JSON.stringify(run)), records })
  })

  it.each<[string, object]>([
    ['options', { options: null }],
    ['options', { options: { ...run.options, load: { kind: 'open' } } }],
    ['options', { options: { ...run.options, slo: 'ttft' } }],
    ['validity', { validity: null }],
    ['validity', { validity: { isValid: true, checks: [7] } }],
    ['rounds', { rounds: [{}] }],
    ['rounds', { rounds: 7 }],
    ['fingerprint', { fingerprint: 'x' }],
    ['phases', { phases: {} }],
    ['startedAtMs', { startedAtMs: 1e300 }],
    ['label', { label: 5 }],
  ])('of another shape is refused by the member that is wrong: %s, %j', (name, wrong) => {
    const path = write({ ...run, ...wrong })
    expect(() => readRunFolder(path)).toThrow(RunFolderError)
    expect(() => readRunFolder(path)).toThrow(`"${name}"`)
  })

  it.each<[string, object]>([
    ['"firstToken" is no time', { firstToken: -5_000 }],
    ['"firstToken" is no time', { firstToken: 1e308 }],
    ['"end" is before "lastToken"', { end: records[3].lastToken! - 5 }],
    ['"lastToken" is before "firstToken"', { lastToken: records[3].firstToken! - 5 }],
    ['"completion" is no count', { tokens: { ...records[3].tokens, completion: -7 } }],
    ['another record of the same request', { index: 0 }],
  ])('with a record that can not be is refused: %s', (message, wrong) => {
    const path = write(
      run,
      records.map((record, i) => lineOf(i === 3 ? { ...record, ...wrong } : record)),
    )
    expect(() => readRunFolder(path)).toThrow(RunFolderError)
    expect(() => readRunFolder(path)).toThrow(`line 4`)
    expect(() => readRunFolder(path)).toThrow(message)
  })

  it('whose records are of other rounds than its own is refused', () => {
    const moved = records.map((record, i) => lineOf(i < 5 ? { ...record, round: 1, index: i } : record))
    expect(() => readRunFolder(write(run, moved))).toThrow('has 15 of 20 requests of round 1')
  })

  it('without the records of its rounds is refused', () => {
    expect(() => readRunFolder(write(run, []))).toThrow('has 0 of 20 requests')
  })
})

it('what a dashboard did not keep is no success: exit code 5, from a data folder of its own', async () => {
  let text = ''
  const note = (line: string): void => {
    text += line
  }
  const path = write(run)
  writeFileSync(join(dir, 'admin.key'), 'stored-by-the-tests-42\n')
  const argv = ['bench', 'report', path, '--post', 'http://127.0.0.1:9', '--data-dir', dir]
  expect(await sluice(argv, { print: () => {}, note, write: note })).toBe(5)
  expect(text).toContain('--post http://127.0.0.1:9: no answer')
})

it('one round says nothing about noise: bench aa can not tell', async () => {
  let text = ''
  const note = (line: string): void => {
    text += line
  }
  const code = await sluice(['bench', 'aa', write(run)], { print: note, note, write: note })
  expect(text).toContain('it takes two rounds')
  expect(code).toBe(3)
})
