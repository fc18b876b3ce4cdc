/** A bare manifest of `count` experiments with targeting, as JSON. */
export function manifest(version, count = 200, prefix = 'arm') {
  const whole = 4_294_967_296;
  const flags = {};
  for (let at = 0; at < count; at++) {
    flags[`flag-${at}`] = {
      type: 'string',
      off: 'a',
      default: 'a',
      variations: [
        { key: 'a', value: `${prefix}-a` },
        { key: 'b', value: `${prefix}-b` },
      ],
      rules: [
        {
          id: `rule-${at}`,
          kind: 'experiment',
          experiment: `experiment-${at}`,
          phase: 1,
          unit: 'user_id',
          when: at % 2 === 0 ? { all: [] } : { any: [{ op: 'str_in', attr: 'country', values: ['NZ', 'DE', 'US'] }, { op: 'num_gte', attr: 'age', value: 18 }] },
          traffic: { hash: 'murmur3_32', salt: `t${at}`, ranges: [[0, whole]] },
          split: { hash: 'murmur3_32', salt: `s${at}`, ranges: [[0, whole / 2, 'a'], [whole / 2, whole, 'b']] },
        },
      ],
    };
  }
  return JSON.stringify({ schema: 1, environment: 'e', audience: 'server', generation: 1, version, issued_at_ms: 0, flags });
}
