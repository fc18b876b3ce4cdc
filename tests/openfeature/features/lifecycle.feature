Feature: A provider begins, is told of changes, and ends

  @spec-2.1.1
  Scenario: It has a name
    Given a stable provider
    Then the provider name should be "Evenhand"

  @events @spec-5.1.1
  Scenario: Ready
    Given a stable provider
    And a ready event handler
    Then the ready event handler should have been executed
    And the client should be in ready state

  @unavailable @spec-2.4.2.1
  Scenario: No server answers
    Given a unavailable provider
    And a error event handler
    And a Boolean-flag with key "boolean-flag" and a default value "true"
    Then the error event handler should have been executed within 10000ms
    And the client should be in error state
    When the flag was evaluated with details
    Then the resolved details value should be "true"
    And the reason should be "ERROR"
    And no exception should have been thrown

  @events @configuration-change @spec-5.1.2
  Scenario: A change is told, and applied
    Given a stable provider
    And a String-flag with key "string-flag" and a default value "unset"
    And a change event handler
    When the flag was evaluated with details
    And the resolved value is remembered
    And the flag was modified
    Then the change event handler should have been executed
    When the flag was evaluated with details
    Then the resolved details value should have changed
    And no exception should have been thrown

  @events @stale
  Scenario: The server goes, and comes back
    Given a provider of a running server
    And a ready event handler
    And a stale event handler
    Then the ready event handler should have been executed
    When the connection is lost
    Then the stale event handler should have been executed
    And the client should be in stale state
    When the connection is restored
    Then the ready event handler should have been executed
    And the client should be in ready state

  @reinitialization @spec-2.5.2
  Scenario: Shut down, and set again
    Given a stable provider
    When the provider is shut down
    And the provider is set again
    Given a Boolean-flag with key "boolean-flag" and a default value "false"
    When the flag was evaluated with details
    Then the resolved details value should be "true"
    And the client should be in ready state

  Scenario: Another context does not hide that the provider is stale
    Given a stale provider
    And a stale event handler
    And a context containing a targeting key with value "another"
    And a Boolean-flag with key "boolean-flag" and a default value "false"
    When the flag was evaluated with details
    Then the stale event handler should have been executed
    And the client should be in stale state
