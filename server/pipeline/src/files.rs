//! The data directory: made, locked, and synced when a file appears in it.

use std::{
    fs::{self, File},
    path::Path,
};

use crate::error::StoreError;

/// Holds the data directory for one process; the lock goes with the value.
pub(crate) struct DirectoryLock {
    _file: File,
}

/// Makes the directory where it is missing and takes its lock.
pub(crate) fn open_directory(dir: &Path) -> Result<DirectoryLock, StoreError> {
    let failed = |what, source| StoreError::File {
        what,
        path: dir.to_path_buf(),
        source,
    };
    fs::create_dir_all(dir).map_err(|e| failed("making the data directory", e))?;
    let path = dir.join("pipeline.lock");
    let file = File::create(&path).map_err(|e| failed("making the lock file in", e))?;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock { _file: file }),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::Unusable(format!(
            "{} is in use by another process: stop it first, or give this one a directory of its own",
            dir.display()
        ))),
        Err(fs::TryLockError::Error(e)) => Err(failed("locking the data directory", e)),
    }
}

/// Makes a new file's name durable: without this a crash may keep its bytes and lose its entry.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| StoreError::File {
            what: "syncing the folder",
            path: parent.to_path_buf(),
            source,
        })
}

/// Carries the write-ahead file over and cuts it to nothing, so that no old page is left in it.
pub(crate) fn empty_wal(connection: &rusqlite::Connection, path: &Path) -> Result<(), StoreError> {
    use crate::error::Doing;
    let busy: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .doing("emptying the write-ahead file")?;
    if busy != 0 {
        return Err(StoreError::Unusable(format!(
            "{}: a reader held the file for too long; end long queries and do it again",
            path.display()
        )));
    }
    Ok(())
}
