/** The answer, as text: never as HTML. It grows while the job runs, and is followed only while its end is in view. */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { AnswerText, JobTrace } from '../../../../src/core/live.ts'
import { ApiError, get } from '../../api.ts'
import { counted } from '../../format.ts'
import { Trouble } from '../../load.tsx'
import { Button, CopyButton } from '../../parts/button.tsx'
import { Panel } from '../../parts/panel.tsx'
import { forbids } from '../../session.ts'
import { hello } from '../../socket.ts'
import { hasEnded } from '../jobs/rows.ts'
import { extended, type Piece, piecesOf } from './seams.ts'

export function Answer({ trace }: { readonly trace: JobTrace }) {
  const { row, counts } = trace
  const policy = hello.value?.text ?? 'never'
  const [isAsked, setAsked] = useState(false)
  const why = forbids('operator')
  const isOn = why === null && (policy === 'shown' || (policy === 'asked' && isAsked))
  const { text, error } = useAnswer(row.job, isOn, hasEnded(row), counts.stored)
  const [follows, setFollows] = useState(false)
  const end = useRef<HTMLSpanElement>(null)
  const inView = useInView(end)
  useLayoutEffect(() => {
    if (!hasEnded(row) && (follows || inView.current)) end.current?.scrollIntoView({ block: 'nearest' })
  }, [text])
  const pieces = text === null ? [] : piecesOf(text, trace)
  return (
    <Panel
      title="Answer"
      sub={counted(counts.stored, 'token')}
      class="job-answer"
      right={
        text !== null && (
          <>
            {!hasEnded(row) && (
              <Button isSmall isPressed={follows} onClick={() => setFollows(!follows)}>
                Follow
              </Button>
            )}
            <CopyButton text={pieces.map((piece) => piece.text).join('')} />
          </>
        )
      }
    >
      {error !== null && <Trouble error={error} />}
      {!isOn && <Hidden isNever={policy === 'never'} show={() => setAsked(true)} />}
      {isOn && text !== null && pieces.every((piece) => piece.text === '') && (
        <p class="muted">{hasEnded(row) ? 'It has no text.' : 'No text yet.'}</p>
      )}
      <p class="answer">
        {pieces.map((piece, at) => (
          // Pieces only ever come at the end: their order is their identity
          <PieceText key={at} piece={piece} />
        ))}
        <span ref={end} />
      </p>
      {text?.isCut && <p class="muted small">The rest is too long to be shown here.</p>}
    </Panel>
  )
}

const Hidden = ({ isNever, show }: { readonly isNever: boolean; readonly show: () => void }) => (
  <div class="answer-hidden">
    <p class="muted">
      {isNever
        ? 'Texts are not shown here: `dashboard.text` is `never`.'
        : 'Text stays hidden until asked for. Each look is written to Changes.'}
    </p>
    {!isNever && (
      <Button isSmall off={forbids('operator')} onClick={show}>
        Show text
      </Button>
    )}
  </div>
)

const PieceText = ({ piece }: { readonly piece: Piece }) => (
  <>
    {piece.seams.map(({ kind, text }) => (
      <span key={`${kind} ${text}`} class={`seam seam-${kind}`}>
        {kind === 'lost' && <i aria-hidden="true">■ </i>}
        {text}
      </span>
    ))}
    {piece.isOneWrite ? (
      <u class="one-write" title="These tokens came in one write, when the reader was back">
        {piece.text}
      </u>
    ) : (
      piece.text
    )}
  </>
)

const PATIENCE_MS = 500

/** Asked for again as it grows: only what is new, at most twice a second. */
function useAnswer(job: string, isOn: boolean, isOver: boolean, stored: number) {
  const [text, setText] = useState<AnswerText | null>(null)
  const [error, setError] = useState<ApiError | null>(null)
  const known = useRef<AnswerText | null>(null)
  const isBusy = useRef(false)
  useEffect(() => {
    if (!isOn || known.current?.ended || known.current?.isCut) return
    const stop = new AbortController()
    const look = async (): Promise<void> => {
      if (isBusy.current || stop.signal.aborted) return
      isBusy.current = true
      try {
        const after = known.current === null ? '' : `&after=${known.current.seq}`
        const told = await get<AnswerText>(`/admin/jobs/${encodeURIComponent(job)}/text?part=answer${after}`)
        known.current = known.current === null ? told : extended(known.current, told)
        setText(known.current)
        setError(null)
      } catch (thrown) {
        if (thrown instanceof ApiError) setError(thrown)
      } finally {
        isBusy.current = false
      }
    }
    void look()
    const timer = setTimeout(() => void look(), PATIENCE_MS)
    return () => {
      clearTimeout(timer)
      stop.abort()
    }
  }, [job, isOn, isOver, stored])
  return { text, error }
}

function useInView(ref: { readonly current: HTMLElement | null }) {
  const inView = useRef(false)
  useEffect(() => {
    if (ref.current === null) return
    const observer = new IntersectionObserver(([entry]) => {
      inView.current = entry.isIntersecting
    })
    observer.observe(ref.current)
    return () => observer.disconnect()
  }, [])
  return inView
}
