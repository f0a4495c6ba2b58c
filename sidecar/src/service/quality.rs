//! Which quality of a video is completed where one is watched.

use std::sync::Arc;

use super::Service;
use crate::live::{Live, State};
use crate::policy::{Keep, Reason, Rules, Wish, Withheld};

impl Service {
    /// Completes what is to be completed where an entity is watched: itself or another quality, if
    /// the policy wants that.
    pub(super) fn tend(self: &Arc<Self>, live: &Arc<Live>) {
        let (rules, wish, lacks) = {
            let state = live.state();
            let rules = self.rules(&state);
            if rules.keep != Keep::Complete || !state.record.admitted {
                return;
            }
            let wish = wish(&rules, &state);
            (rules, wish, state.lacks())
        };
        match wish {
            Wish::Itself => self.want_itself(live, rules.insistent),
            Wish::Nothing => {
                self.withhold(live, lacks.then_some(Withheld::AboveMaximum));
                self.unwant(live.id);
            }
            Wish::FirstOf { itags, or_itself } => self.seek(live, itags, or_itself, rules),
        }
    }

    /// Completes what is watched, if something is missing of it.
    pub(super) fn want_itself(&self, live: &Arc<Live>, insistent: bool) {
        let wanted = {
            let state = live.state();
            let generation = state.record.generation.as_ref();
            state.lacks() && generation.is_none_or(|g| self.fits(g.complete_length()))
        };
        if wanted {
            self.want(live, None, insistent);
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
