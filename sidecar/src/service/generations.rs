//! How a generation becomes the living one, and stays it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use viewcache_protocol::{
    Generation, Invalidate, Profile, Selecting, Transfer, Validator, cache_control, stored_headers,
};

use super::Service;
use crate::error::Error;
use crate::fills::Begun;
use crate::live::Live;
use crate::seam;
use crate::store::{GenerationRecord, millis};

/// How long requests go straight to the origin after an answer that must not be stored, so that
/// followers of such a URL do not wait for each other; and how long an origin that has failed is
/// not asked about what may be served stale.
const DECLINE_MEMORY: Duration = Duration::from_secs(2);

impl Service {
    /// Makes the transfer's generation the living one, or refreshes it when it is that already,
    /// and starts the lead that brings its bytes. The generation's number comes back.
    ///
    /// Nothing here waits for the disk: the record is written before the first row is, and until
    /// then a viewer is served all the same.
    pub fn open_generation(
        self: &Arc<Self>,
        live: &Arc<Live>,
        begun: Begun,
        transfer: Transfer,
        selecting: Selecting,
    ) -> u64 {
        let Transfer {
            generation: identity,
            range,
            headers,
            ..
        } = transfer;
        let received_at = millis(seam::wall());
        let complete_length = identity.complete_length;
        let mut state = live.state();
        let profile = state.record.key.profile();
        let fill = begun.fill();
        let transfer = fill.to_string();
        let id = identity.id(profile, &transfer);
        let living = state
            .record
            .generation
            .as_mut()
            .filter(|g| g.id(profile) == id);
        let new = living.is_none();
        let (seq, old) = match living {
            Some(living) => {
                update(&mut living.headers, headers);
                living.governing = self.governing(profile, &living.headers);
                living.received_at = received_at;
                living.selecting = selecting;
                (living.seq, None)
            }
            None => {
                let seq = self.store.next_seq();
                let generation = GenerationRecord {
                    seq,
                    governing: self.governing(profile, &headers),
                    segment_size: segment_size(&identity, self.room.segment_max()),
                    identity,
                    transfer,
                    headers,
                    received_at,
                    selecting,
                    original: None,
                };
                (seq, state.open(generation))
            }
        };
        state.declined_until = None;
        state.record.url_expired = false;
        state.record.invalidated = false;
        state.dirty = true;
        state.leads.begin(begun, seq, range, Instant::now());
        state.begun(fill);
        let viewer = state.mirrored_for(fill).map(str::to_owned);
        let key = state.record.key.clone();
        drop(state);
        live.changed.notify_waiters();
        self.consider(live);
        if let Some(viewer) = viewer {
            self.sighted(live, &viewer);
        }
        if new {
            self.ask_channel(live);
            self.appeared(&key, complete_length);
        }
        if let Some(old) = old {
            tracing::info!(entity = %live.id, seq, "a new generation replaces the old one");
            let (service, live) = (Arc::clone(self), Arc::clone(live));
            self.writers.spawn(move || service.remove_ended(&live, old));
        }
        seq
    }

    /// The origin says by a 304 that the generation with this validator is still the one: its
    /// stored header fields are updated (RFC 9111 section 4.3.4). False when it is not the living
    /// one, or when the answer contradicts itself.
    pub fn refresh(
        &self,
        live: &Live,
        validator: &Validator,
        headers: &[(String, String)],
    ) -> bool {
        let Ok(mut headers) = stored_headers(headers) else {
            return false;
        };
        let mut state = live.state();
        let profile = state.record.key.profile();
        let living = state.record.generation.as_mut();
        let Some(living) = living.filter(|g| g.identity.validator.as_ref() == Some(validator))
        else {
            return false;
        };
        let told = headers.iter().find(|(name, _)| name == "etag");
        if let (Validator::Etag(known), Some((_, told))) = (validator, told)
            && told.strip_prefix("W/").unwrap_or(told) != known
        {
            return false;
        }
        // Some servers weaken it on the way; the stored one stays what it was.
        headers.retain(|(name, _)| name != "etag");
        update(&mut living.headers, headers);
        living.governing = self.governing(profile, &living.headers);
        living.received_at = millis(seam::wall());
        state.record.invalidated = false;
        state.validated_at = Some(Instant::now());
        state.excused_until = None;
        state.declined_until = None;
        state.dirty = true;
        drop(state);
        live.changed.notify_waiters();
        true
    }

    /// The header field that counts instead of Cache-Control and Expires, if one does.
    pub(super) fn governing(
        &self,
        profile: Profile,
        headers: &[(String, String)],
    ) -> Option<String> {
        let targeted = self.admission(profile).targeted();
        cache_control::governing(headers, targeted).map(str::to_owned)
    }

    /// The resource was changed by another request: what is stored of it is validated before it is
    /// used again (RFC 9111 section 4.4). One that is not known is none the worse.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn invalidate(self: &Arc<Self>, message: Invalidate) -> Result<(), Error> {
        for live in self.variants(&message.key).await? {
            let mut state = live.state();
            if state.record.generation.is_some() {
                state.record.invalidated = true;
                state.validated_at = None;
                state.dirty = true;
            }
        }
        Ok(())
    }

    /// The origin has failed to say whether a stale generation is still the one: for a while it is
    /// not asked again.
    pub fn excuse(&self, live: &Live) {
        live.state().excused_until = Some(Instant::now() + DECLINE_MEMORY);
    }

    /// The origin's answer must not be stored: whoever waits for it asks the origin.
    pub fn decline(&self, live: &Live) {
        live.state().declined_until = Some(Instant::now() + DECLINE_MEMORY);
        live.changed.notify_waiters();
    }
}

/// Replaces the stored header fields that a new response of the same generation has too
/// (RFC 9111 section 3.2): a 206 to If-Range leaves most of them out.
fn update(stored: &mut Vec<(String, String)>, new: Vec<(String, String)>) {
    // The age belongs to the response, not to the entity.
    stored.retain(|(name, _)| name != "age" && !new.iter().any(|(n, _)| n == name));
    stored.extend(new);
}

/// The segment size for an entity: 4 MiB, or less for a short one, so that its one file's offsets
/// stay small, and where all the room is not `most` times a few; a power of two.
pub(super) fn segment_size(identity: &Generation, most: u64) -> u64 {
    const DEFAULT: u64 = 4 << 20;
    const SMALLEST: u64 = 64 << 10;
    let most = 1 << most.clamp(SMALLEST, DEFAULT).ilog2();
    identity
        .complete_length
        .max(SMALLEST)
        .checked_next_power_of_two()
        .unwrap_or(most)
        .min(most)
}
