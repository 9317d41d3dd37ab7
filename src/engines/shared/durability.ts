/**
 * What acknowledged work survives. `memory`: nothing. `process`: a kill -9 of ours. `power`: a power loss too. What
 * that means where something else stores: docs/engines.md.
 */
export type Durability = 'memory' | 'process' | 'power'
