//! All definitions and states in memory. A model is a value: a change works on a cheap copy, and becomes the model only when it was stored.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use evenhand_core::compile::ListSource;
use evenhand_core::id_list::IdList;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::decision::DecisionRecord;
use crate::definition::{Environment, Experiment, Flag, Holdout, Layer, Metric, Project, Segment, Stored, Workspace};
use crate::looks::Look;
use crate::problem::{ManageError, Result};
use crate::state::{ApiKey, ExperimentState, FlagState, HoldoutState, LayerState, PublishState, SegmentState};
use crate::stewardship::Stewardship;

/// The scope of what belongs to the installation itself.
pub const INSTALLATION: &str = "";

/// Where records of a kind live, which says what a change of one affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// The installation: workspaces, projects, environments.
    Installation,
    /// A project: definitions.
    Project,
    /// An environment: states.
    Environment,
}

/// A kind of document.
pub trait Record: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name in the store, in the audit log and in messages.
    const KIND: &'static str;
    /// Where it lives.
    const HOME: Home;
    /// Whether a manifest is made from it.
    const IN_MANIFEST: bool;
    /// Its key, unique in its scope.
    fn key(&self) -> &str;
    /// Its table in a model.
    fn table(model: &Model) -> &Table<Self>;
    /// The same, to change it.
    fn table_mut(model: &mut Model) -> &mut Table<Self>;
}

type Shelf<T> = BTreeMap<String, Arc<Stored<T>>>;

/// All records of one kind: scope → key → record. Copies share what they don't change.
#[derive(Debug)]
pub struct Table<T>(Arc<BTreeMap<String, Arc<Shelf<T>>>>);

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Arc::new(BTreeMap::new()))
    }
}

impl<T: Clone> Table<T> {
    /// One record.
    pub fn get(&self, scope: &str, key: &str) -> Option<&Arc<Stored<T>>> {
        self.0.get(scope)?.get(key)
    }

    /// All of a scope, by key.
    pub fn scope(&self, scope: &str) -> impl Iterator<Item = &Arc<Stored<T>>> {
        self.0.get(scope).into_iter().flat_map(|shelf| shelf.values())
    }

    /// How many a scope has.
    pub fn count(&self, scope: &str) -> usize {
        self.0.get(scope).map_or(0, |shelf| shelf.len())
    }

    /// Those of a scope whose key comes after `after`, by key.
    pub fn page<'a>(&'a self, scope: &str, after: &str) -> impl Iterator<Item = &'a Arc<Stored<T>>> {
        use std::ops::Bound;
        let lower = if after.is_empty() {
            Bound::Unbounded
        } else {
            Bound::Excluded(after.to_owned())
        };
        self.0
            .get(scope)
            .into_iter()
            .flat_map(move |shelf| shelf.range((lower.clone(), Bound::Unbounded)).map(|(_, record)| record))
    }

    /// Puts a record in its place.
    pub fn insert(&mut self, scope: &str, key: &str, record: Stored<T>) {
        let shelf = Arc::make_mut(&mut self.0).entry(scope.to_owned()).or_default();
        Arc::make_mut(shelf).insert(key.to_owned(), Arc::new(record));
    }
}

/// Id lists by content address, opened once.
#[derive(Debug, Clone, Default)]
pub struct Lists(BTreeMap<String, (Arc<[u8]>, IdList)>);

impl Lists {
    /// Adds a blob; the error says what is wrong with it.
    pub fn insert(&mut self, bytes: Arc<[u8]>) -> Result<()> {
        let list = IdList::open_any(Arc::clone(&bytes))
            .map_err(|error| ManageError::Store(format!("an id list is damaged: {error}")))?;
        self.0.insert(list.sha256().to_owned(), (bytes, list));
        Ok(())
    }

    /// Takes over all that `others` has.
    pub fn keep(&mut self, others: &Self) {
        for (sha256, list) in &others.0 {
            self.0.entry(sha256.clone()).or_insert_with(|| list.clone());
        }
    }

    /// Takes a list over from `others`, opened already; false: it is not there.
    pub fn share(&mut self, others: &Self, sha256: &str) -> bool {
        let found = others.0.get(sha256).cloned();
        let there = found.is_some();
        self.0.extend(found.map(|list| (sha256.to_owned(), list)));
        there
    }

    /// The bytes of a list.
    pub fn bytes(&self, sha256: &str) -> Option<&Arc<[u8]>> {
        self.0.get(sha256).map(|(bytes, _)| bytes)
    }

    /// Drops all lists but those.
    pub fn retain(&mut self, keep: impl Fn(&String) -> bool) {
        self.0.retain(|sha256, _| keep(sha256));
    }

    /// Drops a list.
    pub fn remove(&mut self, sha256: &str) {
        self.0.remove(sha256);
    }
}

impl ListSource for Lists {
    fn list(&self, sha256: &str) -> Option<IdList> {
        self.0.get(sha256).map(|(_, list)| list.clone())
    }
}

/// A document as the store has it.
#[derive(Debug, Clone, Copy)]
pub struct StoredRow<'a> {
    /// Its kind.
    pub kind: &'a str,
    /// Its scope.
    pub scope: &'a str,
    /// Its key.
    pub key: &'a str,
    /// Its version.
    pub version: u64,
    /// When it was made.
    pub created_ms: i64,
    /// When it was last changed.
    pub updated_ms: i64,
    /// The document.
    pub body: &'a str,
}

macro_rules! model {
    ($($field:ident: $type:ty, $kind:literal, $home:ident, $in_manifest:literal;)*) => {
        /// Everything the management side knows.
        #[derive(Debug, Clone, Default)]
        pub struct Model {
            $(#[doc = concat!("All of kind ", $kind, ".")] pub $field: Table<$type>,)*
            /// Prepared hash states and lengths of all salts ever drawn: no two salts may share both.
            pub salts: Arc<HashSet<(u32, u32)>>,
            /// Id lists that definitions name now, by content address.
            pub lists: Arc<Lists>,
        }

        impl Model {
            /// Puts a stored document in its table.
            pub fn load(&mut self, row: &StoredRow<'_>) -> Result<()> {
                let StoredRow { kind, scope, key, version, created_ms, updated_ms, body } = *row;
                match kind {
                    $($kind => {
                        let body: $type = serde_json::from_str(body).map_err(|error| {
                            ManageError::Store(format!("{kind} `{key}` of `{scope}` can't be read: {error}; restore the store from a backup"))
                        })?;
                        self.$field.insert(scope, key, Stored { version, created_ms, updated_ms, body });
                    })*
                    other => return Err(ManageError::Store(format!("the store holds `{other}`, which this program does not know; run the program that wrote it"))),
                }
                Ok(())
            }
        }

        $(impl Record for $type {
            const KIND: &'static str = $kind;
            const HOME: Home = Home::$home;
            const IN_MANIFEST: bool = $in_manifest;
            fn key(&self) -> &str {
                &self.key
            }
            fn table(model: &Model) -> &Table<Self> {
                &model.$field
            }
            fn table_mut(model: &mut Model) -> &mut Table<Self> {
                &mut model.$field
            }
        })*
    };
}

model! {
    workspaces: Workspace, "workspace", Installation, false;
    projects: Project, "project", Installation, false;
    environments: Environment, "environment", Installation, false;
    layers: Layer, "layer", Project, true;
    holdouts: Holdout, "holdout", Project, true;
    segments: Segment, "segment", Project, true;
    flags: Flag, "flag", Project, true;
    experiments: Experiment, "experiment", Project, true;
    metrics: Metric, "metric", Project, false;
    layer_states: LayerState, "layer_state", Environment, true;
    holdout_states: HoldoutState, "holdout_state", Environment, true;
    segment_states: SegmentState, "segment_state", Environment, true;
    flag_states: FlagState, "flag_state", Environment, true;
    experiment_states: ExperimentState, "experiment_state", Environment, true;
    stewardships: Stewardship, "stewardship", Environment, false;
    looks: Look, "look", Environment, false;
    decisions: DecisionRecord, "decision", Environment, false;
    publish_states: PublishState, "publish_state", Environment, true;
    keys: ApiKey, "key", Environment, false;
}

impl Model {
    /// A record, or the error that names it.
    pub fn find<T: Record>(&self, scope: &str, key: &str) -> Result<&Arc<Stored<T>>> {
        T::table(self).get(scope, key).ok_or_else(|| ManageError::NotFound {
            kind: T::KIND,
            key: key.to_owned(),
            place: match T::HOME {
                Home::Installation => String::new(),
                Home::Project => format!(" in project `{scope}`"),
                Home::Environment => format!(" in environment `{scope}`"),
            },
        })
    }

    /// The project that an environment lies in.
    pub fn project_of(&self, environment: &str) -> Result<&str> {
        Ok(self
            .find::<Environment>(INSTALLATION, environment)?
            .body
            .project
            .as_str())
    }

    /// The environments of a project, by key.
    pub fn environments_of(&self, project: &str) -> Vec<String> {
        let all = self.environments.scope(INSTALLATION);
        all.filter(|environment| environment.body.project == project)
            .map(|environment| environment.body.key.clone())
            .collect()
    }

    /// Content addresses of the id lists that segments name.
    pub fn named_lists(&self) -> Vec<String> {
        self.projects
            .scope(INSTALLATION)
            .flat_map(|project| self.segments.scope(&project.body.key))
            .filter_map(|segment| segment.body.list.as_ref().map(|list| list.sha256.clone()))
            .collect()
    }

    /// The experiments of a project that were started in at least one environment (whatever became of them).
    pub fn was_started(&self, project: &str, experiment: &str) -> bool {
        self.environments_of(project).iter().any(|environment| {
            self.experiment_states
                .get(environment, experiment)
                .is_some_and(|state| state.body.started_ms.is_some())
        })
    }

    /// The environments in which an experiment has a rule now.
    pub fn live_in(&self, project: &str, experiment: &str) -> Vec<String> {
        let mut environments = self.environments_of(project);
        environments.retain(|environment| {
            self.experiment_states
                .get(environment, experiment)
                .is_some_and(|state| state.body.state.is_live())
        });
        environments
    }
}
