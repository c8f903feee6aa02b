/** `target` with some members replaced; methods of the target keep it as their `this`. */
export function override<T extends object> (target: T, members: Partial<T>): T {
  return new Proxy(target, {
    get (object, key) {
      if (Object.hasOwn(members, key)) return members[key as keyof T]
      const value: unknown = Reflect.get(object, key, object)
      return typeof value === 'function' ? value.bind(object) : value
    }
  })
}
