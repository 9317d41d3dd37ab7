/** Schemas are of JSON Schema 2020-12, as OpenAPI 3.1 has them. */
export type Schema = Readonly<Record<string, unknown>>

export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
export const orNull = (schema: Schema): Schema => ({ oneOf: [schema, { type: 'null' }] })
export const list = (items: Schema): Schema => ({ type: 'array', items })
export const oneOf = (...values: readonly string[]): Schema => ({ type: 'string', enum: values })

export const text: Schema = { type: 'string' }
export const flag: Schema = { type: 'boolean' }
export const count: Schema = { type: 'integer', minimum: 0 }
export const ms: Schema = { type: 'number', minimum: 0, description: 'Milliseconds.' }
export const seconds: Schema = { type: 'integer', description: 'Unix time, seconds.' }
export const anything: Schema = { type: 'object', additionalProperties: true }
export const nullable = (type: string): Schema => ({ type: [type, 'null'] })

/** An object whose members are all there, but for those with a "?" after their names. Others may come. */
export function object(members: Readonly<Record<string, Schema>>, description?: string): Schema {
  const names = Object.keys(members)
  const properties = Object.fromEntries(names.map((name) => [name.replace(/\?$/, ''), members[name]]))
  const required = names.filter((name) => !name.endsWith('?'))
  return {
    type: 'object',
    ...(description !== undefined && { description }),
    ...(required.length > 0 && { required }),
    properties,
  }
}
export const described = (schema: Schema, description: string): Schema => ({ ...schema, description })
