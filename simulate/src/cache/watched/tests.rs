use rand::SeedableRng;
use rand_pcg::Pcg64;
use viewcache_sidecar::policy::Admit;

use super::*;

fn request(entity: u32, viewer: u32, start: u32, pieces: u16) -> Request {
    Request {
        entity,
        viewer,
        start,
        pieces,
        first: true,
        last: true,
    }
}

fn terms(percent: u8, viewers: u8, stage: Option<u64>) -> Terms {
    let admit = Admit {
        watched_percent: percent,
        viewers,
    };
    Terms {
        policy: Policy {
            admit,
            ..Policy::default()
        },
        stage,
        memory: 0,
        borrow: false,
    }
}

fn catalogue() -> Catalogue {
    Catalogue::new(50, &mut Pcg64::seed_from_u64(1)).unwrap()
}

#[test]
fn what_waits_in_memory_is_written_when_it_is_admitted() {
    let catalogue = catalogue();
    let mut cache = Watched::<Lru>::new(&catalogue, 10_000, terms(101, 2, Some(100)));
    let written = |served: Served| (served.hit, served.fetched, served.written);
    assert_eq!(written(cache.serve(&request(3, 1, 0, 8))), (0, 8, 0));
    assert_eq!((cache.used(), cache.provisional), (0, 8));
    assert_eq!(written(cache.serve(&request(3, 2, 0, 8))), (8, 0, 8));
    assert_eq!((cache.used(), cache.provisional), (8, 0));
    assert_eq!(written(cache.serve(&request(3, 3, 6, 4))), (2, 2, 2));
}

#[test]
fn neither_the_stage_nor_the_share_is_passed() {
    let catalogue = catalogue();
    let mut staged = Watched::<Lru>::new(&catalogue, 10_000, terms(101, 2, Some(20)));
    let mut shared = Watched::<Lru>::new(&catalogue, 200, terms(101, 2, None));
    for entity in 0..50 {
        staged.serve(&request(entity, entity, 0, 16));
        shared.serve(&request(entity, entity, 0, 16));
        assert!(staged.provisional <= 20 && shared.provisional <= 20);
    }
    assert_eq!((staged.used(), shared.admitted), (0, 0));
}

#[test]
fn a_viewer_who_watches_enough_admits_all_that_is_stored() {
    let catalogue = catalogue();
    let mut cache = Watched::<Lru>::new(&catalogue, 10_000, terms(10, 0, None));
    let tenth = u16::try_from(catalogue.pieces(7).div_ceil(10)).unwrap();
    cache.serve(&request(7, 1, 0, tenth - 1));
    cache.serve(&request(7, 2, 0, tenth - 1));
    assert_eq!(cache.admitted, 0);
    cache.serve(&request(7, 1, u32::from(tenth) - 1, 1));
    assert_eq!((cache.admitted, cache.provisional), (u64::from(tenth), 0));
}
