/** What stands where something was redacted. */
export const marker = (rule: string): string => `[redacted:${rule}]`
