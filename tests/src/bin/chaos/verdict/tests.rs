use super::*;

const MS: Duration = Duration::from_millis(1);
const BASELINE: Baseline = Baseline {
    median: Duration::from_millis(2),
    p95: Duration::from_millis(10),
    p99: Duration::from_millis(15),
    worst: Duration::from_millis(20),
    hits: 1.0,
};
const SPAN: Span = Span {
    applied: Duration::from_millis(1_000),
    lifted: Duration::from_millis(3_000),
    end: Duration::from_millis(8_000),
};
const ORIGIN: Excuse = Excuse::Origin(Duration::ZERO);
const LIMITS: Limits = Limits {
    p99: Duration::from_millis(100),
    worst: Duration::from_millis(1_000),
    recovery: Duration::from_millis(2_000),
};

/// A hit on a kept film.
fn sample(began: u32, took: u32) -> Sample {
    Sample {
        began: MS * began,
        ended: MS * (began + took),
        silence: MS * took,
        kept: true,
        hit: true,
        outcome: Outcome::Right,
    }
}

fn with(began: u32, took: u32, outcome: Outcome) -> Sample {
    Sample {
        outcome,
        ..sample(began, took)
    }
}

/// One every 50 ms.
fn steady() -> Vec<Sample> {
    (0..200).map(|index| sample(index * 50, 5)).collect()
}

fn judged(samples: &[Sample], excuse: Excuse) -> Figures {
    judge(samples, SPAN, excuse, &Deaths::default(), BASELINE)
}

#[test]
fn nothing_happens() {
    let figures = judged(&steady(), Excuse::Nothing);
    assert_eq!(figures.recovery, Some(Duration::ZERO));
    assert_eq!((figures.failed, figures.wrong, figures.excused), (0, 0, 0));
    assert_eq!(
        (figures.p99, figures.worst),
        (Duration::ZERO, Duration::ZERO)
    );
    assert!(broken(&figures, LIMITS).is_empty());
}

#[test]
fn what_is_wrong_has_no_excuse() {
    let mut samples = steady();
    samples.push(with(1_500, 5, Outcome::Wrong("byte 7".to_owned())));
    samples.last_mut().unwrap().kept = false;
    for excuse in [Excuse::Nothing, Excuse::Killed, ORIGIN] {
        let figures = judged(&samples, excuse);
        assert_eq!(figures.wrong, 1, "{excuse:?}");
        assert!(broken(&figures, LIMITS)[0].contains("byte 7"));
    }
}

#[test]
fn a_killed_process_excuses_what_it_was_sending() {
    let deaths = Deaths {
        at: vec![(MS * 1_150, MS * 1_200)],
        away: vec![(MS * 1_200, MS * 1_900)],
    };
    let failed = |sample: Sample| {
        let mut samples = steady();
        samples.push(sample);
        judge(&samples, SPAN, Excuse::Killed, &deaths, BASELINE).failed
    };
    assert_eq!(failed(with(1_100, 110, Outcome::Cut)), 0);
    assert_eq!(failed(with(1_000, 60, Outcome::Cut)), 0);
    assert_eq!(failed(with(1_000, 40, Outcome::Cut)), 1);
    assert_eq!(failed(with(1_100, 110, Outcome::Status(503))), 1);
    assert_eq!(failed(with(1_500, 1, Outcome::Refused)), 0);
    assert_eq!(failed(with(2_100, 1, Outcome::Refused)), 1);
    assert_eq!(failed(with(2_100, 10, Outcome::Cut)), 1);
    assert_eq!(
        judged(&[with(1_100, 110, Outcome::Cut)], Excuse::Nothing).failed,
        1
    );
}

#[test]
fn the_origin_excuses_what_was_not_stored_until_it_is_well() {
    let failed = |kept, began| {
        let mut sample = with(began, 5, Outcome::Status(503));
        sample.kept = kept;
        let figures = judged(&[sample], ORIGIN);
        (figures.failed, figures.excused)
    };
    assert_eq!(failed(false, 1_500), (0, 1));
    assert_eq!(failed(true, 1_500), (1, 0));
    assert_eq!(failed(false, 3_500), (1, 0));
    let mut late = with(3_500, 5, Outcome::Cut);
    late.kept = false;
    assert_eq!(judged(&[late], Excuse::Origin(MS * 1_000)).failed, 0);
    // A kept film that was past the cache already.
    let mut before = with(500, 1_000, Outcome::Cut);
    assert_eq!(judged(&[before.clone()], ORIGIN).failed, 1);
    before.hit = false;
    assert_eq!(judged(&[before], ORIGIN).failed, 0);
    // Its slowness is its own, too.
    let mut slow = sample(1_500, 900);
    slow.kept = false;
    assert_eq!(judged(&[slow], ORIGIN).worst, Duration::ZERO);
}

#[test]
fn recovery_is_when_hits_and_waits_are_back() {
    let after = |change: fn(&mut Sample)| {
        let mut samples = steady();
        for sample in &mut samples {
            if SPAN.applied < sample.began && sample.began < MS * 4_400 {
                change(sample);
            }
        }
        judged(&samples, Excuse::Nothing).recovery
    };
    assert_eq!(after(|sample| sample.hit = false), Some(MS * 1_500));
    assert_eq!(after(|sample| sample.silence = MS * 100), Some(MS * 1_500));
    assert_eq!(
        after(|sample| sample.outcome = Outcome::Cut),
        Some(MS * 1_500)
    );
    let mut never = steady();
    never.iter_mut().for_each(|sample| sample.hit = false);
    let figures = judged(&never, Excuse::Nothing);
    assert_eq!(figures.recovery, None);
    assert_eq!(broken(&figures, LIMITS), ["does not recover"]);
}

#[test]
fn limits_are_named() {
    let mut samples = steady();
    samples.push(sample(1_500, 1_520));
    let figures = judged(&samples, Excuse::Nothing);
    assert_eq!(broken(&figures, LIMITS), ["worst added 1.5s, limit 1.0s"]);
    assert_eq!(broken(&judged(&[], Excuse::Nothing), LIMITS).len(), 2);
}
