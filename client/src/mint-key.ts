/** 128 random bits, in hexadecimal. Pages without TLS have no crypto.randomUUID. */
export const mintKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
