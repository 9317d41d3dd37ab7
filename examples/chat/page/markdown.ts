/**
 * The Markdown that models write, as DOM nodes: never as HTML, so that nothing in it can be more than text. Headings,
 * lists, quotes, code, emphasis, links to http(s) and mailto; all else stays as it was written. Linear in its input;
 * while an answer grows, only its last block is rebuilt.
 */
export interface Mark {
  /** Before this character of the source. */
  readonly at: number
  readonly node: Node
}

export interface Rendering {
  /** `marks` in order. */
  show(source: string, marks: readonly Mark[]): void
}

interface Block {
  readonly kind: 'p' | 'h' | 'code' | 'quote' | 'ul' | 'ol' | 'hr'
  /** In the source: from, to. */
  readonly from: number
  readonly to: number
  readonly level: number
}

const FENCE = '```'
const MAX_DEPTH = 4
const MAX_ADDRESS = 2_000
const SAFE_LINK = /^(?:https?:\/\/|mailto:)[^\s<>"]+$/i

export function createRendering(root: HTMLElement): Rendering {
  let shown: Array<{ readonly key: string; readonly node: HTMLElement }> = []
  return {
    show(source, marks) {
      const next = blocksOf(source).map((block, i, all) => {
        const until = all[i + 1]?.from ?? Number.POSITIVE_INFINITY
        const own = marks.filter(({ at }) => at < until && (at >= block.from || i === 0))
        const key = `${block.kind} ${own.map(({ at }) => at - block.from)} ${source.slice(block.from, block.to)}`
        const known = shown[i]
        if (known?.key === key && own.every(({ node }) => known.node.contains(node))) return known
        return { key, node: nodeOf(block, source, own) }
      })
      for (const [i, { node }] of next.entries()) {
        const there = root.children[i]
        if (there === undefined) root.append(node)
        else if (there !== node) there.replaceWith(node)
      }
      while (root.children.length > next.length) root.lastElementChild!.remove()
      shown = next
    },
  }
}

export function blocksOf(source: string): readonly Block[] {
  const blocks: Array<{ -readonly [K in keyof Block]: Block[K] }> = []
  /** Does the next line continue the last block? */
  let isOpen = false
  for (const [from, line] of linesOf(source)) {
    const to = from + line.length
    const last = isOpen ? blocks.at(-1) : undefined
    if (last?.kind === 'code') {
      last.to = to
      isOpen = !line.startsWith(FENCE)
      continue
    }
    if (line.trim() === '') {
      isOpen = false
      continue
    }
    const [kind, level] = kindOf(line)
    // A line without a marker of its own continues the one before it
    if (last !== undefined && kind !== 'code' && (kind === last.kind || kind === 'p')) last.to = to
    else blocks.push({ kind, from, to, level })
    isOpen = kind !== 'h' && kind !== 'hr'
  }
  return blocks.length > 0 ? blocks : [{ kind: 'p', from: 0, to: source.length, level: 0 }]
}

function kindOf(line: string): readonly [Block['kind'], number] {
  if (line.startsWith(FENCE)) return ['code', 0]
  const heading = /^#{1,6} /.exec(line)
  if (heading !== null) return ['h', heading[0].length - 1]
  if (/^ {0,3}(?:---+|\*\*\*+) *$/.test(line)) return ['hr', 0]
  if (/^ {0,3}> ?/.test(line)) return ['quote', 0]
  if (/^ {0,8}[-*+] /.test(line)) return ['ul', 0]
  if (/^ {0,8}\d{1,4}[.)] /.test(line)) return ['ol', 0]
  return ['p', 0]
}

/** `marks` are removed from their list as they are placed; those that are left go to the end. */
function nodeOf(block: Block, source: string, marks: readonly Mark[]): HTMLElement {
  const left = [...marks]
  const node = made(block, source.slice(block.from, block.to), left)
  const last = node.matches('ul, ol') ? (node.lastElementChild ?? node) : node
  for (const mark of left) last.append(mark.node)
  return node
}

function made({ kind, from, level }: Block, source: string, marks: Mark[]): HTMLElement {
  if (kind === 'ul' || kind === 'ol') return listOf(kind, source, from, marks)
  const node = element(kind === 'h' ? `h${Math.min(6, level + 2)}` : TAGS[kind])
  if (kind === 'code') {
    const lines = source.split('\n')
    const closed = lines.length > 1 && lines.at(-1)!.startsWith(FENCE)
    const code = lines.slice(1, closed ? -1 : undefined).join('\n')
    text(node.appendChild(element('code')), code, from + lines[0].length + 1, marks)
  } else if (kind === 'h') inline(node, source.slice(level + 1), from + level + 1, marks)
  else if (kind !== 'hr')
    for (const [at, line] of linesOf(source)) {
      const quote = kind === 'quote' ? (/^ {0,3}> ?/.exec(line)?.[0].length ?? 0) : 0
      if (at > 0) node.append(element('br'))
      inline(node, line.slice(quote), from + at + quote, marks)
    }
  return node
}

const TAGS = { p: 'p', code: 'pre', quote: 'blockquote', hr: 'hr' } as const

function listOf(kind: 'ul' | 'ol', source: string, from: number, marks: Mark[]): HTMLElement {
  const list = element(kind)
  let item: HTMLElement | null = null
  for (const [at, line] of linesOf(source)) {
    const [bullet = '', indent = '', number] = /^( {0,8})(?:[-*+]|(\d{1,4})[.)]) /.exec(line) ?? []
    if (bullet !== '' || item === null) {
      item = list.appendChild(element('li'))
      item.dataset['depth'] = String(Math.min(3, Math.floor(indent.length / 2)))
      if (number !== undefined) (item as HTMLLIElement).value = Number(number)
    } else item.append(' ')
    inline(item, line.slice(bullet.length), from + at + bullet.length, marks)
  }
  return list
}

function* linesOf(source: string): Generator<readonly [number, string]> {
  let at = 0
  for (const line of source.split('\n')) {
    yield [at, line]
    at += line.length + 1
  }
}

/** Emphasis, code and links in a line; `base`: its offset in the source. */
function inline(into: Node, line: string, base: number, marks: Mark[], depth = 0): void {
  /** The next place of each marker; searched again only once it is passed, so that a line costs its length. */
  const next = new Map<string, number>()
  const find = (what: string, from: number): number => {
    const known = next.get(what)
    if (known !== undefined && (known < 0 || known >= from)) return known
    const found = line.indexOf(what, from)
    next.set(what, found)
    return found
  }
  const wrap = (tag: string, from: number, to: number): HTMLElement => {
    const node = into.appendChild(element(tag))
    if (tag === 'code') text(node, line.slice(from, to), base + from, marks)
    else inline(node, line.slice(from, to), base + from, marks, depth + 1)
    return node
  }
  let plain = 0
  let at = 0
  const skipTo = (next: number): void => {
    plain = at = next
  }
  const flush = (): void => text(into, line.slice(plain, at), base + plain, marks)
  while (at < line.length && depth < MAX_DEPTH) {
    const c = line[at]
    if (c === '`') {
      const end = find('`', at + 1)
      if (end > at + 1) {
        flush()
        wrap('code', at + 1, end)
        skipTo(end + 1)
        continue
      }
    } else if (c === '*' || (c === '_' && !isWord(line[at - 1]))) {
      const mark = line.startsWith(c + c, at) ? c + c : c
      const begin = at + mark.length
      const end = find(mark, begin)
      const hugs = end > begin && !isSpace(line[begin]) && !isSpace(line[end - 1])
      if (hugs && (c === '*' || !isWord(line[end + mark.length]))) {
        flush()
        wrap(mark.length === 2 ? 'strong' : 'em', begin, end)
        skipTo(end + mark.length)
        continue
      }
      at = begin
      continue
    } else if (c === '[') {
      const inner = find('[', at + 1)
      const nearest = find('](', at + 1)
      const middle = inner >= 0 && inner < nearest ? -1 : nearest
      const end = middle < 0 ? -1 : find(')', middle + 2)
      const address = end < 0 || end - middle > MAX_ADDRESS ? '' : line.slice(middle + 2, end)
      if (SAFE_LINK.test(address)) {
        flush()
        const link = wrap('a', at + 1, middle) as HTMLAnchorElement
        link.href = address
        link.target = '_blank'
        link.rel = 'noopener noreferrer nofollow'
        skipTo(end + 1)
        continue
      }
    }
    at++
  }
  at = line.length
  flush()
}

/** Verbatim, with the marks in it. */
function text(into: Node, content: string, base: number, marks: Mark[]): void {
  let at = 0
  while (marks.length > 0 && marks[0].at < base + content.length) {
    const mark = marks.shift()!
    const to = Math.max(at, mark.at - base)
    if (to > at) into.appendChild(document.createTextNode(content.slice(at, to)))
    into.appendChild(mark.node)
    at = to
  }
  if (at < content.length) into.appendChild(document.createTextNode(content.slice(at)))
}

const element = (name: string): HTMLElement => document.createElement(name)
const isSpace = (c: string | undefined): boolean => c === undefined || /\s/.test(c)
const isWord = (c: string | undefined): boolean => c !== undefined && /[\p{L}\p{N}]/u.test(c)
