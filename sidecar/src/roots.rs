//! The folders that files may be imported from, and the way to the files in them. No symbolic link
//! below such a folder is followed, and nothing above it is reached: every step is taken from an
//! open folder to a name in it, so that nobody can lead it elsewhere meanwhile.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use thiserror::Error;

/// So many folders may stand in each other.
const DEPTH: usize = 64;

/// The folders that the operator allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots(Vec<PathBuf>);

/// Why a folder, or a file in it, cannot be had.
#[derive(Debug, Error)]
pub enum RootError {
    /// The operator allows none.
    #[error("nothing can be imported, for none is configured in import_roots")]
    None,
    /// It is in none of those that the operator allows.
    #[error("{0:?} is in none of import_roots")]
    Outside(PathBuf),
    /// A symbolic link is on the way.
    #[error("{0:?} is a symbolic link, and none is followed")]
    Link(PathBuf),
    /// It is something else.
    #[error("{0:?} is not a {1}")]
    Other(PathBuf, &'static str),
    /// It cannot be read.
    #[error("{0:?}: {1}")]
    Io(PathBuf, io::Error),
}

/// A folder below a root, or a root.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// What a folder has, at any depth, but folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path below the folder; what of it is no text is replaced.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file, of this length.
    File(u64),
    /// A symbolic link.
    Link,
    /// A pipe, a device, or a file whose name is no text.
    Other,
    /// A folder that cannot be read.
    Unreadable,
}

impl Roots {
    /// The operator's choice.
    pub const fn new(roots: Vec<PathBuf>) -> Self {
        Self(roots)
    }

    /// The first that cannot be one, and why: files are imported into the data folder, not from
    /// it.
    pub fn fault(&self, data_dir: &Path) -> Option<(String, &'static str)> {
        let data = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let fault = |root: &PathBuf| match root {
            root if !root.is_absolute() => Some("is not an absolute path"),
            root if root.starts_with(&data) => Some("is in the data folder"),
            _ => None,
        };
        let mut faults = self.0.iter();
        faults.find_map(|root| Some((root.display().to_string(), fault(root)?)))
    }

    /// Opens a folder. Blocks.
    ///
    /// # Errors
    /// Why it cannot be imported from.
    pub fn open(&self, folder: &Path) -> Result<Folder, RootError> {
        if self.0.is_empty() {
            return Err(RootError::None);
        }
        let outside = || RootError::Outside(folder.to_owned());
        let plain = |component: Component<'_>| {
            matches!(component, Component::RootDir | Component::Normal(_))
        };
        if !folder.is_absolute() || !folder.components().all(plain) {
            return Err(outside());
        }
        // Of several that hold it, the innermost.
        let holding = self.0.iter().filter(|root| folder.starts_with(root));
        let root = holding.max_by_key(|root| root.components().count());
        let root = root.ok_or_else(outside)?;
        let rest = folder.strip_prefix(root).map_err(|_| outside())?;
        // Links on the way to the root itself are the operator's own.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(root, flags, Mode::empty());
        let fd = fd.map_err(|errno| wrong(root, errno, "folder"))?;
        let opened = Folder {
            fd,
            path: root.clone(),
        };
        opened.enter(rest)
    }
}

/// What an error of the system says of a path.
fn wrong(path: &Path, errno: Errno, expected: &'static str) -> RootError {
    match errno {
        Errno::LOOP => RootError::Link(path.to_owned()),
        Errno::NOTDIR => RootError::Other(path.to_owned(), expected),
        errno => RootError::Io(path.to_owned(), errno.into()),
    }
}

impl Folder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it.
    fn enter(self, below: &Path) -> Result<Self, RootError> {
        let mut folder = self;
        for name in below.iter() {
            folder = folder.step(name)?;
        }
        Ok(folder)
    }

    fn step(&self, name: &OsStr) -> Result<Self, RootError> {
        let path = self.path.join(name);
        if name == ".." {
            return Err(RootError::Outside(path));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.fd, name.as_bytes(), flags, Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path }),
            // What a symbolic link is said to be when a folder is asked for.
            Err(Errno::NOTDIR) if self.is_link(name) => Err(RootError::Link(path)),
            Err(errno) => Err(wrong(&path, errno, "folder")),
        }
    }

    fn is_link(&self, name: &OsStr) -> bool {
        let stat = statat(&self.fd, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    }

    /// Opens a file at a path below it, to read. Blocks.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn file(&self, below: &str) -> Result<File, RootError> {
        let (folders, name) = match below.rsplit_once('/') {
            Some((folders, name)) => (Path::new(folders), name),
            None => (Path::new(""), below),
        };
        let mut inner: Option<Self> = None;
        for name in folders.iter() {
            inner = Some(inner.as_ref().unwrap_or(self).step(name)?);
        }
        let folder = inner.as_ref().unwrap_or(self);
        let path = folder.path.join(name);
        // A pipe would be waited for without the last of these.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = openat(&folder.fd, name, flags, Mode::empty());
        let file = File::from(fd.map_err(|errno| wrong(&path, errno, "file"))?);
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(file),
            Ok(_) => Err(RootError::Other(path, "file")),
            Err(error) => Err(RootError::Io(path, error)),
        }
    }

    /// Tells everything that is in it at any depth, but folders, until `tell` wants no more. What
    /// is in the folder `but`, wherever that is, is passed over. Blocks.
    ///
    /// # Errors
    /// When the folder itself cannot be read.
    pub fn walk(&self, but: &Path, tell: &mut dyn FnMut(Entry) -> bool) -> Result<(), RootError> {
        let but = std::fs::metadata(but).ok();
        let but = but.map(|metadata| (metadata.dev(), metadata.ino()));
        self.walk_from("", DEPTH, but, tell).map(drop)
    }

    /// Whether to go on comes back.
    fn walk_from(
        &self,
        prefix: &str,
        depth: usize,
        but: Option<(u64, u64)>,
        tell: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<bool, RootError> {
        let failed = |errno: Errno| RootError::Io(self.path.clone(), errno.into());
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        // The same order every time.
        names.sort_unstable();
        for name in names {
            let text = String::from_utf8_lossy(&name).into_owned();
            let is_text = text.as_bytes() == name;
            let path = format!("{prefix}{text}");
            let stat = match statat(&self.fd, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // It has gone meanwhile.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory if but == Some((stat.st_dev, stat.st_ino)) => continue,
                FileType::Directory if is_text && 0 < depth => {
                    let inner = self.step(OsStr::from_bytes(&name));
                    let inside = format!("{path}/");
                    match inner.and_then(|inner| inner.walk_from(&inside, depth - 1, but, tell)) {
                        Ok(true) => continue,
                        Ok(false) => return Ok(false),
                        Err(_) => EntryKind::Unreadable,
                    }
                }
                FileType::RegularFile if is_text => {
                    EntryKind::File(u64::try_from(stat.st_size).unwrap_or(0))
                }
                FileType::Symlink => EntryKind::Link,
                _ => EntryKind::Other,
            };
            if !tell(Entry { path, kind }) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// `in/film.mp4`, `in/more/clip.mp4` and, beside `in`, `secret`; links from `in` to all sorts.
    fn folders() -> (tempfile::TempDir, Roots) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("in");
        std::fs::create_dir_all(root.join("more")).unwrap();
        std::fs::create_dir_all(root.join("data")).unwrap();
        std::fs::write(root.join("film.mp4"), b"film").unwrap();
        std::fs::write(root.join("more/clip.mp4"), b"clip!").unwrap();
        std::fs::write(root.join("data/segment"), b"x").unwrap();
        std::fs::create_dir(dir.path().join("secret")).unwrap();
        std::fs::write(dir.path().join("secret/key"), b"key").unwrap();
        symlink("../secret/key", root.join("link.mp4")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink("more", root.join("inner")).unwrap();
        let roots = Roots::new(vec![root]);
        (dir, roots)
    }

    fn refused(roots: &Roots, folder: &Path) -> String {
        roots.open(folder).unwrap_err().to_string()
    }

    #[test]
    fn only_what_is_below_a_root_is_opened() {
        let (dir, roots) = folders();
        let root = dir.path().join("in");
        assert!(roots.open(&root).is_ok() && roots.open(&root.join("more")).is_ok());
        let outside = "is in none of import_roots";
        for folder in ["secret", "in/../secret", "inside", ""] {
            let error = refused(&roots, &dir.path().join(folder));
            assert!(error.contains(outside), "{error}");
        }
        assert!(refused(&roots, Path::new("in")).contains(outside));
        assert!(refused(&Roots::default(), &root).contains("none is configured"));
        for folder in ["out", "inner", "inner/x"] {
            let error = refused(&roots, &root.join(folder));
            assert!(error.contains("is a symbolic link"), "{error}");
        }
        let error = refused(&roots, &root.join("film.mp4"));
        assert!(error.contains("is not a folder"), "{error}");
        let error = refused(&roots, &root.join("absent"));
        assert!(error.contains("No such file"), "{error}");
    }

    #[test]
    fn files_are_opened_without_following_links() {
        let (dir, roots) = folders();
        let folder = roots.open(&dir.path().join("in")).unwrap();
        let read = |path: &str| {
            let file = folder.file(path)?;
            Ok::<_, RootError>(std::io::read_to_string(file).unwrap())
        };
        assert_eq!(read("film.mp4").unwrap(), "film");
        assert_eq!(read("more/clip.mp4").unwrap(), "clip!");
        let refused = |path: &str| read(path).unwrap_err().to_string();
        for path in ["link.mp4", "out/key", "inner/clip.mp4"] {
            assert!(refused(path).contains("is a symbolic link"), "{path}");
        }
        assert!(refused("../secret/key").contains("is in none of import_roots"));
        assert!(refused("more").contains("is not a file"));
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("in/pipe"), Mode::RWXU).unwrap();
        assert!(refused("pipe").contains("is not a file"));
    }

    #[test]
    fn everything_below_is_told_once_but_what_is_ours() {
        let (dir, roots) = folders();
        let root = dir.path().join("in");
        let folder = roots.open(&root).unwrap();
        let mut told = Vec::new();
        let mut tell = |Entry { path, kind }| {
            told.push((path, kind));
            true
        };
        folder.walk(&root.join("data"), &mut tell).unwrap();
        let expect = [
            ("film.mp4", EntryKind::File(4)),
            ("inner", EntryKind::Link),
            ("link.mp4", EntryKind::Link),
            ("more/clip.mp4", EntryKind::File(5)),
            ("out", EntryKind::Link),
        ];
        let expect = expect.map(|(path, kind)| (path.to_owned(), kind));
        assert_eq!(told, expect);
        let mut first = 0;
        let mut one = |_| {
            first += 1;
            false
        };
        folder.walk(&root.join("data"), &mut one).unwrap();
        assert_eq!(first, 1);
    }
}
