//! Opening a node, by what its configuration names.

use std::path::Path;
use std::sync::{Arc, Mutex};

use evenhand_manage::{
    ADMIN_TOKEN_FILE, FollowerConfig, KEYS_FILE, Manage, ManageConfig, NodeFiles, OpenSettings, Trust, TrustedKeys,
};
use evenhand_postgres::{Postgres, PostgresSettings};
use evenhand_redis::{Fetcher, FollowConfig, LocalCopy, ManifestCache, RedisConfig, follow};

use super::{Lead, Node, feeding, following, hearing};
use crate::config::Config;

/// Below the data directory: the last bundles.
const BUNDLES: &str = "bundles";

pub fn open(config: &Config) -> Result<Node, String> {
    match (&config.definitions.postgres, &config.cache.redis) {
        (None, None) => embedded(config),
        (None, Some(_)) => follower(config),
        (Some(_), _) => full(config),
    }
}

/// One machine.
fn embedded(config: &Config) -> Result<Node, String> {
    let manage = Manage::open(&config.data_dir, manage_config(config)).map_err(|e| e.to_string())?;
    Ok(Node {
        manage,
        cache: None,
        follower: Arc::default(),
        feeding: None,
        hearing: None,
        lead: Lead::Alone,
    })
}

/// A node without a database: it assigns and takes events.
fn follower(config: &Config) -> Result<Node, String> {
    let settings = redis_settings(config).ok_or("cache.redis is not set")?;
    let (manage, local) = begin_from_bundles(config)?;
    let cache = Arc::new(ManifestCache::new(&settings).map_err(|e| e.to_string())?);
    let fetcher = Arc::new(Fetcher::new(Arc::clone(&manage), Arc::clone(&cache), None, Some(local)));
    let follower = follow(&settings, fetcher, FollowConfig::default()).map_err(|e| e.to_string())?;
    Ok(Node {
        manage,
        cache: Some(cache),
        follower: Arc::new(Mutex::new(Some(follower))),
        feeding: None,
        hearing: None,
        lead: Lead::shared(),
    })
}

/// A node with PostgreSQL.
fn full(config: &Config) -> Result<Node, String> {
    let cache = match redis_settings(config) {
        Some(settings) => Some(Arc::new(ManifestCache::new(&settings).map_err(|e| e.to_string())?)),
        None => None,
    };
    let opened = Postgres::open(postgres_settings(config)?).and_then(|postgres| {
        let manage = Manage::open_on(OpenSettings {
            writer: Box::new(postgres.store()),
            reader: Box::new(postgres.store()),
            files: node_files(config),
            config: manage_config(config),
        })?;
        Ok((postgres, manage))
    });
    let (postgres, manage) = match opened {
        Ok(opened) => opened,
        Err(error) => return without_database(config, cache, &error.to_string()),
    };
    let feeding = feeding::start(
        &postgres,
        &manage,
        cache.clone(),
        config.definitions.feed,
        LocalCopy::open(&config.data_dir.join(BUNDLES)).map_err(|e| e.to_string())?,
    );
    let hearing = hearing::start(&postgres, &manage);
    let lead = Lead::shared();
    lead.stand(&postgres);
    Ok(Node {
        manage,
        cache,
        follower: Arc::default(),
        feeding: Some(feeding),
        hearing: Some(hearing),
        lead,
    })
}

/// The database can't be used at the start: the node serves the last bundles it finds, and tries again until it is a full one.
fn without_database(config: &Config, cache: Option<Arc<ManifestCache>>, error: &str) -> Result<Node, String> {
    let (manage, local) = begin_from_bundles(config)?;
    let lead = Lead::shared();
    let Some(settings) = redis_settings(config) else {
        if manage.environments().is_empty() {
            return Err(format!(
                "{error}; and there is no bundle of an earlier run below {}",
                config.data_dir.join(BUNDLES).display()
            ));
        }
        tracing::error!(
            error,
            "serving the last manifests of this node's disk; trying the database again until it is there"
        );
        let (feeding, hearing) = following::until_full(
            config.clone(),
            Arc::clone(&manage),
            None,
            local,
            (Arc::default(), lead.clone()),
        );
        return Ok(Node {
            manage,
            cache: None,
            follower: Arc::default(),
            feeding: Some(feeding),
            hearing: Some(hearing),
            lead,
        });
    };
    tracing::error!(
        error,
        "serving the last manifests that Redis or this node's disk has; trying the database again until it is there"
    );
    let cache = match cache {
        Some(cache) => cache,
        None => Arc::new(ManifestCache::new(&settings).map_err(|e| e.to_string())?),
    };
    let fetcher = Arc::new(Fetcher::new(
        Arc::clone(&manage),
        Arc::clone(&cache),
        None,
        Some(local.clone()),
    ));
    let follower = follow(&settings, fetcher, FollowConfig::default()).map_err(|e| e.to_string())?;
    let follower = Arc::new(Mutex::new(Some(follower)));
    let (feeding, hearing) = following::until_full(
        config.clone(),
        Arc::clone(&manage),
        Some(Arc::clone(&cache)),
        local,
        (Arc::clone(&follower), lead.clone()),
    );
    Ok(Node {
        manage,
        cache: Some(cache),
        follower,
        feeding: Some(feeding),
        hearing: Some(hearing),
        lead,
    })
}

/// A follower with what lies on its disk in force.
fn begin_from_bundles(config: &Config) -> Result<(Arc<Manage>, LocalCopy), String> {
    let local = LocalCopy::open(&config.data_dir.join(BUNDLES)).map_err(|e| e.to_string())?;
    let trust = match &config.cache.trusted_keys_file {
        Some(path) => {
            let text = read(path)?;
            Trust::Given(TrustedKeys::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?)
        }
        None => {
            let pins = local.pins().map_err(|e| e.to_string())?;
            if config.cache.trust_first_seen {
                Trust::FirstSeen(pins)
            } else {
                // What it published or was given itself, in an earlier run.
                Trust::Given(pins)
            }
        }
    };
    let admin_token = match &config.definitions.admin_token_file {
        Some(path) if path.exists() => Some(read(path)?.trim().to_owned()),
        _ => None,
    };
    let manage = Manage::follower(FollowerConfig {
        manage: manage_config(config),
        trust,
        admin_token,
    });
    local.load(&manage);
    Ok((manage, local))
}

fn manage_config(config: &Config) -> ManageConfig {
    ManageConfig {
        minute_ms: i64::from(config.steward.minute_ms.get()),
        ..ManageConfig::default()
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("can't read {}: {e}", path.display()))
}

/// Where PostgreSQL is.
pub fn postgres_settings(config: &Config) -> Result<PostgresSettings, String> {
    let url = config
        .definitions
        .postgres
        .as_ref()
        .ok_or("definitions.postgres is not set")?;
    let mut settings = PostgresSettings::new(url.reveal());
    settings.password_file.clone_from(&config.definitions.password_file);
    Ok(settings)
}

/// Where Redis is; none: it is not named.
pub fn redis_settings(config: &Config) -> Option<RedisConfig> {
    config.cache.redis.as_ref().map(|url| {
        let mut settings = RedisConfig::new(url.reveal());
        settings.password_file.clone_from(&config.cache.password_file);
        settings.ca_file.clone_from(&config.cache.ca_file);
        settings
    })
}

/// Where the files of a node with PostgreSQL lie.
pub fn node_files(config: &Config) -> NodeFiles {
    let of = |set: &Option<std::path::PathBuf>, name: &str| set.clone().unwrap_or_else(|| config.data_dir.join(name));
    NodeFiles {
        admin_token: of(&config.definitions.admin_token_file, ADMIN_TOKEN_FILE),
        signing_keys: config.signing_keys_path(),
        published_heads: Some(config.data_dir.join("published-heads.json")),
        first_keys: Some(config.data_dir.join(KEYS_FILE)),
        may_mint: config.definitions.mint_keys,
        others_write: true,
    }
}
