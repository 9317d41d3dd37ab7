/** Numbers that differ from job to job as if they were drawn: the machine has no randomness of its own. */

/** Of a text, 32 bits: FNV-1a, and the finish of MurmurHash3, without which its low bits follow the last letter. */
export function drawOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
