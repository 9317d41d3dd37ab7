import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { csvLine } from './csv.ts'

/** By RFC 4180, strictly: a quote only in quotes, doubled. */
function parse(text: string): string[][] {
  const rows: string[][] = []
  let row: string[] = []
  for (let at = 0; at < text.length; ) {
    let cell = ''
    if (text[at] === '"') {
      for (at++; text[at] !== '"' || text[at + 1] === '"'; at++) {
        if (at >= text.length) throw new Error('an open quote')
        if (text[at] === '"') at++
        cell += text[at]
      }
      at++
    } else for (; at < text.length && !/[,"\r\n]/.test(text[at]); at++) cell += text[at]
    row.push(cell)
    if (text[at] === ',') at++
    else if (text.startsWith('\r\n', at)) {
      at += 2
      rows.push(row)
      row = []
    } else throw new Error(`not CSV at ${at}: ${JSON.stringify(text)}`)
  }
  return rows
}

describe('a line of CSV', () => {
  it.each<[string, Parameters<typeof csvLine>[0], string]>([
    ['plain cells', ['a', 1, -2, true, 'b c'], 'a,1,-2,true,b c\r\n'],
    ['nothing, and an empty text', [null, ''], ',""\r\n'],
    ['quotes, commas, line ends', ['a"b', 'a,b', 'a\nb', 'a\r\nb'], '"a""b","a,b","a\nb","a\r\nb"\r\n'],
    ['formulas', ['=1+1', '+1', '-1', '@SUM(A1)'], `"'=1+1","'+1","'-1","'@SUM(A1)"\r\n`],
    [
      'what hides one',
      ['\t=1', '\r=1', '\n=1', '＝1', '＋1', '－1', '＠1'],
      `"'\t=1","'\r=1","'\n=1","'＝1","'＋1","'－1","'＠1"\r\n`,
    ],
    ['a text that looks like an escaped one', [`'=1`], `"''=1"\r\n`],
    ['spaces at an end', [' =1', 'a '], '" =1","a "\r\n'],
  ])('%s', (_name, cells, line) => {
    expect(csvLine(cells)).toBe(line)
  })

  it('is read back as it was, whatever the texts', () => {
    const text = fc.string({
      unit: fc.oneof(fc.constantFrom(...'=+-@\t\r\n",\' ＝a'), fc.string({ minLength: 1, maxLength: 1 })),
    })
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 5 }), (cells) => {
        const [read, ...more] = parse(csvLine(cells))
        expect(more).toEqual([])
        expect(read.map((cell) => cell.replace(/^'/, ''))).toEqual(
          cells.map((cell) => (/^['=+\-@\t\r\n＝＋－＠]/.test(cell) ? cell : cell.replace(/^'/, ''))),
        )
        for (const cell of read) expect(cell).not.toMatch(/^[=+\-@\t\r\n＝＋－＠]/)
      }),
      { numRuns: 500 },
    )
  })
})
