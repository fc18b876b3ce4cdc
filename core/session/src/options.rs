//! What an application may choose, with defaults and limits (`docs/contract/session.md`, "Options").

use evenhand_core::Audience;
use evenhand_core::sign::KeySet;

/// A number among the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberOption {
    /// Its name, the field's.
    pub name: &'static str,
    /// What it is unless set.
    pub default: u64,
    /// The least value it may have.
    pub least: u64,
    /// The greatest value it may have.
    pub greatest: u64,
}

/// Why an option was not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionError {
    /// There is no number of this name.
    Unknown {
        /// The name.
        name: String,
    },
    /// The value lies outside the limits.
    OutOfRange {
        /// The option.
        option: NumberOption,
        /// The value.
        value: u64,
    },
}

impl core::fmt::Display for OptionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unknown { name } => {
                write!(f, "there is no option `{name}`; the numbers are: ")?;
                for (at, option) in Options::NUMBERS.iter().enumerate() {
                    write!(f, "{}{}", if at == 0 { "" } else { ", " }, option.name)?;
                }
                Ok(())
            }
            Self::OutOfRange { option, value } => write!(
                f,
                "`{}` can't be {value}: give it a value from {} to {}, or leave it at {}",
                option.name, option.least, option.greatest, option.default
            ),
        }
    }
}

impl core::error::Error for OptionError {}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident = $default:literal, $least:literal ..= $greatest:literal;)*) => {
        /// What an application may choose. Set the fields, or the numbers by name with [`Options::set_number`].
        ///
        /// A number outside its limits ([`Options::NUMBERS`]) is brought to the nearer one when the session begins, and a
        /// diagnostic says so: a session always begins.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Options {
            /// The public keys of the environment. With keys, only manifests signed by one of them are accepted.
            pub keys: Option<KeySet>,
            /// The environment manifests must be of; none accepts the first one's.
            pub environment: Option<String>,
            /// The audience manifests must be for; none accepts the first one's.
            pub audience: Option<Audience>,
            /// Name and version of the SDK, written into each event: 1 to 256 bytes. None leaves it out.
            pub sdk: Option<String>,
            /// Whether the session asks for manifests. Without it the host hands them to `update_manifest`.
            pub fetch: bool,
            /// Whether the host can hold a stream of announcements open (server and sidecar keys).
            pub stream: bool,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Default for Options {
            fn default() -> Self {
                Self { keys: None, environment: None, audience: None, sdk: None, fetch: true, stream: false, $($name: $default,)* }
            }
        }

        impl Options {
            /// Every number with its default and limits.
            pub const NUMBERS: &'static [NumberOption] = &[
                $(NumberOption { name: stringify!($name), default: $default, least: $least, greatest: $greatest },)*
            ];

            /// Sets a number by its name.
            ///
            /// # Errors
            /// The name is unknown, or the value lies outside the limits; the option stays as it was.
            pub fn set_number(&mut self, name: &str, value: u64) -> Result<(), OptionError> {
                match name {
                    $(stringify!($name) => {
                        if !($least..=$greatest).contains(&value) {
                            let option = NumberOption { name: stringify!($name), default: $default, least: $least, greatest: $greatest };
                            return Err(OptionError::OutOfRange { option, value });
                        }
                        self.$name = value;
                        Ok(())
                    })*
                    _ => Err(OptionError::Unknown { name: name.to_owned() }),
                }
            }

            /// A number by its name.
            pub fn number(&self, name: &str) -> Option<u64> {
                match name {
                    $(stringify!($name) => Some(self.$name),)*
                    _ => None,
                }
            }

            /// Brings every number within its limits; says which were not.
            pub(crate) fn clamp(&mut self) -> Vec<OptionError> {
                let mut clamped = Vec::new();
                $(
                    let within = self.$name.clamp($least, $greatest);
                    if within != self.$name {
                        let option = NumberOption { name: stringify!($name), default: $default, least: $least, greatest: $greatest };
                        clamped.push(OptionError::OutOfRange { option, value: self.$name });
                        self.$name = within;
                    }
                )*
                clamped
            }
        }
    };
}

options! {
    /// Milliseconds between two polls while no stream is open; each comes up to a tenth earlier.
    poll_interval_ms = 60_000, 1_000..=86_400_000;
    /// Milliseconds between two polls while a stream is open: the net below it.
    stream_poll_interval_ms = 600_000, 1_000..=86_400_000;
    /// Milliseconds over which the fetches after an announcement are spread.
    announce_jitter_ms = 250, 0..=60_000;
    /// Milliseconds before the first retry; doubled for each further one.
    backoff_base_ms = 1_000, 10..=3_600_000;
    /// Milliseconds that the doubling ends at.
    backoff_max_ms = 60_000, 10..=86_400_000;
    /// Milliseconds before a refusal that will hardly change by itself (401, 403, 404, …) is tried again.
    denied_retry_ms = 300_000, 1_000..=86_400_000;
    /// Milliseconds that a server's `Retry-After` is honoured for at most.
    retry_after_max_ms = 300_000, 1_000..=86_400_000;
    /// Milliseconds after which an action without report counts as failed.
    report_timeout_ms = 120_000, 1_000..=3_600_000;
    /// Milliseconds without confirmation by the server after which the manifest is called stale.
    stale_after_ms = 600_000, 1_000..=2_592_000_000;
    /// Exposures remembered, so that they are not queued again; 0 queues every one. About 80 bytes each.
    dedupe_capacity = 50_000, 0..=10_000_000;
    /// Milliseconds that an exposure is remembered.
    dedupe_ttl_ms = 3_600_000, 1_000..=2_592_000_000;
    /// Events held at most, those under way included; beyond it the oldest are dropped and counted.
    queue_max_events = 10_000, 10..=1_000_000;
    /// Bytes of JSON held at most, those under way included; beyond it the oldest are dropped and counted.
    queue_max_bytes = 8_388_608, 262_144..=1_073_741_824;
    /// Events sent in one batch at most.
    batch_max_events = 500, 1..=5_000;
    /// Bytes of events in one batch at most (one event may be larger by itself).
    batch_max_bytes = 524_288, 1_024..=5_000_000;
    /// Milliseconds an event waits for others before it is sent.
    flush_interval_ms = 5_000, 1..=3_600_000;
}
