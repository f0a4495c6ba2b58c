//! What has failed when work of the store's has, and what an operator can do about it. Pure.

use std::io;

use strum::VariantArray;

use super::StoreError;
use super::handles::is_out_of_descriptors;

/// What is wrong with stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Damage {
    /// They do not match their checksum.
    Checksum,
    /// Their file is gone.
    Missing,
    /// Their file ends before they do.
    Short,
    /// The index has no checksums for them, or no longer.
    Unindexed,
}

impl Damage {
    /// The token in logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checksum => "checksum",
            Self::Missing => "missing",
            Self::Short => "short",
            Self::Unindexed => "unindexed",
        }
    }
}

/// What has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Fault {
    /// The disk is full.
    NoSpace,
    /// The process, or the machine, has no file descriptor left.
    Descriptors,
    /// The index.
    Index,
    /// It is closed since it failed.
    Closed,
    /// A segment file.
    Segment,
    /// What the index has cannot be understood.
    Value,
    /// Stored bytes are damaged.
    Damaged,
    /// The data folder is not to be used.
    Folder,
}

impl Fault {
    /// The token in logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSpace => "no-space",
            Self::Descriptors => "descriptors",
            Self::Index => "index",
            Self::Closed => "closed",
            Self::Segment => "segment",
            Self::Value => "value",
            Self::Damaged => "damaged",
            Self::Folder => "folder",
        }
    }

    /// What to do about it. Viewers get their bytes from the origin meanwhile.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NoSpace => "free disk space or lower max_bytes; caching goes on by itself then",
            Self::Descriptors => {
                "raise the limit of open files (LimitNOFILE of the unit, ulimit -n); it goes on by itself then"
            }
            Self::Index | Self::Segment => {
                "look at the kernel's log for the disk, and at the data folder's permissions"
            }
            Self::Closed => "look for the failure before; it is opened again by itself when it can",
            Self::Value | Self::Damaged => {
                "stop the sidecar and run: viewcache-sidecar check --repair --data DIR"
            }
            Self::Folder => "give each sidecar a data folder of its own",
        }
    }
}

impl StoreError {
    /// What has failed.
    pub fn fault(&self) -> Fault {
        match self {
            // RocksDB tells the system's error in words only.
            Self::Index(error) if error.as_ref().contains("No space left") => Fault::NoSpace,
            Self::Segment(error) if error.kind() == io::ErrorKind::StorageFull => Fault::NoSpace,
            Self::Index(error) if error.as_ref().contains("Too many open files") => {
                Fault::Descriptors
            }
            Self::Segment(error) if is_out_of_descriptors(error) => Fault::Descriptors,
            Self::Index(_) => Fault::Index,
            Self::Segment(_) => Fault::Segment,
            Self::Closed => Fault::Closed,
            Self::Value(_) => Fault::Value,
            Self::Damaged(..) => Fault::Damaged,
            Self::Locked(_) | Self::Absent(_) | Self::Format(..) => Fault::Folder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_one_that_fails_and_from_a_lack_of_descriptors() {
        let full = io::Error::from_raw_os_error(28);
        assert_eq!(StoreError::from(full).fault(), Fault::NoSpace);
        let failing = io::Error::from_raw_os_error(5);
        assert_eq!(StoreError::from(failing).fault(), Fault::Segment);
        let lacking = io::Error::from_raw_os_error(24);
        assert_eq!(StoreError::from(lacking).fault(), Fault::Descriptors);
    }
}
