package dev.evenhand.internal

/** The version of pom.xml; `bindings/kotlin/install` fails where the two differ. */
internal const val VERSION: String = "0.1.0"

/** Name and version, as events and requests carry them. */
internal const val SDK: String = "evenhand-kotlin/$VERSION"
