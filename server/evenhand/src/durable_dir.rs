//! Directories that survive a power cut: a new directory is only there for good once the one that holds it was synced.

use std::fs::File;
use std::path::Path;

/// Makes a directory with all that lead to it, and syncs the holder of each one made. What is there already costs nothing.
pub fn create(dir: &Path) -> Result<(), String> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let holder = dir
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    create(holder)?;
    let failed = |what: &str, e: std::io::Error| format!("can't {what} {}: {e}", dir.display());
    match std::fs::create_dir(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed("make the directory", e)),
        _ => {}
    }
    File::open(holder)
        .and_then(|holder| holder.sync_all())
        .map_err(|e| failed("sync the holder of", e))
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_that_lead_to_it_are_made_and_a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        super::create(&deep).unwrap();
        super::create(&deep).unwrap();
        assert!(deep.is_dir());
        std::fs::write(root.path().join("file"), "").unwrap();
        let message = super::create(&root.path().join("file/x")).unwrap_err();
        assert!(message.contains("file"), "{message}");
    }
}
