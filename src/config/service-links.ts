/**
 * Kubernetes puts the address of every service into the environment of each pod, and Docker's links do the same. A
 * service named "sluice" yields SLUICE_PORT=tcp://10.0.0.1:4100, which is an address and not the setting of that name.
 */

/** Has a variable been set for a service called "sluice", "sluice-admin" and the like? */
export const isServiceLink = (name: string, value: string): boolean =>
  (/^SLUICE_(\w+_)?PORT$/.test(name) && ADDRESS.test(value)) ||
  /^SLUICE_(\w+_)?SERVICE_(HOST|PORT(_\w+)?)$/.test(name) ||
  /^SLUICE_(\w+_)?PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name)

const ADDRESS = /^\s*["']?(tcp|udp|sctp):\/\//i
