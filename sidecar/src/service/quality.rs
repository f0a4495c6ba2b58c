//! Which quality of a video is completed where one is watched, and with which other half.

use std::sync::Arc;

use tokio::time::Instant;

use super::Service;
use crate::live::{Live, State};
use crate::policy::{Keep, Reason, Rules, Wish, Withheld};
use crate::seam;
use crate::store::millis;

impl Service {
    /// Completes what is to be completed where an entity is watched: itself or another quality, and
    /// the other half of a pair, if the policy wants that.
    pub(super) fn tend(self: &Arc<Self>, live: &Arc<Live>) {
        let partner = live.state().partner(millis(seam::wall()));
        // One that is not in memory is when its viewer asks for it.
        let partner = partner.and_then(|id| self.table.find(id));
        if self.tend_half(live, partner.as_ref())
            && let Some(partner) = partner
        {
            self.vouch(&partner, Reason::Pair);
            self.tend_half(&partner, Some(live));
        }
    }

    /// The same without the other half, which is `beside` it if it is known. False when nothing is
    /// to be completed.
    fn tend_half(self: &Arc<Self>, live: &Arc<Live>, beside: Option<&Arc<Live>>) -> bool {
        let (rules, wish, lacks) = {
            let state = live.state();
            let rules = self.rules(&state);
            if rules.keep != Keep::Complete || !state.record.admitted {
                return false;
            }
            let wish = wish(&rules, &state);
            (rules, wish, state.lacks())
        };
        match wish {
            Wish::Itself => {
                self.want_itself(live, beside, rules.insistent);
                true
            }
            Wish::Nothing => {
                self.withhold(live, lacks.then_some(Withheld::AboveMaximum));
                self.unwant(live.id);
                false
            }
            Wish::FirstOf { itags, or_itself } => {
                self.seek(live, itags, or_itself, rules);
                true
            }
        }
    }

    /// Completes what is watched, if something is missing of it.
    pub(super) fn want_itself(&self, live: &Arc<Live>, sake: Option<&Arc<Live>>, insistent: bool) {
        let wanted = {
            let state = live.state();
            let generation = state.record.generation.as_ref();
            let now = Instant::now();
            let cramped = state.cramped_until.is_some_and(|until| now < until);
            let fits = generation.is_none_or(|g| self.fits(g.complete_length()));
            state.lacks() && fits && !cramped
        };
        if wanted {
            self.want(live, sake, insistent);
        }
    }

    /// Makes an entity worth keeping for the sake of another one.
    pub(super) fn vouch(self: &Arc<Self>, live: &Arc<Live>, reason: Reason) {
        let vouched = {
            let mut state = live.state();
            let vouched = !state.record.admitted;
            state.vouched = vouched.then_some(reason);
            vouched
        };
        if vouched {
            self.consider(live);
        }
    }

    /// Gives up what other rules than those of now have wanted.
    pub(super) fn give_up_unwanted(&self) {
        let rules = |live: &Live| {
            let state = live.state();
            let rules = self.rules(&state);
            let wish = wish(&rules, &state);
            (rules, wish)
        };
        self.quests.retain(|watched, quality| {
            let (rules, _) = rules(watched);
            rules.keep == Keep::Complete && rules.quality == *quality
        });
        self.retain_wanted(|live| {
            let (rules, wish) = rules(live);
            rules.keep == Keep::Complete && wish != Wish::Nothing
        });
    }
}

/// What is to be completed where an entity is watched; one that names no quality is the only one.
fn wish(rules: &Rules, state: &State) -> Wish {
    let itag = state.record.key.part("itag");
    itag.map_or(Wish::Itself, |itag| rules.quality.wish(itag))
}
