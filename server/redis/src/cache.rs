//! Bundles and id lists in Redis. An older bundle never takes the place of a newer one, whoever publishes.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use evenhand_manage::{BundleOrder, NodeBundle};
use redis::{Script, cmd};
use serde::{Deserialize, Serialize};

use crate::error::CacheError;
use crate::link::{Link, RedisConfig};

/// Where new bundles are announced.
pub const CHANNEL: &str = "evenhand:manifests";
const ENVIRONMENTS: &str = "evenhand:environments";
/// Id lists are shared by environments and so belong to none: what no publisher has named for so long goes.
const LIST_SECONDS: u64 = 30 * 24 * 3600;

/// Compares, stores and announces in one step. Numbers below 2^53 are exact in Lua. Answers nil, or the head that is not older.
/// A head whose bundle is gone (evicted) holds nobody back.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local head = redis.call('GET', KEYS[2])
if head and redis.call('EXISTS', KEYS[1]) == 1 then
  local g, v, r = string.match(head, '^(%d+) (%d+) (%d+) ')
  if g then
    g, v, r = tonumber(g), tonumber(v), tonumber(r)
    local G, V, R = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    if G < g or (G == g and (V < v or (V == v and R <= r))) then
      return head
    end
  end
end
redis.call('SET', KEYS[1], ARGV[5])
redis.call('SET', KEYS[2], ARGV[4])
redis.call('SADD', KEYS[3], ARGV[6])
redis.call('PUBLISH', ARGV[7], ARGV[8])
return false",
    )
});

/// What became of a bundle that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is stored and announced.
    Stored,
    /// It was there already.
    Held,
    /// A newer one is there, and stays.
    Newer(BundleOrder),
}

/// What Redis says it holds of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its place.
    pub order: BundleOrder,
    /// Hash of its bytes.
    pub sha256: String,
}

impl Head {
    fn of(bundle: &NodeBundle) -> String {
        let BundleOrder {
            generation,
            version,
            revision,
        } = bundle.order;
        format!("{generation} {version} {revision} {}", bundle.sha256)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut number = || words.next()?.parse().ok();
        let order = BundleOrder {
            generation: number()?,
            version: number()?,
            revision: number()?,
        };
        Some(Self {
            order,
            sha256: words.next()?.to_owned(),
        })
    }
}

/// What is announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announcement {
    pub environment: String,
    #[serde(flatten)]
    pub order: BundleOrder,
    pub hash: String,
}

/// The cache.
#[derive(Debug)]
pub struct ManifestCache {
    link: Link,
}

impl ManifestCache {
    /// Reads the settings; connects at the first use.
    pub fn new(config: &RedisConfig) -> Result<Self, CacheError> {
        Ok(Self {
            link: Link::new(config)?,
        })
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Stores a bundle and announces it, unless one that is not older is there. Its id lists must be there before ([`ManifestCache::put_list`]).
    pub async fn put(&self, bundle: &NodeBundle) -> Result<Put, CacheError> {
        let announcement = Announcement {
            environment: bundle.environment.clone(),
            order: bundle.order,
            hash: bundle.sha256.clone(),
        };
        let announcement =
            serde_json::to_string(&announcement).map_err(|error| CacheError::Manage(error.to_string()))?;
        let mut put = PUT.key(bundle_key(&bundle.environment));
        put.key(head_key(&bundle.environment))
            .key(ENVIRONMENTS)
            .arg(bundle.order.generation)
            .arg(bundle.order.version)
            .arg(bundle.order.revision)
            .arg(Head::of(bundle))
            .arg(&bundle.bytes[..])
            .arg(&bundle.environment)
            .arg(CHANNEL)
            .arg(announcement);
        let head: Option<String> = self.link.run(&put).await?;
        Ok(match head.as_deref().and_then(Head::parse) {
            None => Put::Stored,
            Some(head) if head.order == bundle.order => {
                if head.sha256 != bundle.sha256 {
                    tracing::warn!(environment = bundle.environment, order = %bundle.order, "Redis holds another bundle of the same order; it stays until the next change");
                }
                Put::Held
            }
            Some(head) => Put::Newer(head.order),
        })
    }

    /// The bundle of an environment; its seal is for the caller to check.
    pub async fn get(&self, environment: &str) -> Result<Option<Arc<[u8]>>, CacheError> {
        let bytes: Option<Vec<u8>> = self.link.ask(cmd("GET").arg(bundle_key(environment))).await?;
        Ok(bytes.map(Arc::from))
    }

    /// What Redis holds of these environments: a few bytes each.
    pub async fn heads(&self, environments: &[String]) -> Result<BTreeMap<String, Head>, CacheError> {
        if environments.is_empty() {
            return Ok(BTreeMap::new());
        }
        let texts: Vec<Option<String>> = self.link.ask(&heads_command(environments)).await?;
        Ok(heads(environments, texts))
    }

    /// The environments that have a bundle.
    pub async fn environments(&self) -> Result<Vec<String>, CacheError> {
        self.link.ask(cmd("SMEMBERS").arg(ENVIRONMENTS)).await
    }

    /// An id list.
    pub async fn list(&self, sha256: &str) -> Result<Option<Arc<[u8]>>, CacheError> {
        let bytes: Option<Vec<u8>> = self.link.ask(cmd("GET").arg(list_key(sha256))).await?;
        Ok(bytes.map(Arc::from))
    }

    /// Stores an id list, which is not sent again when it is there; either way it stays for another 30 days.
    pub async fn put_list(&self, sha256: &str, bytes: &[u8]) -> Result<(), CacheError> {
        let there: bool = self
            .link
            .ask(cmd("EXPIRE").arg(list_key(sha256)).arg(LIST_SECONDS))
            .await?;
        if there {
            return Ok(());
        }
        self.link
            .ask(cmd("SET").arg(list_key(sha256)).arg(bytes).arg("EX").arg(LIST_SECONDS))
            .await
    }
}

fn bundle_key(environment: &str) -> String {
    format!("active_experiments_v1:{environment}")
}

fn head_key(environment: &str) -> String {
    format!("active_experiments_v1:{environment}:head")
}

fn list_key(sha256: &str) -> String {
    format!("evenhand:list:{sha256}")
}

pub(crate) fn bundle_command(environment: &str) -> redis::Cmd {
    cmd("GET").arg(bundle_key(environment)).clone()
}

pub(crate) fn environments_command() -> redis::Cmd {
    cmd("SMEMBERS").arg(ENVIRONMENTS).clone()
}

pub(crate) fn heads_command(environments: &[String]) -> redis::Cmd {
    let keys: Vec<String> = environments.iter().map(|environment| head_key(environment)).collect();
    cmd("MGET").arg(keys).clone()
}

pub(crate) fn heads(environments: &[String], texts: Vec<Option<String>>) -> BTreeMap<String, Head> {
    let found = environments
        .iter()
        .zip(texts)
        .filter_map(|(environment, text)| Some((environment.clone(), Head::parse(&text?)?)));
    found.collect()
}
