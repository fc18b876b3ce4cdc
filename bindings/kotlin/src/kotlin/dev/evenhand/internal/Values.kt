package dev.evenhand.internal

import dev.evenhand.Decision

internal fun Decision.valueOr(fallback: Boolean): Boolean = value as? Boolean ?: fallback

internal fun Decision.valueOr(fallback: String): String = value as? String ?: fallback

internal fun Decision.valueOr(fallback: Long): Long = (value as? Number)?.toLong() ?: fallback

internal fun Decision.valueOr(fallback: Double): Double = (value as? Number)?.toDouble() ?: fallback
