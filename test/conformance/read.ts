/** How clients read streams of events and frames. */
import { type Bytes, toText } from '../../src/core/record.ts'

export interface Told {
  readonly n: number | null
  readonly text: string
}

/** WHATWG HTML, section 9.2.6. Throws where the last event is not whole. */
export function readSse(bytes: Bytes): readonly Told[] {
  const blocks = toText(bytes)
    .replace(/^: (hb|server-timing .*)\n/gm, '')
    .split('\n\n')
  if (blocks.pop() !== '') throw new Error('The last event is not whole.')
  return blocks.map((block) => ({
    n: idOf(/^id: \d+-(\d+)$/m.exec(block)?.[1]),
    text: block.replace(/^id: .*\n/, ''),
  }))
}
/** The same where what has no id belongs to the event after it: whoever was cut between them gets both again. */
export function readSseTogether(bytes: Bytes): readonly Told[] {
  const told: Told[] = []
  for (const { n, text } of readSse(bytes)) {
    const last = told.at(-1)
    if (last?.n === null) told.splice(-1, 1, { n, text: `${last.text}\n\n${text}` })
    else told.push({ n, text })
  }
  return told
}

const idOf = (text: string | undefined): number | null => (text === undefined ? null : Number(text))

/** RFC 6455, section 5.2: whole, unmasked texts. An `ev` is as many events as it has. */
export function readFrames(bytes: Bytes): readonly Told[] {
  const told: Told[] = []
  const buffer = Buffer.from(bytes, 'latin1')
  for (let at = 0; at < buffer.length; ) {
    if (buffer[at] !== 0x81) throw new Error('That is no text frame.')
    const short = buffer[at + 1]
    const [length, head] =
      short < 126
        ? [short, 2]
        : short === 126
          ? [buffer.readUInt16BE(at + 2), 4]
          : [Number(buffer.readBigUInt64BE(at + 2)), 10]
    const { t, seq, e, cursor, ...rest } = JSON.parse(buffer.toString('utf8', at + head, at + head + length)) as Frame
    if (t === 'ev') {
      for (const [i, event] of e!.entries()) told.push({ n: seq! + i, text: JSON.stringify(event) })
      if (Number(cursor!.split('-')[1]) !== seq! + e!.length - 1) throw new Error('The cursor is not after the last.')
    } else told.push({ n: seq ?? null, text: JSON.stringify({ t, ...rest }) })
    at += head + length
  }
  return told
}
interface Frame {
  readonly t: string
  readonly seq?: number
  readonly cursor?: string
  readonly e?: readonly object[]
}
