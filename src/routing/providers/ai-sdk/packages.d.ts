/** Optional packages: what is used of them is written out in model.ts, so that none must be there to check types. */
declare module '@ai-sdk/anthropic'
declare module '@ai-sdk/google'
declare module '@ai-sdk/cohere'
declare module '@ai-sdk/amazon-bedrock'
declare module '@ai-sdk/google-vertex'
