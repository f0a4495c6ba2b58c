//! What runs for every request and every chunk, each alone: the set of stored ranges, a decision
//! and its messages, and a read of a segment in the page cache.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use viewcache_protocol::version::Sent;
use viewcache_protocol::{
    Begin, ByteRange, ChunkHead, DecideRequest, Decision, EntityKey, FillId, Generation, Profile,
    RangeSpec, Validator, Wanted,
};
use viewcache_sidecar::config::{Cli, Config};
use viewcache_sidecar::extents::Extents;
use viewcache_sidecar::service::{Read, Service};

const PIECE: u64 = 256 << 10;
/// Ranges of an entity that was watched in many places.
const PIECES: u64 = 1000;

fn range(start: u64, len: u64) -> ByteRange {
    ByteRange::from_len(start, len).expect("not empty")
}

/// Every other piece is stored.
fn scattered() -> Extents {
    let mut extents = Extents::default();
    for piece in 0..PIECES {
        extents.insert(range(2 * piece * PIECE, PIECE));
    }
    extents
}

fn extents(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("extents");
    group.bench_function("insert 1000 pieces in order", |bencher| {
        bencher.iter(|| {
            let mut extents = Extents::default();
            for piece in 0..PIECES {
                extents.insert(range(piece * PIECE, PIECE));
            }
            extents
        });
    });
    group.bench_function("insert 1000 scattered pieces", |bencher| {
        bencher.iter(scattered)
    });
    let extents = scattered();
    let middle = range(PIECES * PIECE, PIECE);
    group.bench_function("covers, of 1000", |bencher| {
        bencher.iter(|| black_box(&extents).covers(black_box(middle)));
    });
    let whole = range(0, 2 * PIECES * PIECE);
    group.bench_function("gaps, all of 1000", |bencher| {
        bencher.iter(|| black_box(&extents).gaps(black_box(whole)));
    });
    group.finish();
}

fn request(name: &str, range: &str) -> DecideRequest {
    let url = format!("http://media.example/videos/2026/some-title/{name}");
    let wanted = Wanted {
        key: EntityKey::new(Profile::Generic, &url).expect("a key"),
        range: Some(RangeSpec::parse_header(range.as_bytes()).expect("a range")),
        parts: Vec::new(),
        range_in_query: false,
        complete_length: None,
        viewer: "0123456789abcdef".to_owned(),
        origin_path: None,
    };
    wanted.into()
}

fn messages(criterion: &mut Criterion) {
    let request = request("1080p.mp4", "bytes=1048576-2097151");
    let decision = Decision::Hit {
        remember_ms: Some(10_000),
    };
    let request_json = serde_json::to_vec(&Sent::new(&request)).expect("JSON");
    let decision_json = serde_json::to_vec(&decision).expect("JSON");

    let mut group = criterion.benchmark_group("messages");
    group.bench_function("write a request", |bencher| {
        bencher.iter(|| serde_json::to_vec(&Sent::new(black_box(&request))));
    });
    group.bench_function("read a request", |bencher| {
        bencher.iter(|| serde_json::from_slice::<DecideRequest>(black_box(&request_json)));
    });
    group.bench_function("write a decision", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&decision)));
    });
    group.bench_function("read a decision", |bencher| {
        bencher.iter(|| serde_json::from_slice::<Decision>(black_box(&decision_json)));
    });
    group.finish();
}

/// A cache that has the first 4 MiB of an entity.
struct World {
    runtime: Runtime,
    service: Arc<Service>,
    known: DecideRequest,
    _folder: TempDir,
}

impl World {
    fn new() -> Self {
        const LEN: u64 = 4 << 20;
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().display().to_string();
        let cli = Cli::parse_from(["viewcache-sidecar", "--data-dir", &data]);
        let config = Config::new(cli.written).expect("a configuration");
        let world = Self {
            runtime: Runtime::new().expect("a runtime"),
            service: Service::open(&config).expect("a service"),
            known: request("1080p.mp4", "bytes=1048576-1114111"),
            _folder: folder,
        };
        world.runtime.block_on(world.fill(LEN));
        world
    }

    async fn fill(&self, len: u64) {
        let key = self.known.wanted.key.clone();
        let generation = Generation {
            validator: Some(Validator::Etag("\"v1\"".to_owned())),
            complete_length: len,
        };
        let (fill, entity) = (FillId(1), key.id());
        let id = generation.id(key.profile(), &fill.to_string());
        let begin = Begin {
            key,
            generation,
            range: range(0, len),
            headers: vec![("cache-control".to_owned(), "max-age=3600".to_owned())],
            selecting: Default::default(),
            open_ended: false,
            origin: None,
        };
        self.decide(&self.known).await;
        self.service.begin(fill, begin).await.expect("begun");
        for offset in (0..len).step_by(PIECE as usize) {
            let head = ChunkHead {
                entity,
                generation: id,
                offset,
            };
            let permit = self.service.admit(PIECE).expect("memory");
            let bytes = Bytes::from(vec![7; PIECE as usize]);
            let stored = self.service.chunk(fill, head, bytes, permit).await;
            stored.expect("stored");
        }
    }

    async fn decide(&self, request: &DecideRequest) -> Decision {
        let decided = self.service.decide(request.clone()).await;
        decided.expect("a decision")
    }
}

fn cache(criterion: &mut Criterion) {
    let world = World::new();
    let mut group = criterion.benchmark_group("decide");
    group.bench_function("a hit", |bencher| {
        bencher.iter(|| world.runtime.block_on(world.decide(&world.known)));
    });
    let mut n = 0;
    group.bench_function("an entity never seen", |bencher| {
        bencher.iter(|| {
            n += 1;
            let unknown = request(&n.to_string(), "bytes=0-");
            world.runtime.block_on(world.decide(&unknown))
        });
    });
    group.finish();

    let key = &world.known.wanted.key;
    let live = world.runtime.block_on(world.service.live(key));
    let live = live.expect("an entity");
    let generation = live.state().record.generation.clone();
    let seq = generation.expect("a generation").seq;
    let mut group = criterion.benchmark_group("segment read");
    for len in [64 << 10, PIECE] {
        group.throughput(Throughput::Bytes(len));
        group.bench_function(format!("{} KiB", len >> 10), |bencher| {
            bencher.iter(|| {
                let read = async {
                    match world.service.read(&live, seq, range(len, len)) {
                        Read::Done(bytes) => bytes,
                        // The first one opens the file.
                        Read::Waits(waits) => waits.await.expect("a thread").expect("bytes"),
                    }
                };
                world.runtime.block_on(read)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, extents, messages, cache);
criterion_main!(benches);
