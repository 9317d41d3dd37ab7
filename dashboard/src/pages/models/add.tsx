/** A deployment more, until it is removed: in force at once, on all nodes and after restarts. */
import { call } from '../../api.ts'
import { Form, type FormField } from '../../parts/form.tsx'
import { toast } from '../../parts/toast.tsx'
import { parsed } from '../tenants/limits.ts'
import { pathOf } from './deployment.tsx'

/** As an entry of `models` in sluice.yaml. */
const FIELDS: readonly FormField[] = [
  { name: 'name', title: 'Model, as clients name it' },
  { name: 'deployment', title: 'Name of the deployment' },
  { name: 'provider', title: 'Provider', value: 'openai-compatible' },
  { name: 'base_url', title: 'Address', placeholder: 'https://gpu-3.internal:8000/v1' },
  { name: 'model', title: 'Its name of the model', placeholder: 'as clients name it' },
  { name: 'api_key', title: 'Variable with its key', placeholder: 'none' },
  { name: 'limits.concurrent', title: 'Calls at once', placeholder: 'no limit' },
  { name: 'limits.requests_per_minute', title: 'Requests a minute', placeholder: 'no limit' },
  { name: 'limits.tokens_per_minute', title: 'Tokens a minute', placeholder: 'no limit' },
  { name: 'weight', title: 'Weight', placeholder: '1' },
]

export function entryOf(texts: Readonly<Record<string, string>>): Record<string, unknown> {
  const entry: Record<string, unknown> = {}
  const limits: Record<string, unknown> = {}
  for (const { name } of FIELDS) {
    const text = texts[name].trim()
    const [at, member] = name.split('.')
    if (text === '') continue
    // What is no number is sent as it is, for the server to refuse
    if (member !== undefined) limits[member] = parsed(text, false) ?? text
    else if (at === 'weight') entry[at] = parsed(text, false) ?? text
    else entry[at] = at === 'api_key' ? { env: text } : text
  }
  return Object.keys(limits).length === 0 ? entry : { ...entry, limits }
}

export function Add({ onClose, reload }: { readonly onClose: () => void; readonly reload: () => Promise<void> }) {
  return (
    <Form
      title="Add a deployment"
      fields={FIELDS}
      effect={() =>
        'It serves at once, on all nodes, and after restarts. A key is sent only where sluice.yaml sends it already.'
      }
      yes="Add the deployment"
      onClose={onClose}
      send={async (texts) => {
        const entry = entryOf(texts)
        await call('POST', '/admin/deployments', entry)
        await reload()
        onClose()
        const name = String(entry['deployment'])
        toast(`${name} is added.`, {
          undo: async () => {
            await call('DELETE', pathOf(name))
            await reload()
          },
        })
      }}
    />
  )
}
