"""When events come: a week of them in steps of ten seconds, from a seed. All figures are relative to the mean of the week, which is 1."""
from __future__ import annotations

import math
import random
from dataclasses import dataclass

STEP = 10  # seconds
DAY = 86_400
DAYS = 7
STEPS = DAYS * DAY // STEP
# Of a consumer application with most users in a few neighbouring time zones, midnight first: night 0.25 of the mean, evening 1.9 times.
HOURS = (0.62, 0.42, 0.31, 0.26, 0.25, 0.32, 0.52, 0.78, 0.95, 1.02, 1.08, 1.15, 1.24, 1.20, 1.12, 1.10, 1.16, 1.30, 1.50, 1.74, 1.90, 1.78, 1.38, 0.92)
WEEKDAYS = (0.97, 0.95, 0.96, 0.98, 1.02, 1.08, 1.04)
# A push notification: within a minute this many times what would be there, gone by half every six minutes.
BURST, RISE_S, HALF_LIFE_S = 1.5, 60, 360
BURST_HOURS = (12.5, 19.5)
NOISE = 0.04


@dataclass(frozen=True)
class Week:
    """Rates of events, one a step."""

    rates: list[float]

    def peak(self, seconds: int = 300) -> float:
        """The largest mean over so many seconds."""
        width = seconds // STEP
        window = sum(self.rates[:width])
        best = window
        for index in range(width, len(self.rates)):
            window += self.rates[index] - self.rates[index - width]
            best = max(best, window)
        return best / width


def week(seed: int) -> Week:
    draw = random.Random(f"{seed}/arrivals")
    bursts = []
    for day in range(DAYS):
        for hour in BURST_HOURS:
            # Campaigns differ, and are never quite on time.
            bursts.append((day * DAY + hour * 3600 + draw.uniform(-600, 600), BURST * draw.uniform(0.5, 1.0)))
    drift, rates = 0.0, []
    for step in range(STEPS):
        second = step * STEP
        hour = second / 3600 % 24
        low = int(hour)
        share = hour - low
        daily = HOURS[low] * (1 - share) + HOURS[(low + 1) % 24] * share
        burst = 0.0
        for begin, height in bursts:
            since = second - begin
            if 0 <= since < 5400:
                burst += height * min(1.0, since / RISE_S) * 0.5 ** (max(0.0, since - RISE_S) / HALF_LIFE_S)
        # A slow wander and a quick shake: what neither clock nor campaign explains.
        drift = 0.995 * drift + NOISE * 0.1 * draw.gauss(0, 1)
        rates.append(daily * WEEKDAYS[second // DAY] * (1 + burst) * math.exp(drift + NOISE * draw.gauss(0, 1)))
    mean = sum(rates) / len(rates)
    return Week([rate / mean for rate in rates])
