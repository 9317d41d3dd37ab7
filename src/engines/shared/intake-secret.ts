/** What signs jobs that wait in a broker, made of a secret that is there for other purposes, too. */
import { createHmac } from 'node:crypto'

export const intakeSecretOf = (secret: Uint8Array | string): Uint8Array =>
  createHmac('sha256', secret).update('intake messages').digest()

/** As stores hold it. */
export const secretText = (secret: Uint8Array): string => Buffer.from(secret).toString('base64url')
export const secretBytes = (text: string): Uint8Array => Buffer.from(text, 'base64url')
