internal import EvenhandNative

/// A flag of one snapshot: what its packed decisions are read with.
final class FlagTable: Sendable {
    struct Variation: Sendable {
        let key: String
        let json: String
        let value: JSONValue
    }

    struct Rule: Sendable {
        let id: String
        let experiment: String?
        let phase: Int?
        let epoch: Int?
        let holdouts: [(holdout: String, unit: String)]
    }

    let type: FlagType?
    let variations: [Variation]
    let rules: [Rule]
    let asked: [Asked]

    init(_ row: FlagTablesRow, attributes: [Asked]) {
        let type = row.valueType.map(FlagType.init)
        self.type = type
        variations = row.variations.map { Variation(key: $0.key, json: $0.valueJson, value: .value($0.valueJson, of: type)) }
        rules = row.rules.map { rule in
            Rule(
                id: rule.id,
                experiment: rule.experiment,
                phase: rule.phase.map(Int.init),
                epoch: rule.epoch.map(Int.init),
                holdouts: rule.holdouts.map { (holdout: $0.holdout, unit: $0.unit) }
            )
        }
        asked = row.attributes.map { attributes[Int($0)] }
    }

    /// Of a flag whose tables could not be read: a decision of it has no variation.
    init() {
        type = nil
        variations = []
        rules = []
        asked = []
    }
}
