//! Creating and changing definitions, and giving each environment the state that goes with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::definition::{
    Environment, Experiment, Flag, FlagRule, Holdout, Layer, Metric, Project, Segment, Stored, Workspace,
};
use crate::edit::Edit;
use crate::idlist::EncodedList;
use crate::model::{INSTALLATION, Model, Record};
use crate::problem::{ManageError, Problems, Result};
use crate::salts::random_alias;
use crate::state::{
    ExperimentState, ExperimentStatus, FlagState, HoldoutState, LayerState, PhaseSalts, PublishState, SegmentState,
};
use crate::validate;

/// Environments in an installation. Each keeps its manifests in memory.
pub const MAX_ENVIRONMENTS: usize = 100;

/// A kind of definition: how it is checked, and what an environment keeps about it.
pub trait Definition: Record {
    /// How many a project may have.
    const MAX: usize;
    /// Checks it; `before` is what it replaces.
    fn check(&self, model: &Model, project: &str, before: Option<&Self>, problems: &mut Problems);
    /// Takes over from `before` what the platform sets and callers don't.
    fn keep_own(&mut self, _before: Option<&Self>, _edit: &mut Edit) -> Result<()> {
        Ok(())
    }
    /// Gives an environment the state that goes with it (new, or changed).
    fn settle(&self, edit: &mut Edit, environment: &str) -> Result<()>;
}

/// Creates a definition in a project, with its state in every environment.
pub fn create<T: Definition>(edit: &mut Edit, project: &str, mut body: T) -> Result<Arc<Stored<T>>> {
    edit.model.find::<Project>(INSTALLATION, project)?;
    if T::table(&edit.model).count(project) >= T::MAX {
        return Err(ManageError::conflict(
            "too_many",
            format!(
                "project `{project}` has {} of kind {}, the most it may have: use another project",
                T::MAX,
                T::KIND
            ),
        ));
    }
    body.keep_own(None, edit)?;
    let mut problems = Problems::default();
    body.check(&edit.model, project, None, &mut problems);
    problems.finish()?;
    let key = body.key().to_owned();
    edit.create(project, body.clone())?;
    for environment in edit.model.environments_of(project) {
        body.settle(edit, &environment)?;
    }
    edit.model.find::<T>(project, &key).cloned()
}

/// Replaces a definition, when it still has the version that the caller read.
pub fn update<T: Definition>(
    edit: &mut Edit,
    project: &str,
    key: &str,
    mut body: T,
    version: Option<u64>,
) -> Result<Arc<Stored<T>>> {
    let stored = Arc::clone(edit.model.find::<T>(project, key)?);
    check_version(&stored, key, version)?;
    if body.key() != key {
        return Err(ManageError::invalid(
            "key",
            format!("the key `{key}` never changes"),
            "leave it as it is, or create another",
        ));
    }
    body.keep_own(Some(&stored.body), edit)?;
    let mut problems = Problems::default();
    body.check(&edit.model, project, Some(&stored.body), &mut problems);
    problems.finish()?;
    edit.update(project, body.clone())?;
    for environment in edit.model.environments_of(project) {
        body.settle(edit, &environment)?;
    }
    edit.model.find::<T>(project, key).cloned()
}

/// Refuses a change that is based on another version than the stored one, or on none.
pub fn check_version<T: Record>(stored: &Stored<T>, key: &str, version: Option<u64>) -> Result<()> {
    match version {
        None => Err(ManageError::VersionRequired(T::KIND, key.to_owned())),
        Some(given) if given != stored.version => Err(ManageError::VersionConflict {
            kind: T::KIND,
            key: key.to_owned(),
            current: stored.version,
            given,
        }),
        Some(_) => Ok(()),
    }
}

impl Definition for Layer {
    const MAX: usize = 1_000;

    fn check(&self, model: &Model, project: &str, before: Option<&Self>, problems: &mut Problems) {
        validate::layer(self, problems);
        if let Some(before) = before {
            validate::layer_change(model, project, before, self, problems);
        }
    }

    fn settle(&self, edit: &mut Edit, environment: &str) -> Result<()> {
        if edit.model.layer_states.get(environment, &self.key).is_some() {
            return Ok(());
        }
        let state = LayerState {
            key: self.key.clone(),
            salt: edit.draw_salt(),
            alias: random_alias(),
            cooling: Vec::new(),
        };
        edit.create(environment, state)
    }
}

impl Definition for Holdout {
    const MAX: usize = 100;

    fn check(&self, model: &Model, project: &str, before: Option<&Self>, problems: &mut Problems) {
        validate::holdout(model, project, self, problems);
        if let Some(before) = before {
            validate::holdout_change(model, project, before, self, problems);
        }
    }

    fn settle(&self, edit: &mut Edit, environment: &str) -> Result<()> {
        if edit.model.holdout_states.get(environment, &self.key).is_some() {
            return Ok(());
        }
        let state = HoldoutState {
            key: self.key.clone(),
            salt: edit.draw_salt(),
            alias: random_alias(),
        };
        edit.create(environment, state)
    }
}

impl Definition for Segment {
    const MAX: usize = 1_000;

    fn check(&self, model: &Model, project: &str, before: Option<&Self>, problems: &mut Problems) {
        validate::segment(model, project, self, problems);
        if let Some(before) = before {
            validate::segment_change(model, project, before, self, problems);
        }
    }

    fn keep_own(&mut self, before: Option<&Self>, edit: &mut Edit) -> Result<()> {
        let Some(list) = &mut self.list else { return Ok(()) };
        match before.and_then(|before| before.list.as_ref()) {
            Some(before) => {
                (list.count, list.sha256, list.salt) = (before.count, before.sha256.clone(), before.salt.clone())
            }
            None => {
                list.salt = edit.draw_salt();
                let empty = crate::idlist::empty(&list.salt);
                (list.count, list.sha256) = (0, empty.sha256.clone());
                edit.add_list(&empty.sha256, empty.bytes)?;
            }
        }
        Ok(())
    }

    fn settle(&self, edit: &mut Edit, environment: &str) -> Result<()> {
        if edit.model.segment_states.get(environment, &self.key).is_some() {
            return Ok(());
        }
        edit.create(
            environment,
            SegmentState {
                key: self.key.clone(),
                alias: random_alias(),
            },
        )
    }
}

impl Definition for Metric {
    const MAX: usize = 2_000;

    fn check(&self, _model: &Model, _project: &str, _before: Option<&Self>, problems: &mut Problems) {
        validate::metric(self, problems);
    }

    fn settle(&self, _edit: &mut Edit, _environment: &str) -> Result<()> {
        Ok(())
    }
}

impl Definition for Flag {
    const MAX: usize = 10_000;

    fn check(&self, model: &Model, project: &str, before: Option<&Self>, problems: &mut Problems) {
        validate::flag(model, project, self, before, problems);
        if let Some(before) = before {
            validate::flag_change(model, project, before, self, problems);
        }
    }

    fn settle(&self, edit: &mut Edit, environment: &str) -> Result<()> {
        let known = edit
            .model
            .flag_states
            .get(environment, &self.key)
            .map(|stored| stored.body.clone());
        let is_new = known.is_none();
        let mut state = known.unwrap_or_else(|| FlagState {
            key: self.key.clone(),
            killed: false,
            default: None,
            overrides: BTreeMap::new(),
            rollout_salts: BTreeMap::new(),
            variation_aliases: BTreeMap::new(),
            rule_aliases: BTreeMap::new(),
        });
        // What a removed rule or variation had is kept: should it come back, its units find themselves where they were.
        for variation in &self.variations {
            state
                .variation_aliases
                .entry(variation.key.clone())
                .or_insert_with(random_alias);
        }
        for rule in &self.rules {
            if matches!(rule, FlagRule::Experiment { .. }) {
                continue;
            }
            state
                .rule_aliases
                .entry(rule.id().to_owned())
                .or_insert_with(random_alias);
            if let FlagRule::Rollout(rollout) = rule
                && !state.rollout_salts.contains_key(&rollout.id)
            {
                state.rollout_salts.insert(rollout.id.clone(), edit.draw_salt());
            }
        }
        if is_new {
            edit.create(environment, state)
        } else {
            edit.update(environment, state)
        }
    }
}

impl Definition for Experiment {
    const MAX: usize = 10_000;

    fn check(&self, model: &Model, project: &str, before: Option<&Self>, problems: &mut Problems) {
        validate::experiment(model, project, self, before, problems);
        if let Some(before) = before {
            validate::experiment_change(model, project, before, self, problems);
        }
    }

    fn settle(&self, edit: &mut Edit, environment: &str) -> Result<()> {
        if edit.model.experiment_states.get(environment, &self.key).is_some() {
            return Ok(());
        }
        let next_salts = PhaseSalts {
            traffic: edit.draw_salt(),
            split: edit.draw_salt(),
        };
        let state = ExperimentState {
            key: self.key.clone(),
            state: ExperimentStatus::Draft,
            killed: false,
            alias: random_alias(),
            rule_alias: random_alias(),
            next_salts,
            slots: Vec::new(),
            phases: Vec::new(),
            started_ms: None,
            stopped_ms: None,
            shipped: None,
        };
        edit.create(environment, state)
    }
}

/// Creates a workspace.
pub fn create_workspace(edit: &mut Edit, workspace: Workspace) -> Result<Arc<Stored<Workspace>>> {
    let mut problems = Problems::default();
    validate::place(&workspace.key, &workspace.name, &mut problems);
    problems.finish()?;
    let key = workspace.key.clone();
    edit.create(INSTALLATION, workspace)?;
    edit.model.find(INSTALLATION, &key).cloned()
}

/// Creates a project in a workspace.
pub fn create_project(edit: &mut Edit, project: Project) -> Result<Arc<Stored<Project>>> {
    let mut problems = Problems::default();
    validate::place(&project.key, &project.name, &mut problems);
    let there = edit.model.workspaces.get(INSTALLATION, &project.workspace).is_some();
    problems.check(
        there,
        "workspace",
        || format!("there is no workspace `{}`", project.workspace),
        "create it first",
    );
    problems.finish()?;
    let key = project.key.clone();
    edit.create(INSTALLATION, project)?;
    edit.model.find(INSTALLATION, &key).cloned()
}

/// Creates an environment, with the state of everything its project defines: nothing runs in it yet.
pub fn create_environment(edit: &mut Edit, environment: Environment) -> Result<Arc<Stored<Environment>>> {
    let mut problems = Problems::default();
    validate::place(&environment.key, &environment.name, &mut problems);
    let there = edit.model.projects.get(INSTALLATION, &environment.project).is_some();
    problems.check(
        there,
        "project",
        || format!("there is no project `{}`", environment.project),
        "create it first",
    );
    problems.finish()?;
    if edit.model.environments.count(INSTALLATION) >= MAX_ENVIRONMENTS {
        return Err(ManageError::conflict(
            "too_many",
            format!("there are {MAX_ENVIRONMENTS} environments, the most there may be: run another installation"),
        ));
    }
    let (key, project) = (environment.key.clone(), environment.project.clone());
    edit.create(INSTALLATION, environment)?;
    let state = PublishState {
        key: key.clone(),
        generation: 1,
        manifest_version: 0,
        obfuscation_salt: edit.draw_salt(),
    };
    edit.create(&key, state)?;
    settle_all::<Layer>(edit, &project, &key)?;
    settle_all::<Holdout>(edit, &project, &key)?;
    settle_all::<Segment>(edit, &project, &key)?;
    settle_all::<Flag>(edit, &project, &key)?;
    settle_all::<Experiment>(edit, &project, &key)?;
    edit.model.find(INSTALLATION, &key).cloned()
}

fn settle_all<T: Definition>(edit: &mut Edit, project: &str, environment: &str) -> Result<()> {
    let all: Vec<_> = T::table(&edit.model).scope(project).cloned().collect();
    all.iter().try_for_each(|stored| stored.body.settle(edit, environment))
}

/// Replaces the ids of a list segment.
pub fn upload_ids(edit: &mut Edit, project: &str, key: &str, upload: &EncodedList) -> Result<Arc<Stored<Segment>>> {
    edit.add_list(&upload.sha256, Arc::clone(&upload.bytes))?;
    edit.modify(project, key, |segment: &mut Segment| {
        if let Some(list) = &mut segment.list {
            (list.count, list.sha256) = (upload.count, upload.sha256.clone());
        }
    })?;
    edit.model.find(project, key).cloned()
}

/// Copies an experiment's definition under another key. In every environment it is a draft with salts of its own, so nobody's old variation follows them.
pub fn clone_experiment(
    edit: &mut Edit,
    project: &str,
    from: &str,
    key: &str,
    name: Option<String>,
) -> Result<Arc<Stored<Experiment>>> {
    let mut copy = edit.model.find::<Experiment>(project, from)?.body.clone();
    copy.name = name.unwrap_or_else(|| format!("Copy of {}", if copy.name.is_empty() { from } else { &copy.name }));
    key.clone_into(&mut copy.key);
    // Past dates were the original's.
    copy.planned_end_ms = copy.planned_end_ms.filter(|end| *end > edit.now_ms);
    let now_ms = edit.now_ms;
    copy.schedule.end_ms = copy.schedule.end_ms.filter(|end| *end > now_ms);
    create(edit, project, copy)
}
