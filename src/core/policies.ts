/** How one of a model's deployments is chosen. */
export const POLICIES = ['least-wait', 'weighted', 'cheapest', 'fastest', 'round-robin'] as const
export type PolicyName = (typeof POLICIES)[number]
