use rand::SeedableRng;
use rand_pcg::Pcg64;
use viewcache_sidecar::policy::{Admit, Enough};

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

fn terms(enough: Enough, viewers: u8, stage: Option<u64>) -> Terms {
    let admit = Admit {
        watched_percent: enough,
        viewers,
    };
    Terms {
        policy: Policy {
            admit,
            lend_room: false,
            turnover_percent: 0,
            ..Policy::default()
        },
        stage,
        memory: 0,
    }
}

fn catalogue() -> Catalogue {
    Catalogue::new(50, &mut Pcg64::seed_from_u64(1)).unwrap()
}

#[test]
fn what_waits_in_memory_is_written_when_it_is_admitted() {
    let catalogue = catalogue();
    let mut cache = Watched::<Lru>::new(&catalogue, 10_000, terms(Enough::Never, 2, Some(100)));
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
    let mut staged = Watched::<Lru>::new(&catalogue, 10_000, terms(Enough::Never, 2, Some(20)));
    let mut shared = Watched::<Lru>::new(&catalogue, 200, terms(Enough::Never, 2, None));
    for entity in 0..50 {
        staged.serve(&request(entity, entity, 0, 16));
        shared.serve(&request(entity, entity, 0, 16));
        assert!(staged.provisional <= 20 && shared.provisional <= 20);
    }
    assert_eq!((staged.used(), shared.admitted), (0, 0));
}

#[test]
fn a_full_cache_is_turned_over_only_so_fast_by_what_one_viewer_asks_for() {
    let catalogue = Catalogue::new(500, &mut Pcg64::seed_from_u64(1)).unwrap();
    let mut terms = terms(Enough::Never, 0, None);
    terms.policy.turnover_percent = 100;
    terms.policy.turnover_min_bytes = 0;
    terms.policy.provisional_percent = 90;
    terms.memory = 500;
    let mut cache = Watched::<Lru>::new(&catalogue, 1000, terms);
    let mut written = 0;
    for entity in 0..500 {
        written += cache.serve(&request(entity, 1, 0, 4)).written;
    }
    // What there is room for, with some spare, and a tenth of the whole room.
    let room = 1000 * 9 / 10 - 1000 * 3 / 64;
    assert!((room + 100..room + 108).contains(&written), "{written}");
    let again = cache.serve(&request(499, 1, 0, 4));
    assert_eq!((again.hit, again.written), (0, 0));
    let second = cache.serve(&request(499, 2, 0, 4));
    assert_eq!((second.hit, second.written), (0, 4));
}

#[test]
fn a_viewer_who_watches_enough_admits_all_that_is_stored() {
    let catalogue = catalogue();
    let mut cache = Watched::<Lru>::new(&catalogue, 10_000, terms(Enough::Percent(10), 0, None));
    let tenth = u16::try_from(catalogue.pieces(7).div_ceil(10)).unwrap();
    cache.serve(&request(7, 1, 0, tenth - 1));
    cache.serve(&request(7, 2, 0, tenth - 1));
    assert_eq!(cache.admitted, 0);
    cache.serve(&request(7, 1, u32::from(tenth) - 1, 1));
    assert_eq!((cache.admitted, cache.provisional), (u64::from(tenth), 0));
}
