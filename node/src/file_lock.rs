//! A lock on a file that the system takes back when its holder dies: Node has none. What processes and worker threads share
//! a spool by.

use std::fs::{File, OpenOptions, TryLockError};

use napi::bindgen_prelude::Result;
use napi_derive::napi;

#[napi]
pub struct NativeFileLock {
    file: Option<File>,
}

#[napi]
impl NativeFileLock {
    /// Takes the lock, creating the file; null when somebody living has it. Never waits.
    #[napi(catch_unwind)]
    pub fn take(path: String) -> Result<Option<NativeFileLock>> {
        let told = |error: std::io::Error| napi::Error::from_reason(format!("{path}: {error}"));
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let file = options.open(&path).map_err(told)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(told(error)),
        }
    }

    #[napi(catch_unwind)]
    pub fn release(&mut self) {
        self.file = None;
    }
}
