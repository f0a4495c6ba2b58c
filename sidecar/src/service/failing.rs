//! What becomes of what is stored while the index fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use tempfile::TempDir;
use viewcache_protocol::{Begin, ByteRange, ChunkHead, EntityKey, Generation, Profile, Validator};

use super::{Read, Service};
use crate::config::{Config, Written};
use crate::error::Error;
use crate::live::Live;

const N: u64 = 300_000;

/// A sidecar's use cases, and an entity that is stored whole.
struct World {
    dir: TempDir,
    service: Arc<Service>,
    live: Arc<Live>,
    seq: u64,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        let written = Written::try_parse_from(["x", "--data-dir", folder]).unwrap();
        let service = Service::open(&Config::new(written).unwrap()).unwrap();
        let key = EntityKey::new(Profile::Generic, "http://origin.test/video").unwrap();
        let generation = Generation {
            validator: Some(Validator::Etag("\"v1\"".to_owned())),
            complete_length: N,
        };
        let head = ChunkHead {
            entity: key.id(),
            generation: generation.id(Profile::Generic, ""),
            offset: 0,
        };
        let begin = Begin {
            key: key.clone(),
            generation,
            range: whole(),
            headers: Vec::new(),
            selecting: Default::default(),
            open_ended: false,
            origin: None,
        };
        let fill = service.fill();
        service.begin(fill, begin).await.unwrap();
        let permit = service.admit(N).unwrap();
        let bytes = Bytes::from(vec![7; N as usize]);
        service.chunk(fill, head, bytes, permit).await.unwrap();
        let live = service.live(&key).await.unwrap();
        let seq = live.state().record.generation.as_ref().unwrap().seq;
        assert!(live.state().stored.covers(whole()));
        Self {
            dir,
            service,
            live,
            seq,
        }
    }

    async fn read(&self) -> Result<Bytes, Error> {
        match self.service.read(&self.live, self.seq, whole()) {
            Read::Done(bytes) => Ok(bytes),
            Read::Waits(waits) => waits.await.unwrap(),
        }
    }
}

fn whole() -> ByteRange {
    ByteRange::new(0, N).unwrap()
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

#[tokio::test]
async fn damaged_bytes_that_stay_indexed_come_from_elsewhere() {
    let world = World::new().await;
    let segments = files(&world.dir.path().join("segments"));
    let [segment] = &segments[..] else {
        panic!("{segments:?}");
    };
    let mut bytes = std::fs::read(segment).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(segment, bytes).unwrap();
    world.service.store.close_index();
    // Not as damage, after which they would be looked for again: they are still said to be there.
    let error = world.read().await.unwrap_err();
    assert!(!error.is_damage(), "{error}");
    assert!(world.live.state().stored.covers(whole()));
    assert!(world.service.store.revive().unwrap());
    assert!(world.read().await.unwrap_err().is_damage());
    assert!(!world.live.state().stored.covers(whole()));
}

#[tokio::test]
async fn what_cannot_be_purged_gives_its_room_back_later() {
    let world = World::new().await;
    let used = world.service.room.used();
    assert!(N <= used, "{used}");
    world.service.store.close_index();
    world.service.purge(world.live.id).unwrap_err();
    assert_eq!(world.service.room.used(), used);
    world.service.persist();
    assert_eq!(world.service.room.used(), 0);
    let left = files(&world.dir.path().join("segments"));
    assert_eq!(left, Vec::<PathBuf>::new());
    assert!(world.service.store.load(world.live.id).unwrap().is_none());
}
