//! A node that began without its database becomes a full one when it is there.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use evenhand_manage::Manage;
use evenhand_postgres::Postgres;
use evenhand_redis::{LocalCopy, ManifestCache};

use super::feeding::{self, Feeding};
use super::hearing::{self, Hearing};
use super::opening::{node_files, postgres_settings};
use crate::config::Config;

/// Between two attempts at the database.
const AGAIN: Duration = Duration::from_secs(2);

/// Tries until the database is there; then feed and hearing begin.
pub fn until_full(
    config: Config,
    manage: Arc<Manage>,
    cache: Option<Arc<ManifestCache>>,
    local: LocalCopy,
    (follower, lead): (super::Following, super::Lead),
) -> (Arc<Feeding>, Arc<Hearing>) {
    let (feeding, hearing) = (Arc::new(Feeding::default()), Hearing::new());
    let (fed, heard) = (Arc::downgrade(&feeding), Arc::downgrade(&hearing));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(AGAIN).await;
            if fed.strong_count() == 0 {
                return;
            }
            let (config, becoming) = (config.clone(), Arc::clone(&manage));
            let opened = tokio::task::spawn_blocking(move || become_full(&config, &becoming)).await;
            match opened {
                Ok(Ok((postgres, how))) => {
                    // It takes bundles no more.
                    follower.lock().unwrap_or_else(PoisonError::into_inner).take();
                    tracing::info!("the database is there: this node takes changes again");
                    if let (Some(feeding), Some(hearing)) = (fed.upgrade(), heard.upgrade()) {
                        feeding::run(&feeding, &postgres, &manage, cache, how, local);
                        hearing::run(&hearing, &postgres, &manage);
                        lead.stand(&postgres);
                    }
                    return;
                }
                Ok(Err(error)) => tracing::debug!(error, "the database is not there yet"),
                Err(error) => tracing::error!(%error, "opening the database panicked"),
            }
        }
    });
    (feeding, hearing)
}

fn become_full(config: &Config, manage: &Manage) -> Result<(Postgres, crate::config::Feed), String> {
    let postgres = Postgres::open(postgres_settings(config)?).map_err(|e| e.to_string())?;
    manage
        .become_full(
            Box::new(postgres.store()),
            Box::new(postgres.store()),
            node_files(config),
        )
        .map_err(|e| e.to_string())?;
    Ok((postgres, config.definitions.feed))
}
