//! The catalogs of all environments, made ready for processing.

use std::collections::{BTreeMap, HashMap};

use evenhand_clickhouse::environment_target;
use evenhand_pipeline::{
    StoreError,
    catalog::Catalog,
    process::{
        compile::{compile, targets},
        compiled::{Compiled, Coverage, Target},
        names::Names,
    },
};

/// The catalog of each environment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalogs(pub BTreeMap<String, Catalog>);

impl Catalogs {
    /// Checks what the types can't say.
    ///
    /// # Errors
    /// The first fault, with the environment it is in.
    pub fn check(&self) -> Result<(), StoreError> {
        for (environment, catalog) in &self.0 {
            catalog
                .check()
                .map_err(|fault| StoreError::Unusable(format!("environment {environment:?}: {fault}")))?;
        }
        Ok(())
    }
}

/// Where a target belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetPlace {
    pub environment: String,
    pub experiment: String,
    pub phase: u32,
    pub metric: String,
}

/// Catalogs compiled with one set of names.
#[derive(Debug, Default)]
pub(crate) struct CompiledCatalogs {
    pub environments: HashMap<String, Compiled>,
    pub targets: BTreeMap<u64, TargetPlace>,
}

impl CompiledCatalogs {
    pub fn of(catalogs: &Catalogs, names: &mut Names) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for (environment, catalog) in &catalogs.0 {
            let mut numbers = HashMap::new();
            for (name, definition) in targets(catalog)? {
                let number = environment_target(environment, &name.0, name.1, &name.2, &definition);
                let place = TargetPlace {
                    environment: environment.clone(),
                    experiment: name.0.clone(),
                    phase: name.1,
                    metric: name.2.clone(),
                };
                all.targets.insert(number, place);
                numbers.insert(name, number);
            }
            // How far a target covers is each partition's own matter; it is asked there.
            let compiled = compile(catalog, names, |name| {
                let id = i64::try_from(*numbers.get(name)?).ok()?;
                Some(Target {
                    id,
                    coverage: Coverage::Complete,
                })
            })?;
            all.environments.insert(environment.clone(), compiled);
        }
        Ok(all)
    }
}
