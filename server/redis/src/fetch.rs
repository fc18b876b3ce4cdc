//! Reading through: Redis first, then a management node, whose answer Redis is given for the others. Those who want the same thing at the same time wait for
//! one attempt.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use evenhand_core::digest::sha256_hex;
use evenhand_manage::{BundleError, BundleOrder, Manage, NodeBundle, OpenedBundle, Taken};
use tokio::sync::OnceCell;

use crate::cache::ManifestCache;
use crate::error::CacheError;
use crate::local_copy::LocalCopy;

/// What a [`Source`] gives.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Option<Arc<[u8]>>, String>> + Send + 'a>>;

/// A management node, by whatever way it is reached. `None`: it has no such thing. Calls should end by themselves.
pub trait Source: Send + Sync {
    /// The newest bundle of an environment, sealed.
    fn bundle<'a>(&'a self, environment: &'a str) -> Fetching<'a>;
    /// An id list.
    fn list<'a>(&'a self, sha256: &'a str) -> Fetching<'a>;
}

/// A management node in the same process.
pub struct ManageSource(pub Arc<Manage>);

impl Source for ManageSource {
    fn bundle<'a>(&'a self, environment: &'a str) -> Fetching<'a> {
        Box::pin(async move {
            let (manage, environment) = (Arc::clone(&self.0), environment.to_owned());
            let made = tokio::task::spawn_blocking(move || manage.bundle(&environment)).await;
            let bundle = made
                .map_err(|error| error.to_string())?
                .map_err(|error| error.to_string())?;
            Ok(bundle.map(|bundle| Arc::clone(&bundle.bytes)))
        })
    }

    fn list<'a>(&'a self, sha256: &'a str) -> Fetching<'a> {
        Box::pin(async move { Ok(self.0.list_blob(sha256)) })
    }
}

type Flight = Arc<OnceCell<Result<Option<Arc<[u8]>>, CacheError>>>;

/// Brings bundles and their lists to a follower.
pub struct Fetcher {
    manage: Arc<Manage>,
    cache: Arc<ManifestCache>,
    source: Option<Arc<dyn Source>>,
    local: Option<LocalCopy>,
    flights: Mutex<HashMap<String, Flight>>,
}

impl Fetcher {
    /// For a node that was made by `Manage::follower`.
    pub fn new(
        manage: Arc<Manage>,
        cache: Arc<ManifestCache>,
        source: Option<Arc<dyn Source>>,
        local: Option<LocalCopy>,
    ) -> Self {
        Self {
            manage,
            cache,
            source,
            local,
            flights: Mutex::default(),
        }
    }

    /// The node.
    pub fn manage(&self) -> &Arc<Manage> {
        &self.manage
    }

    /// Whether there is a management node to ask beside Redis.
    pub fn has_source(&self) -> bool {
        self.source.is_some()
    }

    /// Brings the newest bundle of an environment, read through. `None`: nobody has one.
    pub async fn bring(&self, environment: &str) -> Result<Option<Taken>, CacheError> {
        match self.read_through(environment).await? {
            Some(bytes) => self.take(bytes).await.map(Some),
            None => Ok(None),
        }
    }

    /// Checks a bundle, brings the lists it lacks, puts it in force and on the disk.
    pub async fn take(&self, bytes: Arc<[u8]>) -> Result<Taken, CacheError> {
        let manage = Arc::clone(&self.manage);
        let opened = blocking(move || Ok(manage.open_bundle(bytes)?)).await?;
        let environment = opened.sealed.environment.clone();
        let mut lists = Vec::new();
        for sha256 in self.manage.lists_wanted(&opened.sealed) {
            match self.list(&sha256).await? {
                Some(bytes) => lists.push(bytes),
                None => {
                    return Err(BundleError::MissingLists {
                        environment,
                        lists: vec![sha256],
                    }
                    .into());
                }
            }
        }
        let (manage, local) = (Arc::clone(&self.manage), self.local.clone());
        blocking(move || {
            let taken = manage.take_bundle(opened, &lists)?;
            if let (Taken::InForce, Some(local)) = (taken, local)
                && let Err(error) = local.save(&manage, &environment)
            {
                tracing::warn!(environment, %error, "the bundle is in force, but not on this node's disk: a start without Redis would begin with an older one");
            }
            Ok(taken)
        })
        .await
    }

    /// An id list: from the disk, from Redis, from a management node.
    pub async fn list(&self, sha256: &str) -> Result<Option<Arc<[u8]>>, CacheError> {
        if let Some(list) = self.local.as_ref().and_then(|local| local.list(sha256)) {
            return Ok(Some(list));
        }
        self.once(format!("list {sha256}"), async {
            let cached = self.cache.list(sha256).await;
            match (cached, &self.source) {
                // What does not have the hash it is called by is not it.
                (Ok(Some(bytes)), _) if sha256_hex(&bytes) == sha256 => Ok(Some(bytes)),
                (Err(error), None) => Err(error),
                (_, None) => Ok(None),
                (_, Some(source)) => {
                    let found = source.list(sha256).await.map_err(CacheError::Source)?;
                    let found = found.filter(|bytes| sha256_hex(bytes) == sha256);
                    if let Some(bytes) = &found {
                        self.left(self.cache.put_list(sha256, bytes).await.err());
                    }
                    Ok(found)
                }
            }
        })
        .await
    }

    async fn read_through(&self, environment: &str) -> Result<Option<Arc<[u8]>>, CacheError> {
        self.once(format!("bundle {environment}"), async {
            match (self.cache.get(environment).await, &self.source) {
                (Ok(Some(bytes)), _) => Ok(Some(bytes)),
                (cached, None) => cached,
                (_, Some(source)) => {
                    let found = source.bundle(environment).await.map_err(CacheError::Source)?;
                    if let Some(bytes) = &found {
                        self.fill(Arc::clone(bytes)).await;
                    }
                    Ok(found)
                }
            }
        })
        .await
    }

    /// Gives Redis what a management node gave, if its seal is right.
    async fn fill(&self, bytes: Arc<[u8]>) {
        let manage = Arc::clone(&self.manage);
        let stored = match blocking(move || Ok(manage.open_bundle(bytes)?)).await {
            Ok(OpenedBundle { sealed, .. }) => self.cache.put(&sealed).await.err(),
            Err(error) => Some(error),
        };
        self.left(stored);
    }

    /// Redis not filled is no fault of what was asked for: the next who misses fills it.
    fn left(&self, error: Option<CacheError>) {
        if let Some(error) = error {
            tracing::debug!(%error, "Redis was not filled");
        }
    }

    async fn once(
        &self,
        what: String,
        attempt: impl Future<Output = Result<Option<Arc<[u8]>>, CacheError>>,
    ) -> Result<Option<Arc<[u8]>>, CacheError> {
        let flights = || self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let flight: Flight = Arc::clone(flights().entry(what.clone()).or_default());
        let found = flight.get_or_init(|| attempt).await.clone();
        let mut flights = flights();
        if flights.get(&what).is_some_and(|current| Arc::ptr_eq(current, &flight)) {
            flights.remove(&what);
        }
        found
    }

    /// Whether Redis has something newer.
    pub(crate) fn is_news(&self, environment: &str, order: BundleOrder) -> bool {
        self.manage.may_follow(environment) && self.manage.held_order(environment).is_none_or(|held| held < order)
    }
}

/// Off the threads of the runtime: compiling takes milliseconds, a disk may take more.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CacheError> + Send + 'static,
) -> Result<T, CacheError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(CacheError::Manage(format!("it failed inside: {error}"))))
}

/// The newest bundle of each environment, as a publisher stores it.
pub(crate) async fn made(manage: &Arc<Manage>, environment: String) -> Result<Option<Arc<NodeBundle>>, CacheError> {
    let manage = Arc::clone(manage);
    blocking(move || Ok(manage.bundle(&environment)?)).await
}
