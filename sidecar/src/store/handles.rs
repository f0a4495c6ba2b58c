//! Open segment files, so that a read of a hot segment opens nothing.
//!
//! A file that is unlinked must leave at once: it would keep its space, and a later file of the
//! same name would not be seen. So opening and unlinking are done under the same lock; it is one of
//! several, and only threads that may block wait for it.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;

/// How many locks there are.
const SHARDS: usize = 16;

/// How many files each of them keeps open.
const OPEN_EACH: usize = 16;

/// The open files by what they are of.
#[derive(Debug)]
pub(super) struct Handles<K>([Mutex<Shard<K>>; SHARDS]);

#[derive(Debug)]
struct Shard<K> {
    files: HashMap<K, (Arc<File>, u64)>,
    /// Counts uses, to tell the file that was used last.
    clock: u64,
}

impl<K> Default for Handles<K> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| {
            Mutex::new(Shard {
                files: HashMap::new(),
                clock: 0,
            })
        }))
    }
}

impl<K: Copy + Eq + Hash> Shard<K> {
    fn find(&mut self, key: K) -> Option<Arc<File>> {
        self.clock += 1;
        let (file, used) = self.files.get_mut(&key)?;
        *used = self.clock;
        Some(Arc::clone(file))
    }

    /// Keeps it open, at the cost of the one that was not used for longest.
    fn keep(&mut self, key: K, file: File) -> Arc<File> {
        let file = Arc::new(file);
        if OPEN_EACH <= self.files.len() {
            let oldest = self.files.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.files.remove(&oldest);
            }
        }
        self.files.insert(key, (Arc::clone(&file), self.clock));
        file
    }
}

impl<K: Copy + Eq + Hash> Handles<K> {
    fn shard(&self, key: K) -> &Mutex<Shard<K>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        &self.0[hasher.finish() as usize % SHARDS]
    }

    fn lock(&self, key: K) -> MutexGuard<'_, Shard<K>> {
        self.shard(key)
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The file when nobody is at work on the lock and it is open, or `open` opens it, which must
    /// not wait either: for threads that must not.
    pub(super) fn at_once(&self, key: K, open: impl FnOnce() -> Option<File>) -> Option<Arc<File>> {
        let mut shard = self.shard(key).try_lock().ok()?;
        let found = shard.find(key);
        found.or_else(|| open().map(|file| shard.keep(key, file)))
    }

    /// The file; `open` opens it when it is not open yet. When there is no descriptor left, those
    /// of other files are given back first: connections may need some of them, too.
    pub(super) fn get(&self, key: K, open: impl Fn() -> io::Result<File>) -> io::Result<Arc<File>> {
        let mut shard = self.lock(key);
        if let Some(file) = shard.find(key) {
            return Ok(file);
        }
        let file = match open() {
            Err(error) if is_out_of_descriptors(&error) => {
                shard.files.clear();
                self.close_others();
                open()?
            }
            opened => opened?,
        };
        Ok(shard.keep(key, file))
    }

    /// Closes what nobody is at work on.
    fn close_others(&self) {
        for mut shard in self.0.iter().filter_map(|shard| shard.try_lock().ok()) {
            shard.files.clear();
        }
    }

    /// Closes the file while `unlink` removes its name.
    pub(super) fn remove(&self, key: K, unlink: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut shard = self.lock(key);
        shard.files.remove(&key);
        unlink()
    }
}

/// Whether the process, or the system, has too many open files.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn without_descriptors_other_files_are_closed() {
        let handles = Handles::default();
        for key in 0..100 {
            handles.get(key, || File::open("/dev/null")).unwrap();
        }
        let tried = Cell::new(0);
        let opened = handles.get(100, || {
            tried.set(tried.get() + 1);
            match tried.get() {
                1 => Err(Errno::MFILE.into()),
                _ => File::open("/dev/null"),
            }
        });
        opened.unwrap();
        let open = (0..100).filter(|key| handles.at_once(*key, || None).is_some());
        assert_eq!(open.count(), 0);
        assert!(handles.at_once(100, || None).is_some());
        // Another failure closes nothing.
        let missing = handles.get(101, || Err(io::ErrorKind::NotFound.into()));
        assert!(missing.is_err() && handles.at_once(100, || None).is_some());
    }

    #[test]
    fn a_file_is_opened_once_and_closed_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let handles = Handles::default();
        let open = || File::create(&path);
        assert!(handles.at_once(1, || None).is_none());
        let file = handles.get(1, open).unwrap();
        let again = handles.get(1, || panic!("it is open")).unwrap();
        assert!(Arc::ptr_eq(&file, &again));
        assert!(handles.at_once(1, || None).is_some());
        handles.remove(1, || std::fs::remove_file(&path)).unwrap();
        assert!(handles.at_once(1, || None).is_none());
    }

    #[test]
    fn few_files_are_kept_open() {
        let handles = Handles::default();
        for key in 0..5000 {
            handles.get(key, || File::open("/dev/null")).unwrap();
        }
        let open: usize = handles
            .0
            .iter()
            .map(|s| s.lock().unwrap().files.len())
            .sum();
        assert!(open <= SHARDS * OPEN_EACH, "{open}");
        assert!(handles.at_once(4999, || None).is_some());
    }
}
