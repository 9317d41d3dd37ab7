import { useSluiceJob } from '@sluice/client/react'
import { useId, useState } from 'react'
import { type Upload, useUploads } from './use-uploads.ts'
import { noteOf } from './words.ts'

export function Uploads() {
  const { uploads, problem, add } = useUploads()
  const [instruction, setInstruction] = useState('Describe this file.')
  const [isOver, setOver] = useState(false)
  const [field, files] = [useId(), useId()]
  return (
    <section
      className="uploads"
      aria-label="Uploads"
      data-over={isOver}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        setOver(false)
        add(event.dataTransfer.files, instruction)
      }}
    >
      <h2>Uploads</h2>
      <label htmlFor={field}>What to do with each file</label>
      <input id={field} value={instruction} onChange={(event) => setInstruction(event.target.value)} />
      <label htmlFor={files}>Files, or drop them here</label>
      <input
        id={files}
        type="file"
        multiple
        onChange={(event) => {
          add([...(event.target.files ?? [])], instruction)
          event.target.value = ''
        }}
      />
      {problem !== '' && <p role="alert">{problem}</p>}
      <ol>
        {uploads.map((upload) => (
          <li key={upload.key}>
            <UploadView upload={upload} />
          </li>
        ))}
      </ol>
    </section>
  )
}

function UploadView({ upload: { name, job } }: { readonly upload: Upload }) {
  const view = useSluiceJob(job)
  const isUnderWay = view.state === 'sending' || view.state === 'waiting' || view.state === 'answering'
  const note = view.state === 'answering' ? 'Reading…' : view.state === 'done' ? 'Done' : noteOf(view)
  return (
    <article data-state={view.state}>
      <header>
        <strong>{name}</strong>
        <small>{note}</small>
        {isUnderWay && (
          <button type="button" aria-label={`Stop ${name}`} onClick={() => void job.cancel().catch(() => {})}>
            Stop
          </button>
        )}
      </header>
      {view.text !== '' && <p>{view.text}</p>}
    </article>
  )
}
