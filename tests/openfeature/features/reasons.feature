Feature: Every reason of Evenhand is one of OpenFeature's, and stands beside it

  Background:
    Given a stable provider

  @spec-2.2.5 @spec-2.2.9 @spec-2.2.10
  Scenario Outline: A variation was served
    Given a <type>-flag with key "<key>" and a default value "<default>"
    And a context containing a targeting key with value "<unit>"
    When the flag was evaluated with details
    Then the resolved details value should be "<value>"
    And the variant should be "<variant>"
    And the reason should be "<reason>"
    And the error-code should be ""
    And the resolved metadata should contain
      | key             | metadata_type | value     |
      | evenhandReason  | String        | <own>     |
      | manifestVersion | Integer       | 7         |
      | version         | String        | 7         |
      | flagSetId       | String        | gherkin   |
      | exposure        | Boolean       | <exposed> |

    Examples:
      | key                    | type    | default | unit   | value | variant   | reason          | own         | exposed |
      | split-flag             | String  | mine    | u1     | b     | treatment | SPLIT           | SPLIT       | true    |
      | split-flag             | String  | mine    | tester | b     | treatment | TARGETING_MATCH | OVERRIDE    | true    |
      | held-flag              | String  | mine    | u1     | a     | control   | SPLIT           | HOLDOUT     | false   |
      | rollout-flag           | Boolean | false   | u1     | true  | on        | SPLIT           | ROLLOUT     | false   |
      | paused-flag            | String  | mine    | u1     | a     | control   | DISABLED        | PAUSED      | false   |
      | killed-experiment-flag | String  | mine    | u1     | a     | control   | DISABLED        | KILLED      | false   |
      | boolean-disabled-flag  | Boolean | false   | u1     | false | off       | DISABLED        | KILLED      | false   |
      | string-disabled-flag   | String  | bye     | u1     | bye   | parting   | DISABLED        | ARCHIVED    | false   |
      | later-flag             | Boolean | true    | u1     | false | off       | DISABLED        | UNSUPPORTED | false   |
      | listed-flag            | Boolean | true    | u1     | false | off       | STALE           | NOT_READY   | false   |
      | company-flag           | String  | mine    | u1     | a     | control   | DEFAULT         | NO_UNIT     | false   |
      | boolean-flag           | Boolean | false   | u1     | true  | on        | STATIC          | DEFAULT     | false   |

  @metadata @spec-1.4.14
  Scenario: The experiment behind it
    Given a String-flag with key "split-flag" and a default value "mine"
    And a context containing a targeting key with value "u1"
    When the flag was evaluated with details
    Then the resolved metadata should contain
      | key        | metadata_type | value           |
      | experiment | String        | split-test      |
      | phase      | Integer       | 2               |
      | epoch      | Integer       | 3               |
      | rule       | String        | rule-split-test |
    And the resolved metadata should have an integer "bucket"

  @metadata
  Scenario: A flag without an experiment says nothing of one
    Given a Boolean-flag with key "metadata-flag" and a default value "false"
    When the flag was evaluated with details
    Then the resolved metadata should not contain "experiment, phase, epoch, rule, bucket"

  Scenario: The manifest grew stale: decisions go on by it
    Given a stale provider
    And a Boolean-flag with key "boolean-flag" and a default value "false"
    When the flag was evaluated with details
    Then the resolved details value should be "true"
    And the reason should be "STATIC"
