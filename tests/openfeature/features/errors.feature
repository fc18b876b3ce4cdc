Feature: What goes wrong is a code, the caller's default, and nothing thrown

  Background:
    Given a stable provider

  @spec-1.4.8 @spec-1.4.9 @spec-1.4.10
  Scenario Outline: A flag that is not there
    Given a <type>-flag with key "missing-flag" and a default value "<default>"
    When the flag was evaluated with details
    Then the resolved details value should be "<default>"
    And the reason should be "ERROR"
    And the error-code should be "FLAG_NOT_FOUND"
    And the error message should contain "flag missing-flag not found"
    And no exception should have been thrown

    Examples:
      | type    | default    |
      | Boolean | false      |
      | String  | bye        |
      | Integer | 1          |
      | Float   | 0.1        |
      | Object  | {\"a\": 1} |

  @spec-1.3.4
  Scenario Outline: A flag of another type
    Given a <requested>-flag with key "<key>" and a default value "<default>"
    When the flag was evaluated with details
    Then the resolved details value should be "<default>"
    And the reason should be "ERROR"
    And the error-code should be "TYPE_MISMATCH"
    And no exception should have been thrown

    Examples:
      | key            | requested | default  |
      | string-flag    | Boolean   | false    |
      | string-flag    | Integer   | 1        |
      | string-flag    | Float     | 0.1      |
      | string-flag    | Object    | {}       |
      | wrong-flag     | Integer   | 13       |
      | boolean-flag   | String    | fallback |
      | boolean-flag   | Integer   | 1        |
      | boolean-flag   | Float     | 0.1      |
      | integer-flag   | Boolean   | false    |
      | integer-flag   | String    | fallback |
      | float-flag     | Boolean   | false    |
      | float-flag     | String    | fallback |
      | object-flag    | Boolean   | false    |
      | object-flag    | String    | fallback |
      | object-flag    | Integer   | 1        |
      | object-flag    | Float     | 0.1      |
      | bare-json-flag | Object    | {}       |

  @int-type
  Scenario: A float is not silently narrowed to an integer
    Given a Integer-flag with key "float-flag" and a default value "1"
    When the flag was evaluated with details
    Then the resolved details value should be "1"
    And the reason should be "ERROR"
    And the error-code should be "TYPE_MISMATCH"

  Scenario: A flag that can't be read at all
    Given a Boolean-flag with key "broken-flag" and a default value "true"
    When the flag was evaluated with details
    Then the resolved details value should be "true"
    And the reason should be "ERROR"
    And the error-code should be "PARSE_ERROR"

  Scenario: A rule draws by the targeting key, and there is none
    Given a String-flag with key "split-flag" and a default value "mine"
    When the flag was evaluated with details
    Then the resolved details value should be "mine"
    And the reason should be "ERROR"
    And the error-code should be "TARGETING_KEY_MISSING"
    And the error message should contain "user_id"

  Scenario: A rule draws by another unit that is not there: the flag's default, no error
    Given a String-flag with key "company-flag" and a default value "mine"
    When the flag was evaluated with details
    Then the resolved details value should be "a"
    And the reason should be "DEFAULT"
    And the error-code should be ""

  @provider-status @spec-1.7.6 @spec-1.7.7
  Scenario Outline: A provider that can't evaluate
    Given a <state> provider
    And a <type>-flag with key "<key>" and a default value "<default>"
    When the flag was evaluated with details
    Then the resolved details value should be "<default>"
    And the reason should be "ERROR"
    And the error-code should be "<code>"

    Examples:
      | state     | key          | type    | default    | code               |
      | not ready | boolean-flag | Boolean | false      | PROVIDER_NOT_READY |
      | not ready | string-flag  | String  | bye        | PROVIDER_NOT_READY |
      | not ready | integer-flag | Integer | 1          | PROVIDER_NOT_READY |
      | not ready | float-flag   | Float   | 0.1        | PROVIDER_NOT_READY |
      | not ready | object-flag  | Object  | {\"a\": 1} | PROVIDER_NOT_READY |
      | error     | boolean-flag | Boolean | false      | PROVIDER_NOT_READY |
      | fatal     | boolean-flag | Boolean | false      | PROVIDER_FATAL     |
      | fatal     | string-flag  | String  | bye        | PROVIDER_FATAL     |
      | fatal     | integer-flag | Integer | 1          | PROVIDER_FATAL     |
      | fatal     | float-flag   | Float   | 0.1        | PROVIDER_FATAL     |
      | fatal     | object-flag  | Object  | {\"a\": 1} | PROVIDER_FATAL     |

  @provider-status @spec-1.7.1 @spec-1.7.3 @spec-1.7.4 @spec-1.7.5
  Scenario Outline: The client says how its provider is
    Given a <state> provider
    Then the provider status should be "<status>"

    Examples:
      | state     | status    |
      | stable    | READY     |
      | not ready | NOT_READY |
      | error     | ERROR     |
      | fatal     | FATAL     |
      | stale     | STALE     |
