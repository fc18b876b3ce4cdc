//! One connection to Redis that comes back by itself. Every wait has an end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, ProtocolVersion,
};
use redis::{PushInfo, RedisError, ScriptInvocation, TlsCertificates};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::CryptoProvider;

use crate::error::CacheError;

/// After a failed attempt nobody tries again for so long: those who ask in between get its error at once.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Where Redis is and how long it is waited for.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://user:password@host:6379/0`, or `rediss://` for TLS.
    pub url: String,
    /// A file with the password; it wins over one in the URL. Read at the start.
    pub password_file: Option<PathBuf>,
    /// A PEM file of the authority that signed the server's certificate; none: those that the web trusts.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub answer_timeout: Duration,
}

impl RedisConfig {
    /// A server, with two seconds for a connection and two for an answer.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password_file: None,
            ca_file: None,
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(2),
        }
    }
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &"…")
            .field("password_file", &self.password_file)
            .field("ca_file", &self.ca_file)
            .field("connect_timeout", &self.connect_timeout)
            .field("answer_timeout", &self.answer_timeout)
            .finish()
    }
}

enum State {
    Idle,
    Open(MultiplexedConnection),
    Failed(Instant, CacheError),
}

/// A connection, made at the first use and again after it broke.
pub struct Link {
    client: Client,
    address: String,
    connect_timeout: Duration,
    answer_timeout: Duration,
    state: Mutex<State>,
    born: Instant,
    /// Milliseconds after `born` of the last answer; negative: there was none.
    contact_ms: AtomicI64,
}

impl Link {
    /// Reads the settings; connects to nobody yet.
    pub fn new(config: &RedisConfig) -> Result<Self, CacheError> {
        // The parser's error may quote the URL, and the URL may hold the password.
        let mut info = config.url.as_str().into_connection_info().map_err(|_| {
            CacheError::Settings("the URL can't be read: write `redis://host:6379/0`, or `rediss://…` for TLS, with special characters of the password percent-encoded".into())
        })?;
        let mut settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        if let Some(path) = &config.password_file {
            settings = settings.set_password(read(path)?.trim_end_matches(['\r', '\n']));
        }
        info = info.set_redis_settings(settings);
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => format!("{host}:{port}"),
            ConnectionAddr::TcpTls { host, port, .. } => {
                // Two are compiled in, and rustls panics rather than choose.
                if CryptoProvider::get_default().is_none() {
                    return Err(CacheError::Settings(
                        "TLS needs the process to have chosen a cryptography provider before: this program does not"
                            .into(),
                    ));
                }
                format!("{host}:{port} (TLS)")
            }
            other => other.to_string(),
        };
        let unusable =
            |error: RedisError| CacheError::Settings(format!("the settings for {address} can't be used: {error}"));
        let client = match &config.ca_file {
            Some(path) => Client::build_with_tls(
                info,
                TlsCertificates {
                    client_tls: None,
                    root_cert: Some(read(path)?.into_bytes()),
                },
            ),
            None => Client::open(info),
        };
        Ok(Self {
            client: client.map_err(unusable)?,
            address,
            connect_timeout: config.connect_timeout,
            answer_timeout: config.answer_timeout,
            state: Mutex::new(State::Idle),
            born: Instant::now(),
            contact_ms: AtomicI64::new(-1),
        })
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Seconds since Redis last answered here; since the start, when it never has.
    pub fn seconds_since_contact(&self) -> f64 {
        let contact = self.contact_ms.load(Ordering::Relaxed).max(0);
        self.born.elapsed().as_secs_f64() - contact as f64 / 1_000.0
    }

    /// Sends one command that may be sent twice: a connection that broke while nobody used it is noticed by the first who does, and they try once more.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, CacheError> {
        match self.ask_once(command).await {
            Err(CacheError::Unreachable { .. }) => self.ask_once(command).await,
            answer => answer,
        }
    }

    async fn ask_once<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, CacheError> {
        let mut connection = self.connection().await?;
        let answer = timeout(self.answer_timeout, command.query_async(&mut connection)).await;
        self.judged(answer).await
    }

    /// Runs a script that may run twice, as [`Link::ask`]. It is uploaded when Redis does not know it.
    pub async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, CacheError> {
        match self.run_once(script).await {
            Err(CacheError::Unreachable { .. }) => self.run_once(script).await,
            answer => answer,
        }
    }

    /// Runs a script at most once: when the connection breaks, nobody knows whether it did.
    pub async fn run_once<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, CacheError> {
        let mut connection = self.connection().await?;
        let answer = timeout(self.answer_timeout, script.invoke_async(&mut connection)).await;
        self.judged(answer).await
    }

    /// A connection of one's own that hands what Redis pushes to `push`, which must not block.
    pub async fn listening(
        &self,
        push: impl Fn(PushInfo) -> Result<(), redis::aio::SendError> + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, CacheError> {
        self.connect(self.settings().set_push_sender(push)).await
    }

    /// Tells what became of an exchange on a connection that [`Link::listening`] gave.
    pub fn heard<T>(
        &self,
        answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
    ) -> Result<T, CacheError> {
        match answer {
            Ok(Ok(value)) => {
                let ms = i64::try_from(self.born.elapsed().as_millis()).unwrap_or(i64::MAX);
                self.contact_ms.store(ms, Ordering::Relaxed);
                Ok(value)
            }
            Ok(Err(error)) => Err(self.fault(&error)),
            Err(_) => Err(self.silent(self.answer_timeout)),
        }
    }

    /// How long an answer may take.
    pub fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    async fn judged<T>(
        &self,
        answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
    ) -> Result<T, CacheError> {
        let answer = self.heard(answer);
        if let Err(CacheError::Unreachable { .. } | CacheError::Silent { .. }) = answer {
            // What was silent once may answer late, into the next question: a new connection knows of nothing.
            *self.state.lock().await = State::Idle;
        }
        answer
    }

    async fn connection(&self) -> Result<MultiplexedConnection, CacheError> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Open(connection) => return Ok(connection.clone()),
            State::Failed(at, error) if at.elapsed() < PAUSE_AFTER_FAILURE => return Err(error.clone()),
            State::Failed(..) | State::Idle => {}
        }
        match self.connect(self.settings()).await {
            Ok(connection) => {
                *state = State::Open(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                *state = State::Failed(Instant::now(), error.clone());
                Err(error)
            }
        }
    }

    fn settings(&self) -> AsyncConnectionConfig {
        // Waits end here, with an error that names the host; the client's own end would come first and say less.
        AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
    }

    async fn connect(&self, settings: AsyncConnectionConfig) -> Result<MultiplexedConnection, CacheError> {
        let connecting = self.client.get_multiplexed_async_connection_with_config(&settings);
        match timeout(self.connect_timeout, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.fault(&error)),
            Err(_) => Err(self.silent(self.connect_timeout)),
        }
    }

    fn silent(&self, waited: Duration) -> CacheError {
        CacheError::Silent {
            address: self.address.clone(),
            seconds: waited.as_secs_f64(),
        }
    }

    fn fault(&self, error: &RedisError) -> CacheError {
        let (address, message) = (self.address.clone(), error.to_string());
        // LOADING, BUSY and the like are answers, and so is a wrong password.
        if error.is_io_error()
            || error.is_connection_dropped()
            || error.is_connection_refusal()
            || error.is_timeout()
            || error.is_unrecoverable_error()
        {
            CacheError::Unreachable { address, message }
        } else {
            CacheError::Refused { address, message }
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn read(path: &PathBuf) -> Result<String, CacheError> {
    std::fs::read_to_string(path).map_err(|error| CacheError::Disk {
        path: path.display().to_string(),
        message: error.to_string(),
    })
}
