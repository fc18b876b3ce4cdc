//! A manifest from a file, for the commands that evaluate without a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use evenhand_core::context_json::{add_sticky, parse_context};
use evenhand_core::envelope::open_envelope;
use evenhand_core::id_list::IdList;
use evenhand_core::{Context, Report, Snapshot};

/// The manifest and what goes into a decision.
#[derive(Args)]
pub struct Input {
    /// A manifest file, bare or in its signed envelope (`curl …/v1/manifest/KEY`)
    #[arg(long, short = 'm')]
    pub manifest: PathBuf,
    /// The context: a JSON object of unit ids and attributes
    #[arg(long, short = 'c', default_value = "{}")]
    pub context: String,
    /// Sticky assignments: `[{"experiment","phase","unit","variation"}]`
    #[arg(long)]
    pub sticky: Option<String>,
    /// Force a variation: FLAG=VARIATION
    #[arg(long = "force", value_name = "FLAG=VARIATION")]
    pub forced: Vec<String>,
    /// The instant, in milliseconds since 1970; now when not given
    #[arg(long)]
    pub now_ms: Option<i64>,
    /// A directory with id lists, each in a file named by its SHA-256
    #[arg(long)]
    pub lists: Option<PathBuf>,
}

impl Input {
    /// The context, with warnings about unusable attributes on standard error.
    pub fn context(&self) -> Result<Context, String> {
        let parsed = parse_context(self.context.as_bytes()).map_err(|e| format!("--context: {e}"))?;
        for (attribute, why) in &parsed.unusable {
            eprintln!("warning: attribute {attribute:?} can't be used: {why}");
        }
        let mut context = parsed.context;
        if let Some(sticky) = &self.sticky {
            add_sticky(&mut context, sticky.as_bytes()).map_err(|e| format!("--sticky: {e}"))?;
        }
        for pair in &self.forced {
            let (flag, variation) = pair
                .split_once('=')
                .ok_or_else(|| format!("--force {pair}: expected FLAG=VARIATION"))?;
            context.set_forced(flag, variation);
        }
        Ok(context)
    }

    /// The instant to decide at.
    pub fn now(&self) -> i64 {
        self.now_ms.unwrap_or_else(crate::platform::now_ms)
    }
}

/// Reads and compiles. The error is for a person: place, fault, remedy.
pub fn load(path: &Path, lists: Option<&Path>) -> Result<(Snapshot, Report), String> {
    let bytes = std::fs::read(path).map_err(|e| format!("can't read {}: {e}", path.display()))?;
    let opened = open_envelope(&bytes, None, None).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut blobs = Vec::new();
    if let Some(dir) = lists {
        let entries = std::fs::read_dir(dir).map_err(|e| format!("can't read {}: {e}", dir.display()))?;
        for entry in entries {
            let entry = entry.map_err(|e| format!("can't read {}: {e}", dir.display()))?;
            let blob =
                std::fs::read(entry.path()).map_err(|e| format!("can't read {}: {e}", entry.path().display()))?;
            blobs.push(IdList::open_any(Arc::from(blob)).map_err(|e| format!("{}: {e}", entry.path().display()))?);
        }
    }
    Snapshot::compile(opened.manifest, &blobs).map_err(|e| format!("{}: {e}", path.display()))
}
