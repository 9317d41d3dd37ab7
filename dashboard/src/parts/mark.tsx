/** Status is never colour alone: a shape, a colour and a word. */
export type Shape = 'well' | 'runs' | 'waits' | 'warn' | 'bad' | 'canceled' | 'config' | 'bench' | 'none'

const WORDS: Readonly<Record<Shape, string>> = {
  well: 'well',
  runs: 'runs',
  waits: 'waits',
  warn: 'needs care',
  bad: 'broken',
  canceled: 'canceled',
  config: 'config',
  bench: 'benchmark',
  none: '',
}

/** `label`: where no word beside it tells the same. */
export function Mark({ shape, label, size = 10 }: { shape: Shape; label?: string | true; size?: number }) {
  const text = label === true ? WORDS[shape] : label
  return (
    <svg
      class={`mark mark-${shape}`}
      width={size}
      height={size}
      viewBox="0 0 10 10"
      {...(text ? { role: 'img', 'aria-label': text } : { 'aria-hidden': 'true' })}
    >
      {drawn(shape)}
    </svg>
  )
}

function drawn(shape: Shape) {
  switch (shape) {
    case 'well':
      return <circle cx="5" cy="5" r="4" />
    case 'runs':
      return (
        <>
          <circle cx="5" cy="5" r="3.6" class="hollow" />
          <path d="M5 1.4a3.6 3.6 0 0 0 0 7.2Z" />
        </>
      )
    case 'waits':
      return <circle cx="5" cy="5" r="3.4" class="hollow" />
    case 'warn':
      return <path d="M5 .6 9.7 9.2H.3Z" />
    case 'bad':
      return <rect x=".9" y=".9" width="8.2" height="8.2" rx="1" />
    case 'canceled':
      return <rect x="1" y="4.2" width="8" height="1.6" rx=".8" />
    case 'config':
      return <path d="M5 .6 9.4 5 5 9.4.6 5Z" />
    case 'bench':
      return <rect x="3.1" y=".6" width="3.8" height="8.8" rx=".6" />
    default:
      return null
  }
}
