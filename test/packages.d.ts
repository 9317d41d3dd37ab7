/** As src/routing/providers/ai-sdk/packages.d.ts: types are checked without it. */
declare module '@ai-sdk/openai-compatible'
