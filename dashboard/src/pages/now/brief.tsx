/** One sentence of state, one of cause, one of harm, at most two buttons. */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Brief as BriefOf, Words } from '../../../../src/core/live.ts'
import { Button } from '../../parts/button.tsx'
import { Mark, type Shape } from '../../parts/mark.tsx'
import { hrefOf } from '../../router.ts'

const SHAPES: Readonly<Record<BriefOf['kind'], Shape>> = {
  well: 'well',
  idle: 'well',
  new: 'well',
  missed: 'warn',
  late: 'warn',
  slow: 'warn',
  refusing: 'warn',
  silent: 'bad',
  failing: 'bad',
  stuck: 'bad',
}

export const Sentence = ({ words }: { readonly words: readonly Words[] }) => (
  <>
    {words.map(({ text, strong, to }, at) => {
      const inside = strong ? <strong>{text}</strong> : text
      return to === undefined ? (
        <span key={`${at} ${text}`}>{inside}</span>
      ) : (
        <a key={`${at} ${text}`} href={hrefOf(to)}>
          {inside}
        </a>
      )
    })}
  </>
)

const plain = (words: readonly Words[]): string => words.map(({ text }) => text).join('')

/** Read aloud at most so often. */
const ALOUD_MS = 30_000
const MOST_BUTTONS = 2

export function Brief({ briefs }: { readonly briefs: readonly BriefOf[] }) {
  const [isAll, setAll] = useState(false)
  const [worst, ...others] = briefs
  if (worst === undefined) return null
  return (
    <>
      <section class="briefs" aria-label="How things are">
        <One brief={worst} others={isAll ? 0 : others.length} onAll={() => setAll(true)} />
        {isAll && others.map((brief) => <One key={brief.kind} brief={brief} others={0} onAll={() => {}} />)}
      </section>
      <Aloud text={`${plain(worst.state)} ${plain(worst.cause)} ${plain(worst.harm)}`} kind={worst.kind} />
    </>
  )
}

interface OneProps {
  readonly brief: BriefOf
  readonly others: number
  readonly onAll: () => void
}

function One({ brief, others, onAll }: OneProps) {
  const { kind, state, cause, harm, actions } = brief
  const shape = SHAPES[kind]
  return (
    <div class={`brief brief-${shape}`}>
      <Mark shape={shape} label={shape === 'well' ? 'well' : shape === 'bad' ? 'broken' : 'needs care'} size={13} />
      <div class="brief-words">
        <p class="brief-state">
          <Sentence words={state} />
          {others > 0 && (
            <button type="button" class="brief-more" onClick={onAll}>
              +{others} more
            </button>
          )}
        </p>
        {cause.length > 0 && (
          <p>
            <Sentence words={cause} />
          </p>
        )}
        {harm.length > 0 && (
          <p>
            <Sentence words={harm} />
          </p>
        )}
      </div>
      {actions.length > 0 && (
        <div class="brief-actions">
          {actions.slice(0, MOST_BUTTONS).map(({ text, to }, at) => (
            <Button key={text} kind={at === 0 ? 'primary' : 'plain'} {...(to !== undefined && { to: hrefOf(to) })}>
              <Counted text={text} />
            </Button>
          ))}
        </div>
      )}
    </div>
  )
}

/** "Late jobs 112": the count is quieter. */
function Counted({ text }: { readonly text: string }) {
  const [, words, number] = /^(.*\D) ([\d,.]+k?)$/.exec(text) ?? [null, text, null]
  return number === null ? (
    <>{text}</>
  ) : (
    <>
      {words} <b>{number}</b>
    </>
  )
}

/** Told to screen readers when it has become another, at most once in a while: it is not a ticker. */
function Aloud({ text, kind }: { readonly text: string; readonly kind: string }) {
  const [told, setTold] = useState('')
  const last = useRef({ kind: '', atMs: Number.NEGATIVE_INFINITY })
  useEffect(() => {
    const nowMs = performance.now()
    if (nowMs - last.current.atMs < ALOUD_MS || (last.current.kind === kind && kind === 'well')) return
    last.current = { kind, atMs: nowMs }
    setTold(text)
  }, [text, kind])
  return (
    <p class="for-readers" aria-live="polite">
      {told}
    </p>
  )
}
