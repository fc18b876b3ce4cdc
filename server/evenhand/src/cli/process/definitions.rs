//! What is defined, for roles that work by it.

use std::sync::Arc;

use evenhand_manage::Manage;
use evenhand_process::Catalogs;

use crate::config::Config;
use crate::node::Node;
use crate::{catalog, durable_dir};

/// Opens the definitions that the configuration names.
pub async fn open(config: &Config) -> Result<Arc<Node>, String> {
    let opening = config.clone();
    let runtime = tokio::runtime::Handle::current();
    let node = tokio::task::spawn_blocking(move || {
        // What it starts runs on here.
        let _inside = runtime.enter();
        durable_dir::create(&opening.data_dir)?;
        Node::open(&opening)
    })
    .await
    .map_err(|e| format!("opening the definitions: {e}"))??;
    Ok(Arc::new(node))
}

/// Experiments and metrics of all environments, as they are defined now.
pub fn catalogs(manage: &Manage) -> Catalogs {
    let environments = manage.catalog().environments;
    Catalogs(
        environments
            .iter()
            .map(|(name, phases)| (name.clone(), catalog::for_pipeline(phases)))
            .collect(),
    )
}
