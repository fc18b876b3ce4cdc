//! The session's time: the host's clock, except that it never goes back.
//!
//! Wall clocks are set back, by hand or by a time server; a poll due "in 60 s" would then wait for hours. So deadlines are
//! kept on a clock that advances by what the host's advanced since the last call, and by nothing when that is negative.

/// A moment of the session's own time, in milliseconds.
pub(crate) type Moment = i64;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    host: i64,
    own: Moment,
}

impl Clock {
    pub fn new(now_ms: i64) -> Self {
        Self {
            host: now_ms,
            own: now_ms,
        }
    }

    /// Takes the host's time and returns the session's.
    pub fn tick(&mut self, now_ms: i64) -> Moment {
        self.own = self.own.saturating_add(now_ms.saturating_sub(self.host).max(0));
        self.host = now_ms;
        self.own
    }

    pub fn now(&self) -> Moment {
        self.own
    }

    /// What the host said last.
    pub fn host_ms(&self) -> i64 {
        self.host
    }

    /// A moment of the session's time on the host's clock.
    pub fn to_host(self, moment: Moment) -> i64 {
        self.host.saturating_add(moment.saturating_sub(self.own))
    }

    /// A time of the host's clock as a moment of the session's.
    pub fn moment_at(self, host_ms: i64) -> Moment {
        self.own.saturating_add(host_ms.saturating_sub(self.host))
    }
}

/// Milliseconds of an option as a distance.
pub(crate) fn ms(option: u64) -> i64 {
    i64::try_from(option).unwrap_or(i64::MAX)
}
