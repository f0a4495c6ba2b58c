//! Which generation a response is made of, and what the origin is asked before that is known.

use std::sync::Arc;

use tokio::time::Instant;
use viewcache_protocol::{Forward, Wanted};

use super::lead::Lead;
use super::source::{Discovery, Source};
use super::{HandBack, PATIENCE};
use crate::live::{self, Live, Snapshot, State};
use crate::origin::Asker;
use crate::seam;
use crate::service::Service;

/// What a response is made of.
pub(super) struct Found {
    pub(super) snapshot: Snapshot,
    /// A transfer that brings the response's first byte.
    pub(super) source: Option<Source>,
    /// What Cache-Status says when not all of it is stored.
    pub(super) reason: Forward,
    /// How the origin has answered about a stale generation, if it did.
    pub(super) status: Option<u16>,
    /// What the caches on the way to the origin have said then.
    pub(super) upstream: Option<String>,
    /// Whether another's request was waited for.
    pub(super) followed: bool,
}

/// The generation to answer from: the one that is usable, the one that a lead is about to bring or
/// to validate, or the one that we ask the origin for ourselves.
pub(super) async fn generation(
    service: &Arc<Service>,
    live: &Arc<Live>,
    wanted: &Wanted,
    asker: &Asker,
    began: Instant,
) -> Result<Found, HandBack> {
    let deadline = began + PATIENCE;
    let selecting = asker.selecting();
    let mut reason = Forward::Partial;
    let mut followed = false;
    loop {
        let mut changed = std::pin::pin!(live.changed.notified());
        changed.as_mut().enable();
        let (wall, now) = (seam::wall(), Instant::now());
        let lead = {
            let mut state = live.state();
            state.leads.expire(now);
            // Nor may it be validated by this request: the answer would be this one's.
            let living = state.record.generation.as_ref();
            if living.is_some_and(|living| !living.answers(&selecting)) {
                return Err(HandBack::Vary);
            }
            // What was validated since the request came is fresh enough for it.
            let validated = state.validated_at.is_some_and(|at| began <= at);
            let usable = match validated {
                true => state.snapshot(live.id, wall),
                false => state.usable(live.id, wall, now),
            };
            if let Some(snapshot) = usable {
                if snapshot.is_stale() && !validated {
                    validate(service, live, &mut state, &snapshot, asker);
                }
                return Ok(Found {
                    snapshot,
                    source: None,
                    reason,
                    status: None,
                    upstream: None,
                    followed,
                });
            }
            reason = match state.record.generation {
                None => state.unknown().into(),
                Some(_) => Forward::Stale,
            };
            if state.declined_until.is_some_and(|until| now < until) {
                return Err(HandBack::Declined);
            }
            if deadline <= now {
                return Err(HandBack::Late);
            }
            match state.leads.tentative_until(now) {
                Some(until) => Err(until),
                None => Ok(Lead::grant(service, live, &mut state, deadline, &selecting)),
            }
        };
        let lead = match lead {
            Ok(lead) => lead,
            Err(until) => {
                followed = true;
                let _follows = service.metrics.follow();
                // Either way the state is looked at again.
                let _ = tokio::time::timeout_at(until.min(deadline), changed).await;
                continue;
            }
        };
        let discovered = Source::discover(service, lead, wanted, asker, deadline).await;
        let (source, status, upstream) = match discovered {
            Ok(Discovery::Source(source)) => (Some(source), None, None),
            Ok(Discovery::Same { upstream }) => (None, Some(304), upstream),
            Err(error) => {
                let excused = live.state().excused(live.id, seam::wall());
                let Some((snapshot, status)) = excused.zip(error.failure()) else {
                    return Err(error.hand_back());
                };
                service.excuse(live);
                return Ok(Found {
                    snapshot,
                    source: None,
                    reason,
                    status: Some(status),
                    upstream: None,
                    followed,
                });
            }
        };
        let snapshot = live.state().snapshot(live.id, seam::wall());
        // What has just come is fresh enough for whoever asked for it, but without a validator
        // each such request would fetch all of it.
        let usable = |snapshot: &Snapshot| {
            let named = snapshot.generation.identity.validator.is_some();
            let same = |source: &Source| snapshot.place.seq == source.seq();
            (named || !snapshot.is_stale()) && source.as_ref().is_none_or(same)
        };
        let Some(snapshot) = snapshot.filter(usable) else {
            service.decline(live);
            return Err(HandBack::Declined);
        };
        // It serves as the response's beginning when it begins there or before.
        let start = live::resolve(wanted, snapshot.generation.complete_length());
        let source = source.filter(|s| start.is_some_and(|range| s.at() <= range.start()));
        return Ok(Found {
            snapshot,
            source,
            reason,
            status,
            upstream,
            followed,
        });
    }
}

/// Asks in the background whether a stale generation is still the one, unless somebody does.
fn validate(
    service: &Arc<Service>,
    live: &Arc<Live>,
    state: &mut State,
    snapshot: &Snapshot,
    asker: &Asker,
) {
    let now = Instant::now();
    let failing = state.excused_until.is_some_and(|until| now < until);
    let Some(validator) = snapshot.generation.identity.validator.clone() else {
        return;
    };
    if failing || state.leads.tentative_until(now).is_some() {
        return;
    }
    let deadline = now + PATIENCE;
    let lead = Lead::grant(service, live, state, deadline, &asker.selecting());
    let (service, live, asker) = (Arc::clone(service), Arc::clone(live), asker.clone());
    tokio::spawn(async move {
        if let Err(error) = Source::validate(&service, lead, &validator, &asker, deadline).await {
            tracing::debug!(entity = %live.id, %error, "not validated");
            service.excuse(&live);
        }
    });
}
