/** Binding patterns of topic exchanges: words between dots, of which "*" is any one, and "#" any number, also none. */

/**
 * Is there a routing key that both match? Costs at most the product of their numbers of words.
 *
 *     overlap('image.*', '#.png') // true: "image.png"
 *     overlap('image.*', 'image') // false
 */
export function overlap(a: string, b: string): boolean {
  const [first, second] = [a.split('.'), b.split('.')]
  // For the words of `first` from i on, and those of `second` from each k on
  let row: readonly boolean[] = []
  for (let i = first.length; i >= 0; i--) {
    const below = row
    const own: boolean[] = []
    for (let k = second.length; k >= 0; k--) own[k] = meet(first[i], second[k], below[k], own[k + 1], below[k + 1])
    row = own
  }
  return row[0]
}

/** Undefined: past the end. What follows: without `x`, without `y`, without both. */
function meet(
  x: string | undefined,
  y: string | undefined,
  withoutX: boolean | undefined,
  withoutY: boolean | undefined,
  withoutBoth: boolean | undefined,
): boolean {
  // A "#" ends here, or takes the other one's word
  if (x === '#' || y === '#') return (withoutX ?? false) || (withoutY ?? false)
  if (x === undefined || y === undefined) return x === y
  return (x === y || x === '*' || y === '*') && (withoutBoth ?? false)
}
