Feature: Values of every type, with how they came about

  Background:
    Given a stable provider

  @spec-1.3.1.1 @spec-1.4.3 @spec-1.4.5 @spec-1.4.6 @spec-1.4.7 @spec-2.2.3 @spec-2.2.4 @spec-2.3.2
  Scenario Outline: A flag without rules gives everybody the same
    Given a <type>-flag with key "<key>" and a default value "<default>"
    When the flag was evaluated with details
    Then the resolved details value should be "<value>"
    And the flag key should be "<key>"
    And the variant should be "<variant>"
    And the reason should be "STATIC"
    And the error-code should be ""
    And the error message should be empty
    And no exception should have been thrown

    Examples: values
      | key                | type    | default  | value            | variant   |
      | boolean-flag       | Boolean | false    | true             | on        |
      | string-flag        | String  | bye      | hi               | greeting  |
      | integer-flag       | Integer | 1        | 10               | ten       |
      | large-integer-flag | Integer | 1        | 2147483647       | max-int32 |
      | huge-integer-flag  | Integer | 1        | 9007199254740991 | max-safe  |
      | float-flag         | Float   | 0.1      | 0.5              | half      |
      | integer-flag       | Float   | 0.1      | 10.0             | ten       |

    Examples: structures
      | key         | type   | default | value                                                                              | variant  |
      | object-flag | Object | {}      | {\"showImages\": true,\"title\": \"Check out these pics!\",\"imagesPerPage\": 100} | template |
      | list-flag   | Object | {}      | [\"a\", {\"b\": 1}]                                                                | some     |

    Examples: values that look like nothing
      | key               | type    | default      | value | variant |
      | boolean-zero-flag | Boolean | true         | false | zero    |
      | string-zero-flag  | String  | hi           |       | zero    |
      | integer-zero-flag | Integer | 1            | 0     | zero    |
      | float-zero-flag   | Float   | 0.1          | 0.0   | zero    |
      | object-zero-flag  | Object  | {\"a\": 1}   | {}    | zero    |

  @targeting @spec-1.4.7
  Scenario Outline: A rule that matches decides, also for a value that looks like nothing
    Given a <type>-flag with key "<key>" and a default value "<default>"
    And a context containing a key "email", with type "String" and with value "ballmer@macrosoft.com"
    When the flag was evaluated with details
    Then the resolved details value should be "<value>"
    And the reason should be "TARGETING_MATCH"
    And the variant should be "zero"

    Examples:
      | key                        | type    | default    | value |
      | boolean-targeted-zero-flag | Boolean | true       | false |
      | string-targeted-zero-flag  | String  | hi         |       |
      | integer-targeted-zero-flag | Integer | 1          | 0     |
      | float-targeted-zero-flag   | Float   | 0.1        | 0.0   |
      | object-targeted-zero-flag  | Object  | {\"a\": 1} | {}    |

  @targeting @spec-1.4.7
  Scenario Outline: No rule matches: the flag's default
    Given a <type>-flag with key "<key>" and a default value "<default>"
    And a context containing a key "email", with type "String" and with value "ballmer@none.com"
    When the flag was evaluated with details
    Then the resolved details value should be "<value>"
    And the reason should be "DEFAULT"

    Examples:
      | key                        | type    | default    | value |
      | boolean-targeted-zero-flag | Boolean | true       | false |
      | string-targeted-zero-flag  | String  | hi         |       |
      | integer-targeted-zero-flag | Integer | 1          | 0     |
      | float-targeted-zero-flag   | Float   | 0.1        | 0.0   |
      | object-targeted-zero-flag  | Object  | {\"a\": 1} | {}    |

  @context-handling @spec-1.3.1.1
  Scenario Outline: Without a context, and with a null in it, no rule matches
    Given a <type>-flag with key "<key>" and a default value "<default>"
    When the flag was evaluated with details
    Then the resolved details value should be "<value>"
    And the reason should be "DEFAULT"
    Given a context containing a key "email" with null value
    When the flag was evaluated with details
    Then the resolved details value should be "<value>"
    And the reason should be "DEFAULT"

    Examples:
      | key                        | type    | default    | value |
      | boolean-targeted-zero-flag | Boolean | true       | false |
      | string-targeted-zero-flag  | String  | str        |       |
      | integer-targeted-zero-flag | Integer | 1          | 0     |
      | float-targeted-zero-flag   | Float   | 1.0        | 0.0   |
      | object-targeted-zero-flag  | Object  | {\"a\": 1} | {}    |

  @context-handling @spec-1.3.1.1
  Scenario: A rule finds its attribute among others of every type
    Given a String-flag with key "context-aware" and a default value "false"
    And a context containing a key "email", with type "String" and with value "ballmer@macrosoft.com"
    And a context containing a key "role", with type "String" and with value "admin"
    And a context containing a key "age", with type "Integer" and with value "65"
    And a context containing a key "share", with type "Float" and with value "0.25"
    And a context containing a key "customer", with type "Boolean" and with value "false"
    When the flag was evaluated with details
    Then the resolved details value should be "INTERNAL"
    And the reason should be "TARGETING_MATCH"

  @targeting @spec-3.1.1
  Scenario Outline: The targeting key is the unit
    Given a String-flag with key "targeting-key-flag" and a default value "fallback"
    And a context containing a targeting key with value "<key>"
    When the flag was evaluated with details
    Then the resolved details value should be "<value>"
    And the error-code should be ""

    Examples:
      | key                                  | value |
      | 5c3d8535-f81a-4478-a6d3-afaa4d51199e | hit   |
      | f20bd32d-703b-48b6-bc8e-79d53c85134a | miss  |

  @targeting
  Scenario: A rule on the targeting key misses without one, and that is no error
    Given a String-flag with key "targeting-key-flag" and a default value "fallback"
    When the flag was evaluated with details
    Then the resolved details value should be "miss"
    And the reason should be "DEFAULT"
    And the error-code should be ""

  Scenario: A context does not disturb a flag without rules
    Given a String-flag with key "string-flag" and a default value "bye"
    And a context containing a targeting key with value "f20bd32d-703b-48b6-bc8e-79d53c85134a"
    When the flag was evaluated with details
    Then the resolved details value should be "hi"
    And the error-code should be ""

  @context-handling @spec-3.1.2
  Scenario Outline: A date-time is an instant to the operators
    Given a Boolean-flag with key "date-flag" and a default value "false"
    And a context containing a key "since", with type "Datetime" and with value "<since>"
    When the flag was evaluated with details
    Then the resolved details value should be "<value>"
    And the reason should be "<reason>"

    Examples:
      | since                     | value | reason          |
      | 2026-01-01T00:00:00Z      | true  | TARGETING_MATCH |
      | 2026-01-01T00:30:00+01:00 | false | DEFAULT         |
      | 2025-12-31T23:59:59.999Z  | false | DEFAULT         |

  @context-handling
  Scenario: A structure in the context is there, and of no other use
    Given a Boolean-flag with key "nested-flag" and a default value "false"
    And a context containing a key "address", with type "Object" and with value "{\"country\": \"NZ\"}"
    When the flag was evaluated with details
    Then the resolved details value should be "true"
    And the reason should be "TARGETING_MATCH"
    And the client should have counted "address" as unusable

  @async @spec-1.4.12
  Scenario: Evaluated asynchronously, it is the same
    Given a Boolean-flag with key "boolean-flag" and a default value "false"
    When the flag was evaluated with details asynchronously
    Then the evaluation should complete without blocking
    And the result should be equivalent to synchronous evaluation

  @immutability @spec-1.4.14.1
  Scenario: The context stays as it was
    Given a Boolean-flag with key "date-flag" and a default value "false"
    And an evaluation context with modifiable data
    When the flag was evaluated with details
    Then the original evaluation context should remain unmodified
