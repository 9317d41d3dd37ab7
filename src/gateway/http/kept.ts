/** Bytes of a request on their way into a file. */
import { SluiceError } from '../../core/errors.ts'
import { type Files, MAX_FILE_CHUNK_BYTES, type StoredFile } from '../../core/ports/files.ts'

/** In chunks as large as they may be: each is synced. Throws `tooLarge` for more than `most` bytes. */
export async function keepBytes(
  files: Files,
  begun: StoredFile,
  source: AsyncIterable<Uint8Array>,
  most: number,
  tooLarge: () => SluiceError,
): Promise<StoredFile> {
  let file = begun
  const write = async (chunk: Uint8Array): Promise<void> => {
    if (file.bytes + chunk.length > most) throw tooLarge()
    const grown = await files.append(file.id, file.bytes, chunk)
    if (grown === null) throw new SluiceError('file_not_found')
    file = grown
  }
  const gathered = Buffer.allocUnsafe(MAX_FILE_CHUNK_BYTES)
  let length = 0
  for await (const bytes of source)
    for (let at = 0; at < bytes.length; ) {
      const taken = bytes.subarray(at, at + gathered.length - length)
      gathered.set(taken, length)
      length += taken.length
      at += taken.length
      if (length < gathered.length) continue
      await write(gathered)
      length = 0
    }
  if (length > 0) await write(gathered.subarray(0, length))
  return file
}
