@hooks
Feature: Hooks are told what the provider found

  Background:
    Given a stable provider

  @spec-4.3.5 @spec-4.3.8
  Scenario: After and finally hear the details
    Given a client with added hook
    And a Boolean-flag with key "boolean-flag" and a default value "false"
    When the flag was evaluated with details
    Then the "before" hook should have been executed
    And the "after, finally" hooks should be called with evaluation details
      | data_type | key        | value        |
      | string    | flag_key   | boolean-flag |
      | boolean   | value      | true         |
      | string    | variant    | on           |
      | string    | reason     | STATIC       |
      | string    | error_code | None         |

  @spec-4.3.7
  Scenario Outline: Error and finally hear what went wrong
    Given a client with added hook
    And a String-flag with key "<key>" and a default value "<default>"
    When the flag was evaluated with details
    Then the "before" hook should have been executed
    And the "error" hook should have been executed
    And the "finally" hooks should be called with evaluation details
      | data_type | key        | value     |
      | string    | flag_key   | <key>     |
      | string    | value      | <default> |
      | string    | variant    | None      |
      | string    | reason     | ERROR     |
      | string    | error_code | <code>    |

    Examples:
      | key          | default | code                  |
      | missing-flag | uh-oh   | FLAG_NOT_FOUND        |
      | integer-flag | 13      | TYPE_MISMATCH         |
      | split-flag   | mine    | TARGETING_KEY_MISSING |

  @evaluation-options @spec-1.5.1
  Scenario: Hooks of one evaluation
    Given a Boolean-flag with key "boolean-flag" and a default value "false"
    And evaluation options containing specific hooks
    When the flag was evaluated with details using the evaluation options
    Then the specified hooks should execute during evaluation
    And the hook order should be maintained
