//! The part of an exchange that waits for the origin's answer to a miss that may be mirrored.

use viewcache_protocol::{
    Admission, Asked, Begin, CacheStatus, EntityKey, FillId, Forward, OriginRequest, Outcome,
    Selecting, Transfer, Wanted,
};

use super::effect::Effect;
use super::filling::{Filling, unused};
use crate::budget::{Lease, Shed};
use crate::counter::{Counter, Reason};
use crate::head::ResponseHead;
use crate::mirror::Mirror;

/// A grant that waits for the response.
#[derive(Debug)]
pub(super) struct Granted {
    /// What was asked of the origin.
    pub(super) wanted: Wanted,
    /// What its answer is stored as.
    pub(super) key: EntityKey,
    /// By what of the request its answer may be selected.
    pub(super) selecting: Selecting,
    /// How more of it is asked for.
    pub(super) origin: OriginRequest,
    /// Why it was asked.
    pub(super) forward: Forward,
    /// What mirror messages name the fill by.
    pub(super) fill: FillId,
    /// What of the answer is wanted.
    pub(super) admission: Admission,
}

impl Granted {
    /// The origin has answered: what is to be mirrored of it, if anything is.
    pub(super) fn answered(
        self,
        head: &ResponseHead,
        lease: impl FnOnce() -> Result<Lease, Shed>,
        effects: &mut Vec<Effect>,
    ) -> Option<Filling> {
        let Self {
            wanted,
            key,
            selecting,
            origin,
            forward,
            fill,
            admission,
        } = self;
        let status = head.status();
        let annotate = |stored, detail| {
            let status = CacheStatus::Forwarded {
                reason: forward,
                // For an unknown entity the response's own status says it all.
                status: (forward != Forward::UriMiss).then_some(status),
                stored,
                collapsed: None,
                detail,
            };
            Effect::Annotate(status.to_string())
        };
        let asked = Asked {
            open_ended: true,
            ..wanted.asked()
        };
        let judged = head
            .texts()
            .and_then(|headers| Transfer::judge(&asked, &admission.targeted(), status, &headers))
            .and_then(|transfer| admission.judge(&transfer).map(|()| transfer));
        let transfer = match judged {
            Ok(transfer) => transfer,
            Err(reason) => {
                effects.push(Effect::CountBy(Reason::MirrorDeclined(reason)));
                effects.push(annotate(false, Some(reason.as_str())));
                // What a condition or an unsatisfiable range got says nothing of the entity.
                let outcome = match status {
                    304 | 412 | 416 => Outcome::Abandoned,
                    _ => Outcome::Declined(reason),
                };
                effects.push(unused(fill, key, outcome));
                return None;
            }
        };
        if head.end_of_stream {
            effects.push(annotate(false, Some("no-body")));
            effects.push(unused(fill, key, Outcome::Abandoned));
            return None;
        }
        let generation = transfer.generation.id(key.profile(), &fill.to_string());
        let (lease, shed) = match lease() {
            Ok(lease) => (Some(lease), None),
            Err(shed) => (None, Some(shed)),
        };
        let mirror = Mirror::new(transfer.range, lease);
        if let Some(shed) = shed {
            // Nobody has to wait for a fill that does not come; what is delivered is still told at
            // the end.
            effects.push(Effect::CountBy(Reason::MirrorShed(shed)));
            effects.push(annotate(false, Some("shed")));
            effects.push(unused(fill, key.clone(), Outcome::Abandoned));
        } else {
            effects.push(Effect::Count(Counter::MirrorStarted));
            effects.push(annotate(true, None));
            let begin = Begin {
                key: key.clone(),
                generation: transfer.generation,
                range: transfer.range,
                headers: transfer.headers,
                selecting,
                open_ended: transfer.open_ended,
                origin: Some(origin),
            };
            effects.push(Effect::Begin { fill, begin });
        }
        let open_ended = transfer.open_ended;
        Some(Filling::new(
            key,
            wanted.viewer,
            fill,
            generation,
            mirror,
            open_ended,
        ))
    }
}
