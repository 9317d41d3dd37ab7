/** JSON with the members of its objects in one order. */

const [QUOTE, BACKSLASH, COMMA, COLON] = ['"', '\\', ',', ':']

/**
 * `json`: valid, without white space, of bounded depth. Members are in the order of their names, those of the same
 * name as they were; of the outermost object those in `without` are left out. Costs its length times its depth.
 */
export function sortedMembers(json: string, without: ReadonlySet<string>): string {
  let at = 0

  function value(isOutermost: boolean): string {
    const first = json[at]
    if (first === '{') return object(isOutermost)
    if (first === '[') return array()
    const from = at
    if (first === QUOTE) skipText()
    else while (at < json.length && json[at] !== COMMA && json[at] !== '}' && json[at] !== ']') at++
    return json.slice(from, at)
  }

  function skipText(): void {
    for (let end = at + 1; ; end++) {
      end = json.indexOf(QUOTE, end)
      let slashes = 0
      while (json[end - 1 - slashes] === BACKSLASH) slashes++
      if (end >= 0 && slashes % 2 === 1) continue
      at = end < 0 ? json.length : end + 1
      return
    }
  }

  function object(isOutermost: boolean): string {
    const members: Array<readonly [name: string, value: string]> = []
    at++
    while (at < json.length && json[at] !== '}') {
      const from = at
      skipText()
      const name = json.slice(from, at)
      if (json[at] === COLON) at++
      const found = value(false)
      if (!isOutermost || !without.has(name.slice(1, -1))) members.push([name, found])
      if (json[at] === COMMA) at++
    }
    at++
    members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    return `{${members.map(([name, each]) => `${name}:${each}`).join()}}`
  }

  function array(): string {
    const items: string[] = []
    at++
    while (at < json.length && json[at] !== ']') {
      items.push(value(false))
      if (json[at] === COMMA) at++
    }
    at++
    return `[${items.join()}]`
  }

  return value(true)
}
