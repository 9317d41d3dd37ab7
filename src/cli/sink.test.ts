import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import { Sink } from './sink.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-sink-'))
afterAll(() => rmSync(dir, { recursive: true }))

it('a line is written at once, those that follow closely in one write, and none is held for longer than 20 ms', () => {
  const path = join(dir, 'log')
  const fd = openSync(path, 'w')
  const clock = manualClock()
  const sink = new Sink(fd, { clock, onLost: () => '' })
  const written = (): string => readFileSync(path, 'utf8')
  sink.write('a\n')
  sink.write('b\n')
  expect(written()).toBe('')
  clock.advance(0)
  expect(written()).toBe('a\nb\n')
  for (const line of ['c\n', 'd\n', 'e\n']) {
    clock.advance(6)
    sink.write(line)
  }
  clock.advance(1)
  expect(written()).toBe('a\nb\n')
  clock.advance(1)
  expect(written()).toBe('a\nb\nc\nd\ne\n')
  // What the process would leave behind
  sink.write('f\n')
  sink.flush()
  expect(written()).toBe('a\nb\nc\nd\ne\nf\n')
  clock.advance(1_000)
  sink.write('g\n')
  clock.advance(0)
  expect(written()).toMatch(/g\n$/)
  process.off('exit', sink.flush)
  closeSync(fd)
})
