//! How the room is shared between what is known to be worth keeping and what is not. Pure.

use super::Policy;

/// What the two pools of segments take, and what there is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pools {
    /// What provisional segments take.
    pub provisional: u64,
    /// What the others take, pinned ones too.
    pub admitted: u64,
    /// What all may take at the most.
    pub max: u64,
    /// What all may take before room is made ahead of its being needed.
    pub ample: u64,
}

/// What each pool may take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// The provisional segments.
    pub provisional: u64,
    /// The others.
    pub admitted: u64,
}

/// By how many bytes each pool is over what it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// The provisional segments.
    pub provisional: u64,
    /// The others.
    pub admitted: u64,
}

impl Policy {
    /// How many bytes of `max` are for what is not known to be worth keeping.
    pub fn provisional_max(&self, max: u64) -> u64 {
        max / 100 * u64::from(self.provisional_percent)
    }

    /// How much of the room is for either pool.
    pub fn shares(&self, max: u64, ample: u64) -> Shares {
        let provisional = self.provisional_max(max).min(ample);
        Shares {
            provisional,
            admitted: ample - provisional,
        }
    }

    /// By how many bytes either pool has more than it may: its share, and what the other leaves of
    /// its own where pools lend. Neither can drive the other out.
    pub fn excess(&self, pools: Pools) -> Excess {
        let Pools {
            provisional,
            admitted,
            max,
            ample,
        } = pools;
        let shares = self.shares(max, ample);
        // As long as there is room, nobody has too much.
        let most = match self.lend_room {
            true => provisional.saturating_add(admitted).saturating_sub(ample),
            false => u64::MAX,
        };
        Excess {
            provisional: provisional.saturating_sub(shares.provisional).min(most),
            admitted: admitted.saturating_sub(shares.admitted).min(most),
        }
    }

    /// How many bytes more can be admitted without anything having to go.
    pub fn spare(&self, pools: Pools) -> u64 {
        let Pools {
            provisional,
            admitted,
            max,
            ample,
        } = pools;
        let rest = ample.saturating_sub(self.provisional_max(max));
        let used = provisional.saturating_add(admitted);
        let left = ample.saturating_sub(used);
        rest.saturating_sub(admitted).min(left)
    }

    /// Whether so many bytes can be admitted and stay, whatever else is stored.
    pub fn fits(&self, bytes: u64, max: u64, ample: u64) -> bool {
        bytes <= ample.saturating_sub(self.provisional_max(max))
    }

    /// Whether another segment, `admitted` or not, can only be stored in the place of something
    /// else, now or soon.
    pub fn full(&self, pools: Pools, admitted: bool) -> bool {
        // What goes goes by segments of up to a 64th of all, and a 64th more than it must.
        let near = |used: u64, limit: u64| limit < used.saturating_add(pools.max * 3 / 64);
        let shares = self.shares(pools.max, pools.ample);
        let own = match admitted {
            true => near(pools.admitted, shares.admitted),
            false => near(pools.provisional, shares.provisional),
        };
        let used = pools.provisional.saturating_add(pools.admitted);
        near(used, pools.ample) || !self.lend_room && own
    }

    /// How many bytes that only one viewer has asked for may take in a day from what was stored
    /// before, in a full cache of `max` bytes; `None` is no limit.
    pub fn turnover(&self, max: u64) -> Option<u64> {
        let percent = u64::from(self.turnover_percent);
        (0 < percent).then(|| (max / 100 * percent).max(self.turnover_min_bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POOLS: Pools = Pools {
        provisional: 120,
        admitted: 850,
        max: 1000,
        ample: 950,
    };

    fn excess(lend_room: bool, pools: Pools) -> (u64, u64) {
        let policy = Policy {
            lend_room,
            ..Policy::default()
        };
        let excess = policy.excess(pools);
        (excess.provisional, excess.admitted)
    }

    #[test]
    fn each_pool_keeps_to_its_share() {
        assert_eq!(excess(false, POOLS), (20, 0));
        let admitted = Pools {
            provisional: 0,
            admitted: 900,
            ..POOLS
        };
        assert_eq!(excess(false, admitted), (0, 50));
        let policy = Policy::default();
        assert!(policy.fits(850, 1000, 950) && !policy.fits(851, 1000, 950));
    }

    #[test]
    fn what_is_spare_drives_nothing_out() {
        let policy = Policy::default();
        let spare = |provisional, admitted| {
            policy.spare(Pools {
                provisional,
                admitted,
                ..POOLS
            })
        };
        assert_eq!(spare(0, 0), 850);
        assert_eq!(spare(0, 800), 50);
        assert_eq!(spare(100, 900), 0);
        // What the other pool has taken of this one's share.
        assert_eq!(spare(300, 600), 50);
    }

    #[test]
    fn a_pool_may_have_what_the_other_leaves() {
        assert_eq!(excess(true, POOLS), (20, 0));
        let pools = |provisional, admitted| Pools {
            provisional,
            admitted,
            ..POOLS
        };
        assert_eq!(excess(true, pools(0, 950)), (0, 0));
        assert_eq!(excess(true, pools(950, 0)), (0, 0));
        assert_eq!(excess(true, pools(940, 30)), (20, 0));
        assert_eq!(excess(true, pools(100, 880)), (0, 30));
    }

    #[test]
    fn a_pool_that_lends_is_full_when_all_is() {
        let full = |lend_room, provisional, admitted, for_admitted| {
            let policy = Policy {
                lend_room,
                ..Policy::default()
            };
            let pools = Pools {
                provisional,
                admitted,
                ..POOLS
            };
            policy.full(pools, for_admitted)
        };
        for admitted in [false, true] {
            assert!(!full(true, 904, 0, admitted) && full(true, 905, 0, admitted));
            assert!(!full(true, 0, 904, admitted) && full(true, 0, 905, admitted));
            assert!(full(false, 50, 855, admitted));
        }
        assert!(!full(false, 54, 0, false) && full(false, 55, 0, false));
        assert!(!full(false, 90, 804, true) && full(false, 0, 805, true));
    }

    #[test]
    fn a_small_cache_may_be_turned_over_more_often() {
        let turnover = |turnover_percent, max| {
            let policy = Policy {
                turnover_percent,
                turnover_min_bytes: 500,
                ..Policy::default()
            };
            policy.turnover(max)
        };
        assert_eq!(turnover(0, 10_000), None);
        assert_eq!(turnover(30, 10_000), Some(3000));
        assert_eq!(turnover(30, 1000), Some(500));
    }

    #[test]
    fn a_share_is_no_larger_than_what_may_be_used() {
        let policy = Policy {
            provisional_percent: 100,
            ..Policy::default()
        };
        let excess = policy.excess(Pools {
            provisional: 970,
            ..POOLS
        });
        assert_eq!((excess.provisional, excess.admitted), (20, 850));
    }

    proptest! {
        #[test]
        fn what_is_over_goes_and_no_pool_loses_its_share(provisional in 0..2000u64, admitted in 0..2000u64, percent in 0..=100u8) {
            let policy = Policy { provisional_percent: percent, ..Policy::default() };
            let pools = Pools { provisional, admitted, ..POOLS };
            let excess = policy.excess(pools);
            let over = (provisional + admitted).saturating_sub(pools.ample);
            prop_assert!(over <= excess.provisional + excess.admitted);
            let share = policy.provisional_max(pools.max).min(pools.ample);
            prop_assert!(share.min(provisional) <= provisional - excess.provisional);
            let rest = pools.ample - share;
            prop_assert!(rest.min(admitted) <= admitted - excess.admitted);
        }
    }
}
