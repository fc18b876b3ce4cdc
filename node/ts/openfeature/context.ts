import type { EvaluationContext } from '@openfeature/core';
import type { Attributes } from '../context';

/** The context's attributes; its targeting key is the unit, unless the context has an attribute of that name. */
export function attributesOf(context: EvaluationContext | undefined, unit: string): Attributes {
  const attributes: Record<string, unknown> = {};
  if (context === undefined || context === null) return attributes as Attributes;
  for (const name of Object.keys(context)) {
    if (name === 'targetingKey') continue;
    const value = context[name];
    attributes[name] = typeof value === 'object' && value !== null ? usable(value) : value;
  }
  if (context.targetingKey && !hasUnit(attributes as Attributes, unit)) attributes[unit] = context.targetingKey;
  // What is no attribute's type is unusable to rules, and counted by the engine.
  return attributes as Attributes;
}

export function hasUnit(attributes: Attributes, unit: string): boolean {
  const value = Object.hasOwn(attributes, unit) ? attributes[unit] : undefined;
  return value !== undefined && value !== null && value !== '';
}

/** Dates as the operators read them: RFC 3339. What they can't use stays as it is. */
function usable(value: object): unknown {
  if (value instanceof Date) return instant(value);
  if (Array.isArray(value)) return value.map((element) => (element instanceof Date ? instant(element) : element));
  return value;
}

function instant(date: Date): unknown {
  // An invalid date has no text, and is unusable.
  return Number.isNaN(date.getTime()) ? date : date.toISOString();
}
