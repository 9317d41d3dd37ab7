/** What guards read of a request. */
import { isText } from '../../core/fields.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'

/** Members whose text is an image, a sound, a file or its address: not read, and letters by chance. */
const MEDIA = new Set(['data', 'file_data', 'url'])

/** All text in a checked request, however deep: providers read more members of a message than are known here. */
export function textsOf(request: JsonRecord): readonly string[] {
  const texts: string[] = []
  const collect = (value: unknown, name: string): void => {
    if (isText(value)) {
      if (!MEDIA.has(name)) texts.push(value)
    } else if (Array.isArray(value)) for (const item of value) collect(item, name)
    else if (isRecord(value)) for (const key in value) collect(value[key], key)
  }
  collect(request, '')
  return texts
}
