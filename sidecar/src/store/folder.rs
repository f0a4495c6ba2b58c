//! The data folder itself: whose it is, and what format it has.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{FORMAT, StoreError};

/// Takes the folder for this process, for as long as the file lives.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    hold(dir, File::options().create(true).append(true).open(path)?)
}

/// The same with the lock's file open already.
pub(super) fn hold(dir: &Path, file: File) -> Result<File, StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked(dir.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The folder's format, if it is one that can be read; `None` in a new folder.
pub(super) fn format(dir: &Path) -> Result<Option<u32>, StoreError> {
    match std::fs::read_to_string(dir.join("format")) {
        Ok(text) => match text.trim().parse() {
            Ok(format @ 1..=FORMAT) => Ok(Some(format)),
            _ => Err(StoreError::Format(
                dir.to_owned(),
                text.trim().chars().take(32).collect(),
            )),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// In one step: a crash must not leave an empty file, which would be refused.
pub(super) fn write_format(dir: &Path) -> Result<(), StoreError> {
    let new = dir.join("format.new");
    std::fs::write(&new, format!("{FORMAT}\n"))?;
    File::open(&new)?.sync_all()?;
    std::fs::rename(new, dir.join("format"))?;
    Ok(File::open(dir)?.sync_all()?)
}
