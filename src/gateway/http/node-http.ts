/**
 * Node's HTTP server. An import by name would cost a start 20 ms: Node then reads every export of a built-in module,
 * and one of node:http's is a WebSocket client, which loads all of undici.
 */
export const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http')
